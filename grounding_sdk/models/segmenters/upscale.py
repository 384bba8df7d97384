"""Masks at image size from small logits, exactly and as crops.

SAM-like models give logits of about 256 x 256 and reach the image's size by bilinear interpolation,
in one or two steps with a crop between them. Each step is linear and separable, so all of them
together are one matrix for the rows and one for the columns. As the weights are never negative and
sum to one, a pixel can be positive only where a logit below it is: the rest is never computed, and
N x H x W is never built.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import supervision as sv
import torch
from torch.nn import functional

from grounding_sdk.detections import Size, compact_masks

TILE = 256  # pixels a side: what is computed at a time, and small enough to be often all or nothing


@dataclass(frozen=True, eq=False)
class Axis:
    """How the pixels along one side of the image are made from the logits along it.

    Attributes:
        weights: (n_out, n_in) float32; each row is zero outside of `start[i]:stop[i]`.
        start: (n_out,) int, never decreasing.
        stop: (n_out,) int, never decreasing.
    """

    weights: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def reached_by(self, logits: np.ndarray) -> slice:
        """Returns the span of pixels to which any of these logits, ascending indices, contributes.

        >>> resize_axis(2, (4, 4)).reached_by(np.array([0]))
        slice(0, 3, None)
        """
        if not len(logits):
            return slice(0, 0)
        first = np.searchsorted(self.stop, logits[0], side="right")
        last = np.searchsorted(self.start, logits[-1], side="right")
        return slice(int(first), int(last))


@lru_cache(maxsize=8)  # two for each image size; 4 MB each for 4,000 pixels
def resize_axis(n_in: int, *steps: tuple[int, int]) -> Axis:
    """Composes steps of bilinear interpolation (`align_corners=False`) along one side.

    Args:
        n_in: Logits along the side.
        steps: For each step the size to resize to and how many of these to keep.

    >>> resize_axis(2, (4, 4)).weights.tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    values = torch.eye(n_in)[None]  # one response for each logit
    for size, kept in steps:
        values = functional.interpolate(values, size, mode="linear", align_corners=False)
        values = values[..., :kept]
    weights = np.ascontiguousarray(values[0].numpy().T)
    used = weights != 0
    return Axis(weights, used.argmax(axis=1), n_in - used[:, ::-1].argmax(axis=1))


def upscale_masks(logits: np.ndarray, rows: Axis, columns: Axis) -> sv.CompactMask:
    """Returns where the upscaled logits are positive, one mask after the other.

    Args:
        logits: (K, h, w) float32.
        rows: From h to the image's height.
        columns: From w to the image's width.

    Returns:
        K masks, those of dense interpolation but for pixels whose logit is zero up to rounding.

    >>> logits = np.float32([[[1, -1], [-1, -1]]])
    >>> upscale_masks(logits, resize_axis(2, (4, 4)), resize_axis(2, (3, 3))).to_dense().astype(int)
    array([[[1, 0, 0],
            [1, 0, 0],
            [0, 0, 0],
            [0, 0, 0]]])
    """
    size = len(rows.weights), len(columns.weights)
    masks = [_packed(_crop(one, rows, columns), size) for one in logits]
    return sv.CompactMask.merge(masks) if masks else compact_masks([], [], size)


def _packed(crop: tuple[np.ndarray, tuple[int, int]], size: Size) -> sv.CompactMask:
    pixels, offset = crop
    return compact_masks([pixels], [offset], size)


def _crop(logits: np.ndarray, rows: Axis, columns: Axis) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of the mask where a pixel can be positive, and its (x, y)."""
    positive = logits > 0
    ys = rows.reached_by(np.flatnonzero(positive.any(axis=1)))
    xs = columns.reached_by(np.flatnonzero(positive.any(axis=0)))
    crop = np.zeros((max(ys.stop - ys.start, 0), max(xs.stop - xs.start, 0)), bool)
    for top in range(ys.start, ys.stop, TILE):
        bottom = min(top + TILE, ys.stop)
        up = slice(rows.start[top], rows.stop[bottom - 1])
        for left in range(xs.start, xs.stop, TILE):
            right = min(left + TILE, xs.stop)
            across = slice(columns.start[left], columns.stop[right - 1])
            below = positive[up, across]
            if not below.any():
                continue
            tile = crop[top - ys.start : bottom - ys.start, left - xs.start : right - xs.start]
            if below.all():
                tile[:] = True
                continue
            widened = logits[up, across] @ columns.weights[left:right, across].T
            np.greater(rows.weights[top:bottom, up] @ widened, 0, out=tile)
    return crop, (xs.start, ys.start)
