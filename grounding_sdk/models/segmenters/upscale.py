"""Masks at image size from small logits, exactly and as crops.

SAM-like models give logits of about 256 x 256 and reach the image's size by bilinear interpolation,
in one or two steps with a crop between them. Each step is linear and separable, so all of them
together make each row of pixels from a few neighbouring rows of logits, and columns alike. As the
weights are never negative and sum to one, a pixel can be positive only where a logit below it is:
the rest is never computed, and N x H x W is never built.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import supervision as sv
import torch
from torch.nn import functional

from grounding_sdk.detections import compact_masks

TILE = 256  # pixels a side: what is computed at a time, and small enough to be often all or nothing


@dataclass(frozen=True, eq=False)
class Axis:
    """How the pixels along one side of the image are made from the logits along it.

    Pixel `i` is the sum of `weights[t, i] * logits[first[i] + t]` over the `t`.

    Attributes:
        first: (n,) int, never decreasing.
        weights: (T, n) float32, with T at most 3 for what the models do.
    """

    first: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def reached_by(self, logits: np.ndarray) -> slice:
        """Returns a span with all pixels to which any of these logits, ascending, contributes.

        >>> resize_axis(8, (16, 16)).reached_by(np.array([3]))
        slice(5, 9, None)
        """
        if not len(logits):
            return slice(0, 0)
        low = np.searchsorted(self.first + len(self.weights), logits[0], side="right")
        high = np.searchsorted(self.first, logits[-1], side="right")
        return slice(int(low), int(high))

    def needs(self, pixels: slice) -> slice:
        """Returns the span of logits that these pixels are made from."""
        return slice(self.first[pixels.start], self.first[pixels.stop - 1] + len(self.weights))

    def interpolate(self, logits: np.ndarray, pixels: slice) -> np.ndarray:
        """Returns these pixels of (h, w) logits' first axis: (pixels, w), from `needs(pixels)`."""
        index = self.first[pixels] - self.first[pixels.start]
        return sum(
            weights[pixels, None] * logits[index + t] for t, weights in enumerate(self.weights)
        )


@lru_cache(maxsize=32)  # two for each image size, 50 kB each for 4,000 pixels
def resize_axis(n_logits: int, *steps: tuple[int, int]) -> Axis:
    """Composes steps of bilinear interpolation (`align_corners=False`) along one side.

    Args:
        n_logits: Logits along the side.
        steps: For each step the size to resize to and how many of these to keep.

    >>> resize_axis(2, (4, 4)).weights.tolist()
    [[1.0, 0.75, 0.25, 0.0], [0.0, 0.25, 0.75, 1.0]]
    """
    responses = torch.eye(n_logits)[None]  # to each logit
    for size, kept in steps:
        responses = functional.interpolate(responses, size, mode="linear", align_corners=False)
        responses = responses[..., :kept]
    dense = responses[0].numpy()
    used = dense != 0
    first, last = used.argmax(axis=0), n_logits - 1 - used[::-1].argmax(axis=0)
    taps = int((last - first).max()) + 1
    first = first.clip(max=n_logits - taps)
    return Axis(first, dense[first + np.arange(taps)[:, None], np.arange(len(first))])


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
    size = len(rows), len(columns)
    masks = []
    for one in logits:  # packed before the next is made
        crop, offset = _crop(one, rows, columns)
        masks.append(compact_masks([crop], [offset], size))
    return sv.CompactMask.merge(masks) if masks else compact_masks([], [], size)


def _crop(logits: np.ndarray, rows: Axis, columns: Axis) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of the mask where a pixel can be positive, and its (x, y)."""
    positive = logits > 0
    ys = rows.reached_by(np.flatnonzero(positive.any(axis=1)))
    xs = columns.reached_by(np.flatnonzero(positive.any(axis=0)))
    crop = np.zeros((ys.stop - ys.start, xs.stop - xs.start), bool)
    for top in range(ys.start, ys.stop, TILE):
        down = slice(top, min(top + TILE, ys.stop))
        for left in range(xs.start, xs.stop, TILE):
            across = slice(left, min(left + TILE, xs.stop))
            below = rows.needs(down), columns.needs(across)
            if not positive[below].any():
                continue
            tile = crop[_shifted(down, ys.start), _shifted(across, xs.start)]
            if positive[below].all():
                tile[:] = True
                continue
            widened = columns.interpolate(logits[below].T, across).T
            np.greater(rows.interpolate(widened, down), 0, out=tile)
    return crop, (xs.start, ys.start)


def _shifted(span: slice, by: int) -> slice:
    return slice(span.start - by, span.stop - by)
