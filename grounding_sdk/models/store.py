"""Where weights are: found on this machine, checked, and fetched from the hub when that is allowed.

They are looked for in this order, and the network is asked last:

1. the folder that the environment variable GROUNDING_SDK_WEIGHTS names, as `<name with - for :>`,
   as `<hub id>`, or, for a published checkpoint, under its file name;
2. the `weights/` that come with the package;
3. the Hugging Face cache, or `~/.cache/grounding_sdk` for published checkpoints;
4. the Hugging Face hub, unless offline: the argument, GROUNDING_SDK_OFFLINE=1 or HF_HUB_OFFLINE=1.

A published checkpoint is never downloaded as a side effect of loading it; `pull` does that.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from grounding_sdk.errors import ConfigError, CorruptWeightsError, MissingWeightsError
from grounding_sdk.models.catalog import EMBEDDED, MINI_FILES, FileInfo, ModelInfo

WEIGHTS_VAR = "GROUNDING_SDK_WEIGHTS"
OFFLINE_VARS = ("GROUNDING_SDK_OFFLINE", "HF_HUB_OFFLINE")
HUB_SECONDS = 2.0  # longest silence of the hub; its client adds up to 3 of its own
DOWNLOAD_SECONDS = 20.0  # longest silence in a download

_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
_WEIGHT_SUFFIXES = {".safetensors", ".pth", ".pt", ".bin"}
_CHUNK = 2**20


@dataclass(frozen=True)
class Search:
    """What came of looking for weights on this machine.

    Attributes:
        path: The file or folder; None if nowhere.
        place: "folder" (of GROUNDING_SDK_WEIGHTS), "embedded", "cache", or "missing".
        looked: Each place looked at before it was found, and why it was not there.
    """

    path: Path | None
    place: str
    looked: tuple[str, ...]


def find(info: ModelInfo) -> Search:
    """Looks for a model's weights on this machine; never asks the network."""
    looked = [] if os.environ.get(WEIGHTS_VAR) else [f"the folder ${WEIGHTS_VAR} (not set)"]
    for place, path in _candidates(info):
        try:
            problem = _problem(info, path)
        except (CorruptWeightsError, OSError) as error:
            problem = str(error)
        if problem is None:
            return Search(path, place, tuple(looked))
        looked.append(f"{path} ({problem})")
    return Search(None, "missing", tuple(looked))


def resolve(info: ModelInfo, offline: bool | None = None) -> Path:
    """Returns where a model's weights are, fetching them from the hub if they must and may be.

    Args:
        info: The model.
        offline: Whether the hub must not be asked; None leaves it to the environment.

    Raises:
        MissingWeightsError: If they are nowhere, or the hub cannot or must not give them.
        CorruptWeightsError: If a file is cut short or is a Git LFS pointer. Digests are not
            computed here but by `verify`.
    """
    search = find(info)
    path = search.path
    if path is None:
        if info.source == EMBEDDED or info.url:
            raise MissingWeightsError(_missing(info, search.looked))
        reason = offline_reason(offline)
        if reason:
            looked = (*search.looked, f"the Hugging Face hub (not asked: {reason})")
            raise MissingWeightsError(_missing(info, looked))
        path = _from_hub(info, search.looked)
    check(path, _known(info, path))
    return path


def check(path: Path, known: Mapping[Path, FileInfo] | None = None) -> None:
    """Checks in a moment that weights are whole, by sizes and headers.

    Args:
        path: A file of weights, or a folder of them.
        known: What files must be, where that is known.

    Raises:
        CorruptWeightsError: If a file is a Git LFS pointer, or its size is not what its header or
            `known` says.
    """
    known = known or {}
    for file in sorted({*weight_files(path), *known}):
        size = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(len(_LFS_POINTER))
        if head == _LFS_POINTER:
            raise CorruptWeightsError(
                f"{file} is a Git LFS pointer, not the weights: run `git lfs install` and "
                f"`git lfs pull` in the checkout, then install again"
            )
        expected = known[file].bytes if file in known else _safetensors_size(file)
        if expected is not None and size != expected:
            raise CorruptWeightsError(
                f"{file} has {size:,} bytes, expected {expected:,}: the copy or download was cut "
                f"short or altered; delete it and get it again"
            )


def verify(info: ModelInfo, path: Path) -> list[str]:
    """Checks weights by their sha256, wherever one is known.

    Known are those in the catalog, those in `weights/manifest.json`, and those by which the
    Hugging Face cache names its files.

    Returns:
        The names of the files that were compared; the others have only passed `check`.

    Raises:
        CorruptWeightsError: If a digest differs, or `check` fails.
    """
    known = _known(info, path)
    check(path, known)
    compared = []
    for file in sorted({*weight_files(path), *known}):
        expected = known[file].sha256 if file in known else _digest_in_cache(file)
        if expected is None:
            continue
        with file.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
        if actual != expected:
            raise CorruptWeightsError(
                f"{file} has the sha256 {actual}, expected {expected}: it is damaged or another "
                f"version; delete it and get it again"
            )
        compared.append(file.name)
    return compared


def pull(info: ModelInfo, to: Path | None = None) -> Path:
    """Downloads a model's weights, unless they are there already, and verifies them.

    Args:
        info: The model.
        to: A folder to be named by GROUNDING_SDK_WEIGHTS, here or on another machine. Without it
            weights of the hub go into the Hugging Face cache, published checkpoints into the
            folder of GROUNDING_SDK_WEIGHTS or `~/.cache/grounding_sdk`.

    Returns:
        The file or folder.

    Raises:
        MissingWeightsError: If they cannot be downloaded.
        CorruptWeightsError: If what arrived, or was there, is not what it should be.
        ConfigError: If the model comes with the package.
    """
    if info.source == EMBEDDED:
        raise ConfigError(f"'{info.name}' comes with the package: there is nothing to download")
    path = find(info).path
    if to is not None:
        target = to.expanduser() / (info.source if info.url else info.folder)
        path = target if _problem(info, target) is None else None
    if path is None:
        reason = offline_reason(None)
        if reason:
            raise MissingWeightsError(f"'{info.name}' was not downloaded: {reason}; unset it first")
        if info.url:
            path = _from_url(info, to.expanduser() if to else _checkpoint_folder())
        else:
            path = _from_hub(info, (), target if to else None)
    verify(info, path)
    return path


def offline_reason(offline: bool | None) -> str | None:
    """Says why the network must not be asked; None if it may."""
    if offline is not None:
        return "offline=True" if offline else None
    for variable in OFFLINE_VARS:
        if os.environ.get(variable, "").strip().lower() in {"1", "true", "yes", "on"}:
            return f"{variable} is set"
    return None


def megabytes(info: ModelInfo) -> int | None:
    """Returns the size of a model's weights in 10^6 bytes, about; None where not known."""
    if info.source != EMBEDDED:
        return info.megabytes
    files = _manifest(embedded_folder()).get(info.name, {}).values()
    return round(sum(file.bytes for file in files) / 1e6) or None


def embedded_folder() -> Path:
    """Returns the `weights/` of an installed package, or of the checkout that this runs from."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "weights"
    return installed if installed.is_dir() else package.parent / "weights"


def weight_files(path: Path) -> list[Path]:
    """Returns the file itself, or a folder's own files of weights."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in _WEIGHT_SUFFIXES)


def fingerprint(path: Path) -> str:
    """Tells a model's files from others and from what they were: by place, size and time.

    Args:
        path: A folder, or a checkpoint's file. Nothing is read.
    """
    path = path.resolve()
    files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.is_file())
    known = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def missing_files(folder: Path) -> list[str]:
    """Names the files that a folder lacks to be a model in the layout of transformers."""
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(read_json(index).get("weight_map", {}).values())
        return missing + sorted(shard for shard in shards if not (folder / shard).is_file())
    names = [file.name for file in folder.iterdir()]
    if not any(fnmatch.filter(names, pattern) for pattern in ("*.safetensors", "*model*.bin")):
        missing.append("*.safetensors")
    return missing


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file that must hold a JSON object.

    Raises:
        CorruptWeightsError: If it holds anything else.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptWeightsError(f"{path} is not JSON ({error}): get it again") from None
    if not isinstance(content, dict):
        raise CorruptWeightsError(f"{path} is not a JSON object: get it again")
    return content


def wanted(names: Iterable[str]) -> list[str]:
    """Chooses from a hub repository what is needed and safe: data, no code, and no pickle.

    `pytorch_model.bin` is taken only where there are no safetensors; it is read with
    `weights_only`.

    >>> wanted(["config.json", "model.safetensors", "pytorch_model.bin", "sam3.pt", "model.py"])
    ['config.json', 'model.safetensors']
    >>> wanted(["vocab.txt", "pytorch_model.bin", "onnx/model.safetensors"])
    ['vocab.txt', 'pytorch_model.bin']
    """
    top = [name for name in names if "/" not in name]
    data = [name for name in top if Path(name).suffix in {".json", ".txt", ".model"}]
    weights = fnmatch.filter(top, "*.safetensors") or fnmatch.filter(top, "pytorch_model*.bin")
    if "model.safetensors" in weights:
        weights = ["model.safetensors"]
    return data + weights


def _candidates(info: ModelInfo) -> Iterator[tuple[str, Path]]:
    chosen = os.environ.get(WEIGHTS_VAR)
    if chosen:
        root = Path(chosen).expanduser()
        yield "folder", root / (info.source if info.url else info.folder)
        if not info.url and info.source != EMBEDDED and info.source != info.folder:
            yield "folder", root / info.source
    if info.source == EMBEDDED:
        yield "embedded", embedded_folder() / info.folder
    elif info.url:
        yield "cache", _user_cache() / info.source
    else:
        yield "cache", _hub_snapshot(info.source)


def _problem(info: ModelInfo, path: Path) -> str | None:
    """Says why these are not a model's weights; None if they are."""
    if info.url:
        return None if path.is_file() else "no such file"
    if not path.is_dir():
        return "no such folder"
    if info.source == EMBEDDED:
        names = {*MINI_FILES, *(file.name for file in _known(info, path))}
        missing = sorted(name for name in names if not (path / name).is_file())
    else:
        missing = missing_files(path)
    return f"lacks {', '.join(missing)}" if missing else None


def _known(info: ModelInfo, path: Path) -> dict[Path, FileInfo]:
    """Says what the files at a path must be, as far as catalog and manifest know."""
    if info.source == EMBEDDED:
        root = embedded_folder()
        if path != root / info.folder:
            return {}
        return {root / name: file for name, file in _manifest(root).get(info.name, {}).items()}
    if path.is_file():
        return {path: info.files[path.name]} if path.name in info.files else {}
    return {path / name: file for name, file in info.files.items()}


@cache
def _manifest(root: Path) -> dict[str, dict[str, FileInfo]]:
    path = root / "manifest.json"
    if not path.is_file():
        return {}
    return {
        name: {
            file: FileInfo(entry["bytes"], entry["sha256"])
            for file, entry in model["files"].items()
        }
        for name, model in read_json(path)["models"].items()
    }


def _safetensors_size(file: Path) -> int | None:
    """Returns the size that a safetensors file's own header promises; None for other files.

    The layout is that of https://huggingface.co/docs/safetensors: the header's length as 8 bytes
    little-endian, a JSON header with offsets, the tensors.
    """
    if file.suffix != ".safetensors":
        return None
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= file.stat().st_size else b""
    try:
        tensors = json.loads(header)
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name[:2] != "__"]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise CorruptWeightsError(
            f"{file} is not a safetensors file, or was cut short: delete it and get it again"
        ) from None
    return 8 + length + max(ends, default=0)


def _digest_in_cache(file: Path) -> str | None:
    """Returns the sha256 by which the Hugging Face cache names a large file; None elsewhere."""
    name = file.resolve().name
    return name if file.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", name) else None


def _hub_snapshot(repo: str) -> Path:
    """Returns the snapshot of a repository in the Hugging Face cache, or where one would be."""
    from huggingface_hub import constants, try_to_load_from_cache

    config = try_to_load_from_cache(repo, "config.json")
    if isinstance(config, str):
        return Path(config).parent
    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def _from_hub(info: ModelInfo, looked: tuple[str, ...], folder: Path | None = None) -> Path:
    """Downloads from the hub into a folder, or else into the Hugging Face cache."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        # Asked first, and with a short patience: what downloads has none of its own.
        listing = HfApi().model_info(info.source, timeout=HUB_SECONDS)
        names = wanted(file.rfilename for file in listing.siblings or ())
        path = Path(snapshot_download(info.source, allow_patterns=names, local_dir=folder))
        missing = missing_files(path)
        reason = f"has no {', '.join(missing)}" if missing else ""
    except GatedRepoError:
        reason = "gated: accept its licence on its hub page, then log in with `hf auth login`"
    except RepositoryNotFoundError:
        reason = "no such model, or a private one: check the name, or log in with `hf auth login`"
    except Exception as error:  # each version of the hub's client has its own
        reason = f"unreachable: {type(error).__name__}: {error}"
    if reason:
        looked = (*looked, f"the Hugging Face hub, {info.source} ({reason})")
        raise MissingWeightsError(_missing(info, looked))
    return path


def _from_url(info: ModelInfo, folder: Path) -> Path:
    """Downloads a published checkpoint; nothing half-done or wrong is left under its name."""
    from tqdm import tqdm

    expected = info.files[info.source]
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    part = folder / f".{info.source}.{os.getpid()}.part"
    try:
        with (
            part.open("wb") as stream,
            urllib.request.urlopen(info.url or "", timeout=DOWNLOAD_SECONDS) as response,
            tqdm(total=expected.bytes, unit="B", unit_scale=True, desc=info.source) as progress,
        ):
            while chunk := response.read(_CHUNK):
                stream.write(chunk)
                digest.update(chunk)
                progress.update(len(chunk))
                if stream.tell() > expected.bytes:
                    break
        if digest.hexdigest() != expected.sha256:
            raise CorruptWeightsError(
                f"{info.url} gave {part.stat().st_size:,} bytes with the sha256 "
                f"{digest.hexdigest()}, expected {expected.bytes:,} with {expected.sha256}: "
                f"nothing was kept; try again"
            )
        return part.replace(folder / info.source)
    except OSError as error:
        looked = (f"{info.url} ({type(error).__name__}: {error})",)
        raise MissingWeightsError(_missing(info, looked)) from error
    finally:
        part.unlink(missing_ok=True)


def _missing(info: ModelInfo, looked: Iterable[str]) -> str:
    """Writes the message that says where weights were looked for and how to get them."""
    size = f", about {info.megabytes:,} MB" if info.megabytes else ""
    source = "part of the package" if info.source == EMBEDDED else info.source
    places = "".join(f"\n  - {place}" for place in looked)
    if info.source == EMBEDDED:
        advice = "Install grounding_sdk again, or restore weights/ in the checkout."
    else:
        advice = (
            f"To get them, run `grounding-sdk weights pull {info.name}` where there is a network; "
            f"add `--to DIR`, bring DIR here and set {WEIGHTS_VAR}=DIR if this machine has none. "
            f"A path to a local copy works in place of the name."
        )
        if info.url:
            advice += f" They are published at {info.url}"
    return f"no weights for '{info.name}' ({source}{size}). Looked in:{places}\n{advice}"


def _checkpoint_folder() -> Path:
    chosen = os.environ.get(WEIGHTS_VAR)
    return Path(chosen).expanduser() if chosen else _user_cache()


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "grounding_sdk"
