"""Scaling of large pictures in little memory, with the pixels that a library gives.

Libraries scale 8-bit pictures in two passes, along rows and then along columns, and round between
them. So a picture may be scaled along its rows a band at a time, and what this gives along its
columns: no pixel differs, and what a library takes on the way, four times the picture, is that of
a band.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from grounding_sdk.detections import Size

PIXELS_AT_ONCE = 4_000_000  # 50 MB on the way

Scale: TypeAlias = Callable[[np.ndarray, Size], np.ndarray]


def is_large(pixels: np.ndarray) -> bool:
    """Whether an (H, W, 3) picture is worth the bands."""
    return pixels.shape[0] * pixels.shape[1] > PIXELS_AT_ONCE


def scale_in_bands(pixels: np.ndarray, size: Size, scale: Scale) -> np.ndarray:
    """Scales a picture.

    Args:
        pixels: (H, W, 3) uint8.
        size: (h, w) to scale to.
        scale: What does it, in two passes or in one where a side stays as it is.

    Returns:
        (h, w, 3) uint8.

    >>> half = lambda part, size: part[:: len(part) // size[0], :: part.shape[1] // size[1]]
    >>> scale_in_bands(np.zeros((3000, 2000, 3), np.uint8), (1500, 1000), half).shape
    (1500, 1000, 3)
    """
    if not is_large(pixels):
        return scale(pixels, size)
    height, width = pixels.shape[:2]
    rows = max(1, PIXELS_AT_ONCE // width)
    bands = (pixels[top : top + rows] for top in range(0, height, rows))
    narrow = np.concatenate([scale(band, (len(band), size[1])) for band in bands])
    return scale(narrow, size)
