"""Writing the part of a model that sees the picture as a file for other programs, and checking it.

The file is read again and run on a drawn picture, and what it gives is compared with torch's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from grounding_sdk.errors import ConfigError
from grounding_sdk.files import write_file
from grounding_sdk.models.engines import (
    PictureSide,
    check_installed,
    import_openvino,
    onnx_program,
    onnx_session,
    openvino_model,
)

Format = Literal["onnx", "openvino"]
ENGINES = {"onnx": "onnxruntime", "openvino": "openvino"}  # what runs a format
FILES = {"onnx": "encoder.onnx", "openvino": "encoder.xml"}
ABOUT = "encoder.json"  # shapes and names, beside it


def convert(model: Any, folder: str | Path, to: str = "onnx") -> dict[str, float]:
    """Writes a model's encoder and checks what was written.

    Args:
        model: A detector or segmenter that has `picture_side`, on a CPU.
        folder: Where to; made if need be. Beside the encoder goes `encoder.json`, which says what
            goes in and comes out.
        to: "onnx" or "openvino".

    Returns:
        For each output, how far the file's is from torch's at most, in parts of the largest number.

    Raises:
        ConfigError: If there is no such format, or the model's encoder cannot be translated.
        MissingExtraError: If a package is missing that writes or reads the file.
    """
    if to not in get_args(Format):
        raise ConfigError(f"expected 'onnx' or 'openvino' as format, got {to!r}")
    if not hasattr(model, "picture_side"):
        name = getattr(model, "name", type(model).__name__)
        raise ConfigError(
            f"the encoder of {name!r} cannot be converted: expected mini, OWL-ViT, OWLv2 or SAM"
        )
    check_installed(ENGINES[to])
    side: PictureSide = model.picture_side()
    pixels = drawn(side)
    with torch.no_grad():
        expected = side.function(pixels)
    path = Path(folder) / FILES[to]
    path.parent.mkdir(parents=True, exist_ok=True)
    found = _WRITE[to](side, pixels, path)
    differences = {
        name: float((torch.from_numpy(new) - old).abs().max() / old.abs().max().clamp(min=1e-9))
        for name, new, old in zip(side.outputs, found, expected, strict=True)
    }
    about = {
        "model": model.name,
        "input": {"name": "pixels", "shape": list(pixels.shape), "pixels": f"RGB, {side.pixels}"},
        "outputs": {
            name: list(value.shape) for name, value in zip(side.outputs, expected, strict=True)
        },
        "differences": differences,
    }
    write_file(path.parent / ABOUT, json.dumps(about, indent=2) + "\n")
    return differences


def drawn(side: PictureSide) -> torch.Tensor:
    """A picture with smooth and sharp parts, as the encoder takes it: (1, 3, height, width)."""
    height, width = side.size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    disc = np.hypot(x - width / 3, y - height / 2) < height / 4
    planes = [x / width, y / height, (x // 16 + y // 16) % 2]
    pixels = np.stack([np.where(disc, 1 - plane, plane) for plane in planes])[None]
    pixels = np.round(255 * pixels) if side.pixels == "0 to 255" else 2 * pixels - 1
    return torch.from_numpy(pixels.astype(np.float32))


def _write_onnx(side: PictureSide, pixels: torch.Tensor, path: Path) -> Sequence[np.ndarray]:
    program = onnx_program(side.function, side.model, [pixels])
    graph = program.model.graph
    for value, name in zip((*graph.inputs, *graph.outputs), ("pixels", *side.outputs), strict=True):
        value.name = name
    program.save(str(path))
    found: Sequence[np.ndarray] = onnx_session(str(path)).run(None, {"pixels": pixels.numpy()})
    return found


def _write_openvino(side: PictureSide, pixels: torch.Tensor, path: Path) -> Sequence[np.ndarray]:
    openvino = import_openvino()
    model = openvino_model(side.function, side.model, [pixels])
    model.inputs[0].set_names({"pixels"})
    for output, name in zip(model.outputs, side.outputs, strict=True):
        output.set_names({name})
    openvino.save_model(model, str(path), compress_to_fp16=False)
    network = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = network({"pixels": pixels.numpy()})
    return [found[name] for name in side.outputs]


_WRITE = {"onnx": _write_onnx, "openvino": _write_openvino}
