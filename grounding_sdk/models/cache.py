"""Keeping image embeddings, so that a second query on a picture runs no encoder.

An embedding is kept under the model that made it, the model's precision and the picture's pixels.
Two models are one if they have the same `weights_id` (the registry gives it to what it loads from
files: what the files are, and the device); any other is only itself.

A model may have the methods of `PacksEmbeddings`. Without them, the size of an embedding is
that of the tensors and arrays in it, and on disk go only embeddings of types known there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from grounding_sdk import __version__
from grounding_sdk.errors import ConfigError
from grounding_sdk.image import Image
from grounding_sdk.models.ports import Embedding, EncodesImages

if TYPE_CHECKING:
    from grounding_sdk.models.cache_disk import EmbeddingFolder

MEMORY = "memory"  # name of the cache that all pipelines share
MEMORY_BYTES = 256_000_000  # 60 pictures for SAM, 11 for Grounding DINO and SAM
DISK_BYTES = 4_000_000_000


class PacksEmbeddings(Protocol):
    """What a model may tell of its embeddings; each method may be missing."""

    def embedding_bytes(self, embedding: Embedding) -> int:
        """How much memory it holds."""
        ...

    def pack(self, embedding: Embedding) -> Any:
        """Makes tensors, arrays, numbers, strings, None, and tuples, lists, dicts of them."""
        ...

    def unpack(self, packed: Any) -> Embedding:
        """Makes the embedding again."""
        ...


@dataclass(frozen=True)
class CacheStats:
    """What a cache did and holds.

    Attributes:
        hits: Embeddings that were in memory, or about to be.
        disk_hits: Those that were on disk.
        misses: Those that had to be made.
        entries: How many are in memory.
        bytes: How much memory they take.
        disk_bytes: How much the files take.
    """

    hits: int
    disk_hits: int
    misses: int
    entries: int
    bytes: int
    disk_bytes: int


class EmbeddingCache:
    """Keeps the embeddings that were used last. Safe to share among threads.

    Threads that ask for the same embedding at the same time wait for one of them to make it. An
    embedding larger than all that may be kept is handed out and not kept.

    Args:
        max_bytes: Most to keep in memory.
        folder: Where to keep embeddings as files too, for other processes and later ones; None for
            nowhere. A folder may be shared.
        max_disk_bytes: Most to keep there.

    Raises:
        ConfigError: If a number is negative.
    """

    def __init__(
        self,
        max_bytes: int = MEMORY_BYTES,
        folder: str | Path | None = None,
        max_disk_bytes: int = DISK_BYTES,
    ) -> None:
        if max_bytes < 0 or max_disk_bytes < 0:
            raise ConfigError(f"expected 0 bytes or more, got {min(max_bytes, max_disk_bytes)}")
        self.max_bytes = max_bytes
        self.name = MEMORY if folder is None else str(folder)
        self._disk: EmbeddingFolder | None = None
        if folder is not None:
            from grounding_sdk.models.cache_disk import EmbeddingFolder

            self._disk = EmbeddingFolder(Path(folder), max_disk_bytes)
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[Embedding, int]] = OrderedDict()
        self._under_way: dict[Hashable, Future[Embedding]] = {}
        self._models: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._serials = itertools.count()
        self._bytes = self._hits = self._disk_hits = self._misses = 0

    def encode(self, model: EncodesImages, images: Sequence[Image]) -> list[Embedding]:
        """Returns an embedding for each image: `model.encode` runs on those not known, at once."""
        identity = self._identity(model)
        if identity is None:
            return list(model.encode(images))
        precision = str(getattr(model, "precision", None))
        keys = [(identity, precision, image.sha256) for image in images]
        futures: dict[Hashable, Future[Embedding]] = {}
        mine: dict[Any, Image] = {}
        with self._lock:
            for key, image in zip(keys, images, strict=True):
                known = key in futures or key in self._entries or key in self._under_way
                self._hits += known
                if key in futures:
                    continue
                if key in self._entries:
                    self._entries.move_to_end(key)
                    futures[key] = Future()
                    futures[key].set_result(self._entries[key][0])
                elif key in self._under_way:
                    futures[key] = self._under_way[key]
                else:
                    futures[key] = self._under_way[key] = Future()
                    mine[key] = image
        if mine:
            self._make(model, mine, futures)
        return [
            # Another thread's error, such as a bad picture beside this one, is not this one's.
            futures[key].result() if futures[key].exception() is None else model.encode([image])[0]
            for key, image in zip(keys, images, strict=True)
        ]

    def stats(self) -> CacheStats:
        """Says what the cache did so far and what it holds."""
        disk_bytes = self._disk.bytes() if self._disk else 0
        with self._lock:
            return CacheStats(
                hits=self._hits,
                disk_hits=self._disk_hits,
                misses=self._misses,
                entries=len(self._entries),
                bytes=self._bytes,
                disk_bytes=disk_bytes,
            )

    def clear(self) -> None:
        """Forgets all embeddings, on disk too, and what was counted."""
        with self._lock:
            self._entries.clear()
            self._bytes = self._hits = self._disk_hits = self._misses = 0
        if self._disk:
            self._disk.clear()

    def __repr__(self) -> str:
        return f"EmbeddingCache({self.name!r})"

    def _make(
        self,
        model: EncodesImages,
        mine: Mapping[Any, Image],
        futures: Mapping[Any, Future[Embedding]],
    ) -> None:
        try:
            found = {key: self._read(model, key) for key in mine}
            new = [key for key in mine if found[key] is None]
            if new:
                encoded = model.encode([mine[key] for key in new])
                found |= dict(zip(new, encoded, strict=True))
            sizes = {key: _size(model, embedding) for key, embedding in found.items()}
        except BaseException as error:
            with self._lock:
                for key in mine:
                    del self._under_way[key]
            for key in mine:
                futures[key].set_exception(error)
            raise
        with self._lock:
            self._misses += len(new)
            self._disk_hits += len(mine) - len(new)
            for key, embedding in found.items():
                self._keep(key, embedding, sizes[key])
                del self._under_way[key]
        for key, embedding in found.items():
            futures[key].set_result(embedding)
        for key in new:
            self._write(model, key, found[key])

    def _keep(self, key: Hashable, embedding: Embedding, size: int) -> None:
        if size > self.max_bytes:
            return
        self._entries[key] = embedding, size
        self._bytes += size
        while self._bytes > self.max_bytes:
            self._bytes -= self._entries.popitem(last=False)[1][1]

    def _identity(self, model: EncodesImages) -> Hashable | None:
        """What the model is known by; None if it cannot be told from another."""
        weights = getattr(model, "weights_id", None)
        if weights is not None:
            return f"{type(model).__module__}.{type(model).__qualname__}", str(weights)
        with self._lock:
            reference, serial = self._models.get(id(model), (None, 0))
            if reference is not None and reference() is model:
                return serial
            self._forget_the_dead()  # first: one of them may have had the same id
            try:
                self._models[id(model)] = weakref.ref(model), next(self._serials)
            except TypeError:
                return None
            return self._models[id(model)][1]

    def _forget_the_dead(self) -> None:
        dead = [key for key, (reference, _) in self._models.items() if reference() is None]
        serials = {self._models.pop(key)[1] for key in dead}
        for key in [key for key in self._entries if key[0] in serials]:  # type: ignore[index]
            self._bytes -= self._entries.pop(key)[1]

    def _read(self, model: EncodesImages, key: Any) -> Embedding | None:
        name = _file_name(key)
        return self._disk.read(model, name) if self._disk and name else None

    def _write(self, model: EncodesImages, key: Any, embedding: Embedding) -> None:
        name = _file_name(key)
        if self._disk and name:
            self._disk.write(model, name, embedding)


@cache
def shared_cache() -> EmbeddingCache:
    """Returns the cache in memory that all pipelines of this process share."""
    return EmbeddingCache()


def open_cache(cache: EmbeddingCache | str | Path | None) -> EmbeddingCache | None:
    """Returns the cache that is meant: "memory" for the shared one, a folder for one with files.

    Raises:
        ConfigError: If it is something else.
    """
    if cache is None or isinstance(cache, EmbeddingCache):
        return cache
    if cache == MEMORY:
        return shared_cache()
    if isinstance(cache, str | Path):
        return EmbeddingCache(folder=cache)
    raise ConfigError(
        f"expected an EmbeddingCache, '{MEMORY}', a folder or None, got {type(cache).__name__}"
    )


def tensor_bytes(value: object) -> int:
    """Returns the bytes of all tensors and arrays in a value; of a value without any, its own.

    Tuples, lists, dicts, dataclasses and other objects are looked into. What is in it twice is
    counted once; of a view, all that it keeps alive.

    >>> import numpy as np
    >>> pixels = np.zeros((10, 10), np.uint8)
    >>> tensor_bytes({"a": pixels, "b": (pixels, [pixels[:5]])})
    100
    """
    held = dict(_held(value, set()))
    return sum(held.values()) or sys.getsizeof(value)


def _held(value: Any, seen: set[int]) -> Iterator[tuple[int, int]]:
    """Yields the address and the size of each piece of memory."""
    if id(value) in seen or isinstance(value, str | bytes | int | float | type | None):
        return
    seen.add(id(value))
    if hasattr(value, "untyped_storage"):  # a tensor of torch, which need not be imported
        storage = value.untyped_storage()
        yield storage.data_ptr(), storage.nbytes()
    elif hasattr(value, "nbytes") and hasattr(value, "__array_interface__"):
        while hasattr(getattr(value, "base", None), "__array_interface__"):
            value = value.base
        yield value.__array_interface__["data"][0], int(value.nbytes)
    else:
        parts: Any = value if isinstance(value, tuple | list | set | frozenset) else ()
        if isinstance(value, Mapping):
            parts = value.values()
        elif dataclasses.is_dataclass(value):
            parts = (getattr(value, field.name) for field in dataclasses.fields(value))
        elif hasattr(value, "__dict__") and not callable(value):
            parts = vars(value).values()
        for part in parts:
            yield from _held(part, seen)


def _size(model: Any, embedding: Embedding) -> int:
    if hasattr(model, "embedding_bytes"):
        return int(model.embedding_bytes(embedding))
    return tensor_bytes(embedding)


def _file_name(key: Any) -> str | None:
    """Names the file of a key; None for models that mean nothing to another process."""
    identity, precision, image = key
    if not isinstance(identity, tuple):
        return None
    return hashlib.sha256(
        "\n".join([__version__, *identity, precision, image]).encode()
    ).hexdigest()
