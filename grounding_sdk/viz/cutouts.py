"""Single objects, cut out of their picture."""

from __future__ import annotations

import numpy as np

from grounding_sdk.detections import mask_crop
from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding
from grounding_sdk.viz.palette import Color


def cutouts(
    grounding: Grounding, *, pad: int = 0, background: Color | None = None
) -> list[np.ndarray]:
    """Cuts each object out along its mask, or along its box where it has no mask.

    Args:
        grounding: The result.
        pad: Pixels to leave around the object, as far as the picture reaches.
        background: RGB of what is not the object; None leaves it transparent.

    Returns:
        For each detection, in order, uint8 (h, w, 4) RGBA, or (h, w, 3) RGB with a background.

    Raises:
        ConfigError: If `pad` is negative.
    """
    if pad < 0:
        raise ConfigError(f"expected pad to be 0 or more pixels, got {pad}")
    return [_cutout(grounding, index, pad, background) for index in range(len(grounding))]


def _cutout(grounding: Grounding, index: int, pad: int, background: Color | None) -> np.ndarray:
    crop, x, y = _shape(grounding, index)
    height, width = grounding.image.size
    x1, y1 = max(0, x - pad), max(0, y - pad)
    x2, y2 = min(width, x + crop.shape[1] + pad), min(height, y + crop.shape[0] + pad)
    inside = np.zeros((y2 - y1, x2 - x1), bool)
    inside[y - y1 : y - y1 + crop.shape[0], x - x1 : x - x1 + crop.shape[1]] = crop
    pixels = grounding.image.pixels[y1:y2, x1:x2]
    if background is None:
        return np.dstack([pixels, inside.astype(np.uint8) * np.uint8(255)])
    return np.where(inside[:, :, None], pixels, np.array(background, np.uint8))


def _shape(grounding: Grounding, index: int) -> tuple[np.ndarray, int, int]:
    """Returns the object's pixels as a crop of a mask and its offset."""
    found = grounding.detections
    if found.mask is not None:
        crop, x, y = mask_crop(found.mask, index)
        if crop.size:
            return crop, x, y
    x1, y1 = np.floor(found.xyxy[index, :2]).astype(int).tolist()
    x2, y2 = np.ceil(found.xyxy[index, 2:]).astype(int).tolist()
    return np.ones((y2 - y1, x2 - x1), bool), x1, y1
