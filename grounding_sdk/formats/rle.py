"""COCO's compressed run-length masks, from crops: no full-size mask is ever built."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import supervision as sv
from pycocotools import mask as coco_mask

from grounding_sdk.detections import Size, mask_crop


class Rle(TypedDict):
    """A mask as COCO stores it."""

    size: list[int]  # height, width
    counts: str  # the compressed run lengths, column-major, zeros first


def mask_rle(masks: sv.CompactMask | np.ndarray, index: int) -> Rle:
    """Returns one of N masks as compressed RLE.

    Args:
        masks: Compact, or (N, H, W) bool.
        index: Which one.

    >>> mask_rle(np.array([[[False, True], [False, True]]]), 0)
    {'size': [2, 2], 'counts': '22'}
    """
    _, height, width = masks.shape
    return crop_rle(*mask_crop(masks, index), (height, width))


def crop_rle(crop: np.ndarray, x: int, y: int, image_size: Size) -> Rle:
    """Returns the RLE of a mask that is `crop` at column x and row y, and False elsewhere.

    Args:
        crop: (h, w) bool, inside the image.
        x: Column of the crop's left edge.
        y: Row of its top edge.
        image_size: (height, width) in pixels.
    """
    height, width = image_size
    # The pixels of each column where the mask begins and ends, counted down the image's columns.
    padded = np.zeros((crop.shape[1], crop.shape[0] + 2), bool)
    padded[:, 1:-1] = crop.T
    column, row = np.nonzero(padded[:, 1:] != padded[:, :-1])
    edges = (column + x) * height + row + y
    starts, stops = edges[::2], edges[1::2]
    # A run that reaches the image's bottom and one from the top of the next column are one.
    joined = np.flatnonzero(starts[1:] == stops[:-1])
    starts, stops = np.delete(starts, joined + 1), np.delete(stops, joined)

    counts = np.diff(np.stack([starts, stops], axis=1).ravel(), prepend=0, append=height * width)
    if counts[-1] == 0:  # pycocotools ends with the last True pixel
        counts = counts[:-1]
    runs = {"size": [height, width], "counts": counts.tolist()}
    packed = coco_mask.frPyObjects(runs, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}
