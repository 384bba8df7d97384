"""Masks at image size from small logits, exactly and as crops.

SAM-like models give logits of about 256 x 256 and reach the image's size by bilinear interpolation,
in one or two steps with a crop between them. Each step is linear and separable, so all of them
together make each row of pixels from a few neighbouring rows of logits, and columns alike. As the
weights are never negative and sum to one, a pixel can be positive only where a logit below it is:
the rest is never computed, and N x H x W is never built.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import supervision as sv
import torch
from torch.nn import functional

from grounding_sdk.detections import pack_run_lengths

BAND = 128  # pixels side by side that one small matrix product makes of the logits below


@dataclass(frozen=True, eq=False)
class Axis:
    """How the pixels along one side of the image are made from the logits along it.

    Pixel `i` is a weighted sum of the `taps` logits from `first[i]` on.

    Attributes:
        first: (n,) int, never decreasing.
        taps: At most 3 for what the models do.
        matrices: For each `BAND` of pixels (pixels, logits) float32: the weights of the logits from
            the first pixel's first on.
    """

    first: np.ndarray
    taps: int
    matrices: Sequence[torch.Tensor]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def n_logits(self) -> int:
        """How many logits pixels are made from, counted from the first."""
        return int(self.first[-1]) + self.taps

    def reached_by(self, logits: np.ndarray) -> slice:
        """Returns a span with all pixels to which any of these logits, ascending, contributes.

        >>> resize_axis(8, (16, 16)).reached_by(np.array([3]))
        slice(5, 9, None)
        """
        if not len(logits):
            return slice(0, 0)
        low = np.searchsorted(self.first + self.taps, logits[0], side="right")
        high = np.searchsorted(self.first, logits[-1], side="right")
        return slice(int(low), int(high))

    def bands(self, pixels: slice) -> Iterator[tuple[slice, slice, torch.Tensor]]:
        """Cuts a span of pixels into bands.

        Yields:
            A span of pixels, the span of logits that they are made from, and the matrix that does.
        """
        for start in range(pixels.start - pixels.start % BAND, pixels.stop, BAND):
            band = slice(max(start, pixels.start), min(start + BAND, pixels.stop))
            matrix = self.matrices[start // BAND]
            low = int(self.first[start])
            rows = slice(band.start - start, band.stop - start)
            yield band, slice(low, low + matrix.shape[1]), matrix[rows]


@lru_cache(maxsize=32)  # two for each image size, 0.2 MB each for 4,000 pixels
def resize_axis(n_logits: int, *steps: tuple[int, int]) -> Axis:
    """Composes steps of bilinear interpolation (`align_corners=False`) along one side.

    Args:
        n_logits: Logits along the side.
        steps: For each step the size to resize to and how many of these to keep.

    >>> resize_axis(2, (4, 4)).matrices[0].tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
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
    starts = range(0, len(first), BAND)
    ends = [first[start : start + BAND][-1] + taps for start in starts]
    matrices = [
        responses[0, first[start] : end, start : start + BAND].t().contiguous()
        for start, end in zip(starts, ends, strict=True)
    ]
    return Axis(first, taps, matrices)


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
    placed = (_run_lengths(one, rows, columns) for one in logits)
    return pack_run_lengths(placed, (len(rows), len(columns)))


def _run_lengths(
    logits: np.ndarray, rows: Axis, columns: Axis
) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
    """The part of the mask where a pixel can be positive: run lengths, (height, width), (x, y).

    Run lengths go by columns and begin with zeros. A few columns are made at a time, so that they
    are in the cache when edges are looked for, and the crop never is in memory.
    """
    positive = logits > 0
    inside = np.asarray(positive.any(axis=0))
    ys = rows.reached_by(np.flatnonzero(positive.any(axis=1)))
    xs = columns.reached_by(np.flatnonzero(inside))
    height, width = ys.stop - ys.start, xs.stop - xs.start
    if not height or not width:
        return np.zeros(0, np.int32), (0, 0), (0, 0)
    given = torch.from_numpy(logits).t()
    tall = torch.empty(len(given), height)  # by columns, as they are read
    for down, below, matrix in rows.bands(ys):
        made = tall[:, down.start - ys.start : down.stop - ys.start]
        torch.mm(given[:, below], matrix.t(), out=made)
    wide = torch.empty(BAND, height)
    pixels = np.zeros(1 + BAND * height, bool)  # the first is the last one of the band before
    edges = [np.zeros(1, np.int64)]
    for across, below, matrix in columns.bands(xs):
        count = len(matrix) * height
        if inside[below].any():
            band = torch.mm(matrix, tall[below], out=wide[: len(matrix)])
            np.greater(band.view(-1).numpy(), 0, out=pixels[1 : 1 + count])
        else:
            pixels[1 : 1 + count] = False
        change = pixels[1 : 1 + count] != pixels[:count]
        edges.append(np.flatnonzero(change) + (across.start - xs.start) * height)
        pixels[0] = pixels[count]
    edges.append(np.full(1, width * height))
    lengths = np.diff(np.concatenate(edges)).astype(np.int32)
    return lengths, (height, width), (xs.start, ys.start)
