"""From a name, a folder or a hub id to a model that is ready to use.

A name is looked up among registered models, then in the catalog, then among the entry points of
installed packages ("grounding_sdk.detectors", "grounding_sdk.segmenters"; a plug-in is a callable
that takes the device and returns the model). No model's module is imported before it is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from grounding_sdk.errors import (
    ConfigError,
    MissingExtraError,
    MissingWeightsError,
    UnknownModelError,
)
from grounding_sdk.models import catalog, store
from grounding_sdk.models.catalog import (
    ADAPTERS,
    DETECTOR,
    EXTRAS,
    MINI,
    MINI_FILES,
    SEGMENT_ANYTHING,
    SEGMENTER,
    ModelInfo,
)

if TYPE_CHECKING:
    from grounding_sdk.models.ports import Detector, Segmenter
    from grounding_sdk.models.precision import Precision

Factory: TypeAlias = Callable[[str], Any]  # takes the device, returns the model

_PORTS = {
    DETECTOR: ("name", "default_threshold", "detect"),
    SEGMENTER: ("name", "encode", "decode"),
}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/\w[\w.-]*")
_CHECKPOINT_SUFFIXES = {".pth", ".pt"}


def _fake_detector(device: str) -> Detector:
    from grounding_sdk.models.fakes import FakeDetector

    return FakeDetector()


def _fake_segmenter(device: str) -> Segmenter:
    from grounding_sdk.models.fakes import FakeSegmenter

    return FakeSegmenter()


_registered: dict[str, dict[str, Factory]] = {
    DETECTOR: {"fake": _fake_detector},
    SEGMENTER: {"fake": _fake_segmenter},
}


def load_detector(
    model: str | Path | Detector,
    *,
    device: str | None = None,
    offline: bool | None = None,
    precision: Precision | None = None,
) -> Detector:
    """Makes a detector ready.

    Args:
        model: A name ("mini", "owlv2:base"); a local folder in the layout of transformers; a hub
            id ("org/name"); or a detector, which is returned as it is.
        device: As torch names it ("cpu", "cuda:0"); None takes a CUDA device if there is one.
        offline: Whether the hub must not be asked for weights; None leaves it to the environment
            variables GROUNDING_SDK_OFFLINE and HF_HUB_OFFLINE.
        precision: "exact" (float32) or "fast" (bfloat16 where the device gains from it), for what
            is loaded here and has the choice; see `models.precision`. None leaves each as it is,
            which is "exact" for those of this package.

    Raises:
        UnknownModelError: If no detector has this name, or the folder holds none.
        MissingWeightsError: If the weights are nowhere to be found.
        CorruptWeightsError: If they are there, but cut short.
        MissingExtraError: If the model needs a package that is not installed.
        ConfigError: If there is no such device or precision, or an object that is no detector came.
    """
    detector: Detector = _load(DETECTOR, model, device, offline, precision)
    return detector


def load_segmenter(
    model: str | Path | Segmenter,
    *,
    device: str | None = None,
    offline: bool | None = None,
    precision: Precision | None = None,
) -> Segmenter:
    """Makes a segmenter ready.

    Args:
        model: As for `load_detector`; also the path of a checkpoint of segment-anything (.pth).
        device: As for `load_detector`.
        offline: As for `load_detector`.
        precision: As for `load_detector`.

    Raises:
        GroundingError: As for `load_detector`.
    """
    segmenter: Segmenter = _load(SEGMENTER, model, device, offline, precision)
    return segmenter


def register_detector(
    name: str, factory: Callable[[str], Detector], *, replace: bool = False
) -> None:
    """Makes a detector known under a name.

    Args:
        name: Any name without "/".
        factory: Called with the device as torch names it, each time the name is asked for.
        replace: Whether an existing name may be given a new meaning.

    Raises:
        ConfigError: If the name is taken, or is not a name.
    """
    _register(DETECTOR, name, factory, replace)


def register_segmenter(
    name: str, factory: Callable[[str], Segmenter], *, replace: bool = False
) -> None:
    """Makes a segmenter known under a name; see `register_detector`."""
    _register(SEGMENTER, name, factory, replace)


def model_names(kind: str) -> list[str]:
    """Lists what can be asked for by name: the catalog's models, registered ones, plug-ins'.

    Args:
        kind: "detector" or "segmenter".
    """
    names = [info.name for info in catalog.models(kind)]
    return list(dict.fromkeys([*names, *_registered[kind], *_plugins(kind)]))


def model_info(name: str, kind: str | None = None) -> ModelInfo:
    """Returns what is known of a model of the catalog, or of one on the hub.

    Raises:
        UnknownModelError: If it is neither in the catalog nor of the form of a hub id.
        ConfigError: If it was registered, by the user or a plug-in: its weights are its own matter.
    """
    info = catalog.lookup(name, kind)
    if info is not None:
        return info
    if _HUB_ID.fullmatch(name):
        return ModelInfo(name, kind or "", adapter="", source=name, licence="unknown")
    if any(name in model_names(each) for each in (DETECTOR, SEGMENTER) if kind in (None, each)):
        raise ConfigError(f"'{name}' is no model of the catalog: it brings its own weights, if any")
    raise UnknownModelError(_unknown(name, kind))


def _load(
    kind: str, model: Any, device: str | None, offline: bool | None, precision: str | None
) -> Any:
    if precision is not None:
        from grounding_sdk.models.precision import check_precision

        check_precision(precision)
    if not isinstance(model, str | os.PathLike):
        return _fitting(kind, model, "this object")
    loaded = _loaded(kind, model, device, offline)
    if precision is not None and hasattr(loaded, "precision"):
        loaded.precision = precision
    return loaded


def _loaded(
    kind: str, model: str | os.PathLike[str], device: str | None, offline: bool | None
) -> Any:
    name = os.fspath(model)
    factory = _factory(kind, name) if isinstance(model, str) else None
    if factory is not None:
        return _fitting(kind, factory(_device(device)), f"what the factory of '{name}' returned")

    path = _local_path(kind, model)
    if path is None:
        info = model_info(name, kind)
        _check_extra(info)
        path, name = store.resolve(info, offline), info.name
        adapter = info.adapter or _adapter_of(kind, path)
    else:
        adapter = _adapter_of(kind, path)
        store.check(path)
    where = _device(device)
    loaded = _import(name, adapter).load(path, name=name, device=where)
    if hasattr(loaded, "encode"):  # under which its embeddings are kept; see models.cache
        loaded.weights_id = f"{store.fingerprint(path)} {where}"
    return loaded


def _factory(kind: str, name: str) -> Factory | None:
    if name in _registered[kind]:
        return _registered[kind][name]
    if catalog.lookup(name, kind) is None and "/" not in name:
        plugin = _plugins(kind).get(name)
        if plugin is not None:
            return _plugged(plugin)
    return None


def _plugins(kind: str) -> dict[str, EntryPoint]:
    return {plugin.name: plugin for plugin in entry_points(group=f"grounding_sdk.{kind}s")}


def _plugged(plugin: EntryPoint) -> Factory:
    try:
        factory: Factory = plugin.load()
    except (ImportError, AttributeError) as error:
        owner = plugin.dist.name if plugin.dist else "an unknown package"
        raise ConfigError(
            f"the plug-in '{plugin.name}' of {owner} cannot be loaded from {plugin.value}: {error}"
        ) from error
    return factory


def _register(kind: str, name: str, factory: Factory, replace: bool) -> None:
    if not isinstance(name, str) or not name.strip() or "/" in name:
        raise ConfigError(f"expected a name without '/' for a {kind}, got {name!r}")
    if not callable(factory):
        raise ConfigError(
            f"expected a function that takes the device and returns a {kind}, "
            f"got {type(factory).__name__}"
        )
    if name in model_names(kind) and not replace:
        raise ConfigError(
            f"there is a {kind} '{name}' already: choose another name, or pass replace=True"
        )
    _registered[kind][name] = factory


def _fitting(kind: str, model: Any, what: str) -> Any:
    missing = [attribute for attribute in _PORTS[kind] if not hasattr(model, attribute)]
    if isinstance(model, type):
        raise ConfigError(f"{what} is the class {model.__name__}: pass an instance of it")
    if missing:
        raise ConfigError(
            f"{what} ({type(model).__name__}) is no {kind}: it lacks {', '.join(missing)}. "
            f"Expected a name, a path, or an object as grounding_sdk.models.ports describes"
        )
    return model


def _local_path(kind: str, model: str | os.PathLike[str]) -> Path | None:
    """Returns the path that is meant; None if a name or a hub id is."""
    text = os.fspath(model)
    if isinstance(model, str) and "/" not in text and catalog.lookup(text, kind):
        return None
    path = Path(text).expanduser()
    if text.strip() and path.exists():
        return path
    spelled = not isinstance(model, str) or path.suffix in _CHECKPOINT_SUFFIXES
    if spelled or (re.search(r"[/\\]", text) and not _HUB_ID.fullmatch(text)):
        raise MissingWeightsError(
            f"there is no file or folder {text!r} (in {Path.cwd()}): check the path, or give a "
            f"name such as those that `grounding-sdk models` lists"
        )
    return None


def _adapter_of(kind: str, path: Path) -> str:
    """Tells from its files what a local model is."""
    if path.is_file():
        if path.suffix not in _CHECKPOINT_SUFFIXES:
            raise ConfigError(
                f"expected a folder or a .pth checkpoint, got {path}: pass its folder"
            )
        if kind != SEGMENTER:
            raise UnknownModelError(f"{path} is a checkpoint of a segmenter, not of a {kind}")
        return SEGMENT_ANYTHING
    if all((path / name).is_file() for name in MINI_FILES):
        return MINI[kind]
    missing = store.missing_files(path)
    if missing:
        raise MissingWeightsError(
            f"{path} is not a model: it lacks {', '.join(missing)}. Expected a folder in the "
            f"layout that save_pretrained of transformers writes"
        )
    model_type = store.read_json(path / "config.json").get("model_type")
    adapter = ADAPTERS[kind].get(str(model_type))
    if adapter is None:
        other = SEGMENTER if kind == DETECTOR else DETECTOR
        known = f"it is a {other}. " if str(model_type) in ADAPTERS[other] else ""
        raise UnknownModelError(
            f"{path} holds a model of type {model_type!r}: {known}Expected one of "
            f"{', '.join(ADAPTERS[kind])}"
        )
    return adapter


def _import(name: str, adapter: str) -> Any:
    module, _, attribute = adapter.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("grounding_sdk"):
            raise
        raise MissingExtraError(
            f"'{name}' needs the package '{error.name}', which is not installed: "
            f"run `pip install {error.name}`"
        ) from error


def missing_modules(info: ModelInfo) -> list[str]:
    """Names the modules of a model's extra that are not installed."""
    modules = EXTRAS.get(info.extra or "", ())
    return [module for module in modules if importlib.util.find_spec(module) is None]


def _check_extra(info: ModelInfo) -> None:
    missing = missing_modules(info)
    if missing:
        raise MissingExtraError(
            f"'{info.name}' needs {', '.join(missing)}, which is not installed: "
            f"run `pip install 'grounding_sdk[{info.extra}]'`"
        )


def _device(device: str | None) -> str:
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"expected a device such as 'cpu', 'cuda' or 'cuda:1', got {device!r}"
        ) from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if chosen.type == "cuda" and (chosen.index or 0) >= count:
        raise ConfigError(
            f"device {str(chosen)!r} was asked for, but torch sees {count} CUDA devices: "
            f"use device='cpu', or leave it out to take what there is"
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' was asked for, but torch cannot use it here: use 'cpu'")
    return str(chosen)


def _unknown(name: str, kind: str | None) -> str:
    kinds = [kind] if kind else [DETECTOR, SEGMENTER]
    names = list(dict.fromkeys(known for each in kinds for known in model_names(each)))
    listed = "\n".join(f"{each.capitalize()}s: {', '.join(model_names(each))}." for each in kinds)
    if kind:
        other = SEGMENTER if kind == DETECTOR else DETECTOR
        if name in model_names(other) or catalog.lookup(name, other):
            return f"'{name}' is a {other}, not a {kind}.\n{listed}"
    families = {known: known.partition(":")[0] for known in names}
    family = [known for known in names if families[known] == name.partition(":")[0]]
    pool = family or [*dict.fromkeys(families.values()), *names]
    near = difflib.get_close_matches(name.lower(), dict.fromkeys(pool), n=3) or family
    hint = f" Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
    return (
        f"there is no {kind or 'model'} named {name!r}.{hint}\n{listed}\n"
        f"A local folder or a hub id (org/name) works too."
    )
