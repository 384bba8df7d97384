"""Running image encoders by another engine than torch: OpenVINO or ONNX Runtime, if installed.

    segmenter = load_segmenter("sam:vit-b")
    segmenter.engine = "openvino"
    segmenter.engine = "fastest"  # tries those that are installed, here and now

An engine is used where it is asked for and nowhere else: which is faster depends on the machine,
and `grounding-sdk bench --engine openvino` measures it on yours, with the parity of the outputs.
A network is translated when it first runs, which takes seconds, and is then that of the weights as
they were. Only what every picture needs is translated; all computes in float32.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import statistics
import sys
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from grounding_sdk.errors import ConfigError, MissingExtraError

Engine = Literal["torch", "openvino", "onnxruntime"]
FASTEST = "fastest"
Encoder = Callable[[Tensor], Tensor]
Function = Callable[..., tuple[Tensor, ...]]  # from tensors to tensors

# For each engine, the modules that it needs and the extra that brings them.
NEEDS: dict[Engine, tuple[tuple[str, ...], str]] = {
    "torch": ((), ""),
    "openvino": (("openvino",), "openvino"),
    "onnxruntime": (("onnx", "onnxscript", "onnxruntime"), "onnx"),
}
_log = logging.getLogger(__name__)

_TELEMETRY = "openvino_telemetry"
SHAPES_KEPT = 4  # networks for inputs of other shapes: tens of megabytes each
TRIALS = 3  # rounds in which engines run in turns


def compiled(side: PictureSide, engine: str) -> Encoder:
    """Translates an encoder that gives one tensor, now and not when it first runs.

    Args:
        side: On a CPU.
        engine: Other than "torch".

    Returns:
        The same function for any number of pictures of that size. Threads may share it.

    Raises:
        ConfigError: If there is no such engine, or the model is not on a CPU.
        MissingExtraError: If the engine is not installed.
    """
    on_engine = translated(side.function, side.model, engine)
    on_engine(torch.zeros(1, 3, *side.size))

    def run(pixels: Tensor) -> Tensor:
        return torch.cat([on_engine(one[None])[0] for one in pixels])

    return run


def translated(function: Function, model: nn.Module, engine: str) -> Function:
    """Has an engine run a function, which is translated when inputs of a shape first come.

    Args:
        function: From float32 tensors to a tuple of these; made of plain operations of torch on the
            weights of `model`.
        model: What it belongs to, on a CPU; its weights need no gradients.
        engine: Other than "torch".

    Returns:
        The same function. Threads may share it; networks for the last few shapes are kept.

    Raises:
        ConfigError: If there is no such engine, or the model is not on a CPU.
        MissingExtraError: If the engine is not installed.
    """
    check_engine(engine)
    device = next(model.parameters()).device
    if device.type != "cpu":
        raise ConfigError(f"engine {engine!r} runs on a CPU: load the model with device='cpu'")
    check_installed(engine)
    return _Translated(_WRITERS[engine](function, model))


def check_engine(engine: str) -> None:
    """Raises ConfigError if there is no such engine."""
    if engine not in get_args(Engine):
        known = ", ".join(map(repr, get_args(Engine)))
        raise ConfigError(f"expected {known} or {FASTEST!r} as engine, got {engine!r}")


def check_installed(engine: str) -> None:
    """Raises MissingExtraError if the engine needs a package that is not installed."""
    modules, extra = NEEDS[engine]  # type: ignore[index]
    for module in modules:
        if not _is_there(module):
            raise MissingExtraError(
                f"engine {engine!r} needs the package {module}, which is not installed: "
                f"run `pip install 'grounding_sdk[{extra}]'`"
            )


def installed_engines() -> list[Engine]:
    """Lists the engines that can run here, torch first."""
    return [engine for engine in get_args(Engine) if all(map(_is_there, NEEDS[engine][0]))]


@dataclass(frozen=True, eq=False)
class PictureSide:
    """The part of a model that sees the picture and nothing else, in plain operations of torch.

    Attributes:
        function: From pixels (1, 3, height, width) float32 to tensors.
        model: On whose weights.
        size: (height, width) of a usual picture; of every one unless the model takes any.
        outputs: The tensors' names.
        pixels: What pixels are: "0 to 255", or "normalised" by the model's own preprocessing.
    """

    function: Function
    model: nn.Module
    size: tuple[int, int]
    outputs: tuple[str, ...] = ("features",)
    pixels: Literal["0 to 255", "normalised"] = "normalised"


class HasEngine:
    """A model whose image encoder another engine can run; it says how."""

    _engine: Engine = "torch"
    _on_engine: Any = None  # what runs the encoder in torch's place
    _timings: Mapping[str, float] = MappingProxyType({})

    @property
    def engine(self) -> Engine:
        """What runs the image encoder; can be set. See `engines`.

        "torch", "openvino" or "onnxruntime". "fastest" tries those that are installed; from then on
        it is the name of the one that was fastest, and `timings` says by how much.
        """
        return self._engine

    @engine.setter
    def engine(self, engine: Engine | Literal["fastest"]) -> None:
        if engine == FASTEST:
            self._engine, self._on_engine = self._fastest()
        else:
            check_engine(engine)
            self._on_engine = None if engine == "torch" else self._translated(engine)
            self._engine = cast(Engine, engine)

    @property
    def timings(self) -> Mapping[str, float]:
        """Milliseconds by each engine for one picture when "fastest" was set; empty before."""
        return self._timings

    def _fastest(self) -> tuple[Engine, Any]:
        ready: dict[Engine, Any] = {}
        for engine in installed_engines():
            try:
                on_engine = None if engine == "torch" else self._translated(engine)
                self._try(on_engine)
            except Exception as error:  # what an engine cannot do, torch can
                if engine == "torch":
                    raise
                _log.info("engine %s is left out: %s", engine, error)
            else:
                ready[engine] = on_engine
        trials = {name: partial(self._try, on_engine) for name, on_engine in ready.items()}
        self._timings = milliseconds(trials)
        best = min(ready, key=self._timings.__getitem__)
        return best, ready[best]

    def _translated(self, engine: str) -> Any:
        """What runs the encoder by an engine other than torch; it is kept in `_on_engine`."""
        raise NotImplementedError

    def _try(self, on_engine: Any) -> object:
        """Encodes a picture of the model's own size by that; by torch if it is None."""
        raise NotImplementedError

    def picture_side(self) -> PictureSide:
        """What engines run.

        Raises:
            ConfigError: If the model's encoder is not one that they can.
        """
        raise NotImplementedError


def milliseconds(trials: Mapping[Any, Callable[[], object]]) -> dict[str, float]:
    """Runs functions in turns: for each its median time."""
    times: dict[str, list[float]] = {name: [] for name in trials}
    for _ in range(TRIALS if len(trials) > 1 else 1):
        for name, trial in trials.items():
            start = time.perf_counter()
            trial()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(each) for name, each in times.items()}


class _Translated:
    """A function by another engine. Shapes have their networks, calls at a time their requests.

    A call computes on as many threads as torch would in the thread that it comes from.

    Args:
        write: Makes, from tensors as they will come, a network; that makes requests.
    """

    def __init__(self, write: Callable[[Sequence[Tensor]], Callable[[], Function]]) -> None:
        self._write = write
        self._networks: OrderedDict[Any, tuple[Callable[[], Function], list[Function]]]
        self._networks = OrderedDict()
        self._lock, self._writing = Lock(), Lock()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        network, idle = self._network(inputs)
        with self._lock:
            request = idle.pop() if idle else None
        request = request or network()
        outputs = request(*inputs)
        idle.append(request)  # its buffers serve the next call
        return outputs

    def _network(self, inputs: Sequence[Tensor]) -> tuple[Callable[[], Function], list[Function]]:
        key = tuple(value.shape for value in inputs), torch.get_num_threads()
        with self._writing:  # what takes seconds is done once
            if key not in self._networks:
                self._networks[key] = self._write(inputs), []
            self._networks.move_to_end(key)
            while len(self._networks) > SHAPES_KEPT:
                self._networks.popitem(last=False)
            return self._networks[key]


class _AsModule(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._function(*inputs)


# --- OpenVINO ----------------------------------------------------------------------------------


def import_openvino() -> Any:
    """Imports OpenVINO without its telemetry, which would report each import over the network."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    known = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]
        if known is not None:
            sys.modules[_TELEMETRY] = known


def openvino_model(function: Function, model: nn.Module, inputs: Sequence[Tensor]) -> Any:
    """Translates a function on the weights of a model; shapes of its inputs stay open.

    By OpenVINO's frontend itself: its `convert_model` does more than is needed here.
    """
    import_openvino()
    frontend = importlib.import_module("openvino.frontend")
    decoder = importlib.import_module("openvino.frontend.pytorch.ts_decoder")
    examples = tuple(torch.zeros(value.shape) for value in inputs)
    with torch.no_grad(), _published_code(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, of what is constant: shapes are, on purpose
        traced = torch.jit.trace(_AsModule(function).eval(), examples, check_trace=False)
        reader = frontend.FrontEndManager().load_by_framework("pytorch")
        graph = decoder.TorchScriptPythonDecoder(traced, example_input=examples)
        translated = reader.convert(reader.load(graph))
    # The shapes are told when it is compiled, or stay open.
    translated.reshape({i: [-1] * value.dim() for i, value in enumerate(inputs)})
    return translated


class _OpenVinoWriter:
    def __init__(self, function: Function, model: nn.Module) -> None:
        self._function, self._model = function, model
        self._translated: Any = None

    def __call__(self, inputs: Sequence[Tensor]) -> Callable[[], Function]:
        openvino = import_openvino()
        if self._translated is None:
            self._translated = openvino_model(self._function, self._model, inputs)
        fitted = self._translated.clone()
        fitted.reshape({i: list(value.shape) for i, value in enumerate(inputs)})
        cores = max(len(os.sched_getaffinity(0)), torch.get_num_threads())
        # Without the first hint it may take bfloat16 where the hardware has it.
        network = openvino.compile_model(
            fitted,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": cores,
                "NUM_STREAMS": max(1, cores // torch.get_num_threads()),  # so many calls at a time
            },
        )

        def request() -> Function:
            running = network.create_infer_request()
            count = len(network.outputs)

            def run(*values: Tensor) -> tuple[Tensor, ...]:
                arrays = {i: value.contiguous().numpy() for i, value in enumerate(values)}
                found = running.infer(arrays)  # copies of inputs and outputs are cheap, and safe
                return tuple(torch.from_numpy(found[i]) for i in range(count))

            return run

        return request


# --- ONNX Runtime ------------------------------------------------------------------------------


def onnx_program(function: Function, model: nn.Module, inputs: Sequence[Tensor]) -> Any:
    """Translates a function on the weights of a model, for inputs of these shapes."""
    examples = tuple(torch.zeros(value.shape) for value in inputs)
    with torch.no_grad(), _published_code(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.onnx.export(_AsModule(function).eval(), examples, dynamo=True, verbose=False)


class _OnnxWriter:
    def __init__(self, function: Function, model: nn.Module) -> None:
        self._function, self._model = function, model
        self._files: OrderedDict[Any, bytes] = OrderedDict()

    def __call__(self, inputs: Sequence[Tensor]) -> Callable[[], Function]:
        key = tuple(value.shape for value in inputs)
        if key not in self._files:
            program = onnx_program(self._function, self._model, inputs)
            self._files[key] = program.model_proto.SerializeToString()
        while len(self._files) > SHAPES_KEPT:
            self._files.popitem(last=False)
        session = onnx_session(self._files[key])
        names = [each.name for each in session.get_inputs()]

        def run(*values: Tensor) -> tuple[Tensor, ...]:
            arrays = [value.contiguous().numpy() for value in values]
            found = session.run(None, dict(zip(names, arrays, strict=True)))
            return tuple(map(torch.from_numpy, found))

        return lambda: run


def onnx_session(model: bytes | str) -> Any:
    """Opens an ONNX file, or the contents of one, on as many threads as torch has."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


_WRITERS: dict[str, Any] = {"openvino": _OpenVinoWriter, "onnxruntime": _OnnxWriter}


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # hidden: sys.modules says that it is None
        return False


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
