"""Finding the pictures that a person means by a folder, a pattern or a list."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from grounding_sdk.errors import ImageNotFoundError

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .gif .webp .tif .tiff .ppm .pgm .pbm .jp2 .avif".split()
)


def find_images(sources: Any) -> Iterator[Any]:
    """Expands folders and patterns; everything else is passed on as it is.

    A folder gives the picture files in it and below it, sorted; hidden ones are left out. A
    pattern ("photos/*.jpg", "**" for any depth) gives the files that match, sorted. A file named
    outright is passed on whatever its suffix.

    Args:
        sources: A path, a pattern, anything else that `Image.load` takes, or an iterable of these.

    Raises:
        ImageNotFoundError: When a folder holds no picture or a pattern matches nothing.
    """
    if isinstance(sources, str | os.PathLike):
        yield from _expand(os.fspath(sources))
    elif isinstance(sources, Iterable) and not _is_one_image(sources):
        for source in sources:
            is_path = isinstance(source, str | os.PathLike)
            yield from _expand(os.fspath(source)) if is_path else (source,)
    else:
        yield sources


def _expand(path: str) -> Iterator[str]:
    if os.path.isdir(path):
        found = (p for p in Path(path).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        shown = [p for p in found if not any(x.startswith(".") for x in p.relative_to(path).parts)]
        if not shown:
            raise ImageNotFoundError(f"no picture file in the folder {path}")
        yield from map(str, sorted(shown))
    elif glob.has_magic(path) and not os.path.exists(path) and "://" not in path:
        matches = sorted(p for p in glob.glob(path, recursive=True) if os.path.isfile(p))
        if not matches:
            raise ImageNotFoundError(f"no file matches {path}")
        yield from matches
    else:
        yield path


def _is_one_image(source: object) -> bool:
    # Arrays, tensors, PIL images and bytes can be iterated, but each is one picture.
    return isinstance(source, bytes | bytearray | memoryview) or any(
        hasattr(source, name) for name in ("__array_interface__", "read", "pixels", "detach")
    )
