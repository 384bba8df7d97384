"""Pictures and their detections at another size."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import supervision as sv

from grounding_sdk.detections import Size, mask_crop, pack_masks, with_columns
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image


def resized(grounding: Grounding, size: Size) -> Grounding:
    """Returns the grounding as if its picture had been (height, width) `size` all along."""
    image, found = grounding.image, grounding.detections
    if size == image.size:
        return grounding
    height, width = size
    shrinks = height * width < image.height * image.width
    pixels = cv2.resize(
        image.pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    factor = np.array([width / image.width, height / image.height] * 2, np.float32)
    masks = compact(found.mask)
    return replace(
        grounding,
        image=Image(pixels, image.source),
        detections=with_columns(
            found, xyxy=found.xyxy * factor, mask=None if masks is None else masks.resize(size)
        ),
    )


def fitted(size: Size, longest: int) -> Size:
    """Returns (height, width) shrunk so that the longer side is at most `longest`.

    >>> fitted((3000, 4000), 400)
    (300, 400)
    """
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def compact(masks: sv.CompactMask | np.ndarray | None) -> sv.CompactMask | None:
    """Returns masks, (N, H, W) bool or compact already, as compact ones."""
    if masks is None or isinstance(masks, sv.CompactMask):
        return masks
    return pack_masks((mask_crop(masks, index) for index in range(len(masks))), masks.shape[1:])
