"""Running image encoders by another engine than torch: OpenVINO, where it is installed.

    segmenter = load_segmenter("sam:vit-b")
    segmenter.engine = "openvino"

An engine is used where it is asked for and nowhere else: which is faster depends on the machine,
and `grounding-sdk bench --engine openvino` measures it on yours, with the parity of the outputs.
The network is translated when it is first asked for, which takes seconds, and is then that of the
weights as they were. Only encoders are run: they are most of the work, and their shapes are fixed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from grounding_sdk.errors import ConfigError, MissingExtraError

Engine = Literal["torch", "openvino"]
Encoder = Callable[[Tensor], Tensor]


def compiled(encode: Encoder, model: nn.Module, side: int, engine: str) -> Encoder:
    """Translates an encoder.

    Args:
        encode: From pixels (1, 3, side, side) float32 to one float32 tensor; made of plain
            operations of torch on the weights of `model`.
        model: What it belongs to, on a CPU.
        side: Of the input.
        engine: Other than "torch".

    Returns:
        The same function for (B, 3, side, side). Threads may share it.

    Raises:
        ConfigError: If there is no such engine, or the model is not on a CPU.
        MissingExtraError: If the engine is not installed.
    """
    check_engine(engine)
    device = next(model.parameters()).device
    if device.type != "cpu":
        raise ConfigError(f"engine {engine!r} runs on a CPU: load the model with device='cpu'")
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "engine 'openvino' needs the package openvino, which is not installed: "
            "run `pip install 'grounding_sdk[openvino]'`"
        ) from error
    example = torch.zeros(1, 3, side, side)
    with torch.no_grad(), _published_code(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, of what is constant: shapes are, on purpose
        translated = openvino.convert_model(_AsModule(encode), example_input=example)
    translated.reshape([1, 3, side, side])
    # Without the hint it may take bfloat16 where the hardware has it.
    network = openvino.compile_model(translated, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(pixels: Tensor) -> Tensor:
        outputs = [
            network.create_infer_request().infer({0: one[None].numpy()})[0].copy()
            for one in pixels.contiguous()
        ]
        return torch.cat([torch.from_numpy(output) for output in outputs])

    return run


def check_engine(engine: str) -> None:
    """Raises ConfigError if there is no such engine."""
    if engine not in get_args(Engine):
        raise ConfigError(f"expected 'torch' or 'openvino' as engine, got {engine!r}")


class HasEngine:
    """A model whose image encoder another engine can run; it says how."""

    _engine: Engine = "torch"

    @property
    def engine(self) -> Engine:
        """What runs the image encoder: "torch" or "openvino"; can be set. See `engines`."""
        return self._engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        check_engine(engine)
        self._run_on(engine)
        self._engine = engine

    def _run_on(self, engine: Engine) -> None:
        """Has an engine run the encoder from now on."""
        raise NotImplementedError


class _AsModule(nn.Module):
    def __init__(self, encode: Encoder) -> None:
        super().__init__()
        self._encode = encode

    def forward(self, pixels: Tensor) -> Tensor:
        return self._encode(pixels)


@contextmanager
def _published_code(model: nn.Module) -> Iterator[None]:
    """Takes away what was put in the place of modules' `forward`; it need not be translatable."""
    replaced: dict[nn.Module, Any] = {
        module: vars(module).pop("forward")
        for module in model.modules()
        if "forward" in vars(module)
    }
    try:
        yield
    finally:
        for module, forward in replaced.items():
            module.forward = forward
