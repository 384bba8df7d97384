"""Pictures beside annotations: found by their suffix, measured by their header alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import PIL.Image

from grounding_sdk.detections import Size
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.image import FORMATS

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .gif .webp .tif .tiff .ppm .pgm .pbm .jp2 .avif".split()
)


def picture_size(path: str | Path) -> Size:
    """Returns (height, width) of a picture file as it is seen, its EXIF orientation applied.

    Only the header is read: `Image.load` would decode each picture of a dataset to tell its size.

    Raises:
        FormatError: If the file is missing or no picture.
    """
    try:
        PIL.Image.init()
        known = [name for name in PIL.Image.ID if name in FORMATS.split(", ")]
        with PIL.Image.open(path, formats=known) as picture:
            width, height = picture.size
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise FormatError(f"cannot tell the size of the picture {path}: {error}") from error
    return (width, height) if turned else (height, width)


def find_pictures(folder: Path) -> Iterator[Path]:
    """Yields the picture files in a folder and below it, sorted."""
    yield from sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def source_in(*folders: Path, name: str) -> str | None:
    """Returns the path of a picture in the first folder that has it."""
    paths = (folder / name for folder in folders)
    return next((str(path) for path in paths if path.is_file()), None)
