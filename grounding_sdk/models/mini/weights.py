"""The weight files: safetensors, matrices of the text encoder as int8, the rest as fp16.

`text.safetensors` holds each matrix as int8 rows with one fp32 scale a row (`<name>` and
`<name>.scale`); `vision.safetensors` is plain fp16. Loading gives fp32 again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from grounding_sdk.models.mini.network import Mini, TextEncoder

VISION, TEXT, TOKENIZER = "vision.safetensors", "text.safetensors", "tokenizer.json"
CONFIG = "config.json"
SCALE = ".scale"
LOOKS = "detector.looks."

Module = TypeVar("Module", bound=nn.Module)


def save_vision(state: dict[str, Tensor], path: str | Path) -> None:
    """Write the state of the image encoder and the heads as fp16."""
    save_file({k: v.detach().half().cpu().contiguous() for k, v in state.items()}, path)


def load_vision(path: str | Path) -> Mini:
    """Read what `save_vision` wrote, ready for inference."""
    with torch.device("meta"):
        model = Mini()
    return _fill(model, {k: v.float() for k, v in load_file(path).items()})


def save_text(encoder: TextEncoder, path: str | Path) -> None:
    """Write the text encoder, matrices as int8."""
    state = {}
    for name, value in encoder.state_dict().items():
        if value.ndim == 2:
            state[name], state[name + SCALE] = quantise(value)
        else:
            state[name] = value.contiguous()
    save_file(state, path)


def load_text(path: str | Path) -> TextEncoder:
    """Read what `save_text` wrote, as fp32, ready for inference."""
    stored = load_file(path)
    state = {
        k: v.float() * stored[k + SCALE] if k + SCALE in stored else v
        for k, v in stored.items()
        if not k.endswith(SCALE)
    }
    with torch.device("meta"):
        encoder = TextEncoder()
    return _fill(encoder, state)


def quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row to int8: the rows and their scales (N, 1).

    >>> rows, scale = quantise(torch.tensor([[1.0, -2.0, 0.5]]))
    >>> rows.tolist(), round(scale.item(), 5)
    ([[64, -127, 32]], 0.01575)
    """
    scale = matrix.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    return (matrix / scale).round().to(torch.int8), scale


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read `config.json`: image_side in pixels and default_threshold."""
    config: dict[str, Any] = json.loads((Path(folder) / CONFIG).read_text())
    return config


def write_manifest(root: str | Path, model: str, licence: str, source: str) -> None:
    """Write `manifest.json` in `root` with size and sha256 of each file of `root/model`."""
    root = Path(root)
    files = {
        f"{model}/{name}": {
            "sha256": hashlib.sha256((root / model / name).read_bytes()).hexdigest(),
            "bytes": (root / model / name).stat().st_size,
        }
        for name in (CONFIG, VISION, TEXT, TOKENIZER)
    }
    entry = {"files": files, "licence": licence, "source": source}
    text = json.dumps({"models": {model: entry}}, indent=2)
    (root / "manifest.json").write_text(text + "\n")


def _fill(model: Module, state: dict[str, Tensor]) -> Module:
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)
