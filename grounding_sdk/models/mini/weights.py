"""The weight files: safetensors, what is frozen as int8, what is trained here as fp16.

Large matrices and kernels of the frozen encoders are rows of int8 with one fp32 scale a row
(`<name>` and `<name>.scale`); small ones weigh little and lose more. Loading gives fp32 again;
reading and writing again changes nothing.
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
FROZEN = ("encoder.", "detector.known_objects.names", "detector.known_classes.names")
LARGE = 2**15  # values of a matrix or kernel that is stored as int8
LOOKS = "detector.looks."

Module = TypeVar("Module", bound=nn.Module)


def save_vision(state: dict[str, Tensor], path: str | Path) -> None:
    """Write the state of the image encoder and the heads: int8 what is large, the rest fp16."""
    state = {name: value.detach().cpu() for name, value in state.items()}
    packed = pack({name: value for name, value in state.items() if name.startswith(FROZEN)})
    whole = {k: v.half().contiguous() for k, v in state.items() if k not in packed}
    save_file({**packed, **whole}, path)


def load_vision(path: str | Path) -> Mini:
    """Read what `save_vision` wrote, as fp32, ready for inference."""
    with torch.device("meta"):
        model = Mini()
    return _fill(model, unpack(load_file(path)))


def save_text(encoder: TextEncoder, path: str | Path) -> None:
    """Write the text encoder, matrices as int8."""
    state = encoder.state_dict()
    packed = pack(state)
    whole = {name: value.contiguous() for name, value in state.items() if name not in packed}
    save_file({**packed, **whole}, path)


def load_text(path: str | Path) -> TextEncoder:
    """Read what `save_text` wrote, as fp32, ready for inference."""
    with torch.device("meta"):
        encoder = TextEncoder()
    return _fill(encoder, unpack(load_file(path)))


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Large matrices and kernels as int8 rows and their scales; what is small is left out."""
    packed = {}
    for name, value in state.items():
        if value.ndim >= 2 and value.numel() >= LARGE:
            rows, packed[name + SCALE] = quantise(value.flatten(1))
            packed[name] = rows.view(value.shape)
    return packed


def unpack(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Undo `pack`, up to rounding; all values in fp32."""
    state = {}
    for name, value in stored.items():
        if name + SCALE in stored:
            state[name] = (value.flatten(1) * stored[name + SCALE]).view(value.shape)
        elif not name.endswith(SCALE):
            state[name] = value.float()
    return state


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
