"""Pictures as bytes and files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image

from grounding_sdk.errors import ConfigError
from grounding_sdk.files import write_file

# Format, options of Pillow, and the longest side that the format can hold.
_FORMATS = {
    ".jpg": ("JPEG", {"quality": 92, "subsampling": 0}, 65_500),
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": 0}, 65_500),
    ".png": ("PNG", {"compress_level": 3}, 2**31 - 1),
    ".webp": ("WEBP", {"quality": 90}, 16_383),
}


def encode_png(picture: np.ndarray) -> bytes:
    """Returns a picture, RGB or RGBA uint8 (H, W, 3 or 4), as the bytes of a PNG file."""
    return _encode(picture, ".png")


def save_picture(picture: np.ndarray, path: str | Path) -> Path:
    """Writes a picture; nobody ever sees half a file.

    Args:
        picture: RGB or RGBA uint8 (H, W, 3 or 4). JPEG knows no transparency: white shows.
        path: Ends with .jpg, .jpeg, .png or .webp. Missing folders are made.

    Returns:
        The path.

    Raises:
        ConfigError: If the suffix is none of these, or the picture too large for the format.
    """
    return write_file(path, _encode(picture, Path(path).suffix.lower()))


def _encode(picture: np.ndarray, suffix: str) -> bytes:
    if suffix not in _FORMATS:
        raise ConfigError(
            f"cannot write a picture as {suffix or 'a file without suffix'!r}: "
            f"expected one of {', '.join(_FORMATS)}"
        )
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4):
        raise ConfigError(
            f"expected a picture as uint8 (H, W, 3 or 4), got {picture.dtype} {picture.shape}"
        )
    name, options, longest = _FORMATS[suffix]
    if max(picture.shape[:2]) > longest:
        raise ConfigError(
            f"{suffix} holds at most {longest:,} pixels a side, got "
            f"{picture.shape[1]:,} x {picture.shape[0]:,}: save it as .png"
        )
    image = PIL.Image.fromarray(picture)
    if name == "JPEG" and image.mode == "RGBA":
        ground = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(ground, image).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()
