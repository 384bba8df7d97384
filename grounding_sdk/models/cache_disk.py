"""Image embeddings as files: safetensors with a digest, oldest out first.

A file is trusted with nothing: no code is run, types come from a table here, and what cannot be
read or has another digest is deleted and made anew.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import re
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from grounding_sdk.files import write_file
from grounding_sdk.models.ports import Embedding

SUFFIX = ".safetensors"
# The types that are packed without help of their adapter, by their names in files.
KNOWN = MappingProxyType(
    {
        "sam": "grounding_sdk.models.segmenters.decoding:Embedding",
        "mini": "grounding_sdk.models.mini.predictor:Encoding",
    }
)

_log = logging.getLogger(__name__)


class EmbeddingFolder:
    """A folder with embeddings, within a limit. Other processes may use it too.

    Args:
        folder: Made when something is written; files of other names in it are left alone.
        max_bytes: Most that the files may take.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def read(self, model: Any, name: str) -> Embedding | None:
        """Returns an embedding; None if there is none that is intact."""
        path = self.folder / f"{name}{SUFFIX}"
        try:
            data = path.read_bytes()
            os.utime(path)  # used now, so dropped later
        except OSError:
            return None
        try:
            packed = unpack_bytes(data)
            return model.unpack(packed) if hasattr(model, "unpack") else packed
        except Exception as error:  # whatever a broken file leads to
            _log.warning("dropped the broken embedding %s: %s", path, error)
            path.unlink(missing_ok=True)
            return None

    def write(self, model: Any, name: str, embedding: Embedding) -> None:
        """Writes an embedding if it can be packed, and drops the oldest until all fit."""
        packed = model.pack(embedding) if hasattr(model, "pack") else embedding
        try:
            data = pack_bytes(packed)
        except TypeError as error:
            _log.debug("not written: %s", error)
            return
        if len(data) > self.max_bytes:
            return
        try:
            write_file(self.folder / f"{name}{SUFFIX}", data)
            self._drop_oldest()
        except OSError as error:
            _log.warning("cannot keep embeddings in %s: %s", self.folder, error)

    def bytes(self) -> int:
        """How much the files take."""
        return sum(size for _, size, _ in self._files())

    def clear(self) -> None:
        """Deletes the files."""
        for _, _, path in self._files():
            path.unlink(missing_ok=True)

    def _drop_oldest(self) -> None:
        files = self._files()
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _files(self) -> list[tuple[int, int, Path]]:
        """When each was used last, its size and path."""
        files = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            try:
                known = path.stat()
            except FileNotFoundError:  # another process was faster
                continue
            if re.fullmatch("[0-9a-f]{64}", path.stem):
                files.append((known.st_mtime_ns, known.st_size, path))
        return files


def pack_bytes(value: Any) -> bytes:
    """Returns a file's content for tensors, arrays and plain values in tuples, lists and dicts.

    Raises:
        TypeError: If there is something else in it.

    >>> unpack_bytes(pack_bytes({"size": (3, 4), "grid": np.eye(2)}))
    {'size': (3, 4), 'grid': array([[1., 0.],
           [0., 1.]])}
    """
    tensors: dict[str, torch.Tensor] = {}
    structure = json.dumps(_taken_apart(value, tensors))
    metadata = {"structure": structure, "sha256": _digest(structure, tensors)}
    return save(tensors, metadata)


def unpack_bytes(data: bytes) -> Any:
    """Returns what was packed.

    Raises:
        Exception: Of any kind, if the content is not intact.
    """
    tensors = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header["__metadata__"]
    if metadata["sha256"] != _digest(metadata["structure"], tensors):
        raise ValueError("the digest is another")
    return _put_together(json.loads(metadata["structure"]), tensors)


def _taken_apart(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, torch.Tensor | np.ndarray):
        name = str(len(tensors))
        # Copies, because tensors that share memory are not saved.
        if isinstance(value, np.ndarray):
            tensors[name] = torch.from_numpy(np.array(value, order="C"))
            return {"tensor": name, "device": "numpy"}
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name, "device": str(value.device)}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_taken_apart(part, tensors) for part in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _taken_apart(part, tensors) for key, part in value.items()}}
    place = f"{type(value).__module__}:{type(value).__qualname__}"
    for name, known in KNOWN.items():
        if known == place:
            parts = {f.name: _taken_apart(getattr(value, f.name), tensors) for f in fields(value)}
            return {"known": name, "fields": parts}
    raise TypeError(f"{place} cannot be packed: give its segmenter the methods pack and unpack")


def _put_together(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor, device = tensors[value["tensor"]], value["device"]
        return tensor.numpy() if device == "numpy" else tensor.to(device)
    if "tuple" in value:
        return tuple(_put_together(part, tensors) for part in value["tuple"])
    if "list" in value:
        return [_put_together(part, tensors) for part in value["list"]]
    if "dict" in value:
        return {key: _put_together(part, tensors) for key, part in value["dict"].items()}
    module, _, name = KNOWN[value["known"]].partition(":")
    parts = {key: _put_together(part, tensors) for key, part in value["fields"].items()}
    return getattr(importlib.import_module(module), name)(**parts)


def _digest(structure: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(structure.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
