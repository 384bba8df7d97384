"""COCO's compressed run-length masks, to and from crops: no full-size mask is ever built."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
import supervision as sv
from pycocotools import mask as coco_mask

from grounding_sdk.detections import Size, mask_crop
from grounding_sdk.formats.annotated import Mask
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.image import MAX_PIXELS


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
    return _packed(image_runs(crop, x, y, image_size), image_size)


def image_runs(crop: np.ndarray, x: int, y: int, image_size: Size) -> np.ndarray:
    """Returns the run lengths of such a mask, down the image's columns, zeros first.

    Those along the rows are `image_runs(crop.T, y, x, (width, height))`.

    >>> image_runs(np.ones((2, 1), bool), 1, 0, (2, 3)).tolist()
    [2, 2, 2]
    """
    height, width = image_size
    rows, columns = crop.shape
    # The crop's columns one after the other, with a zero before the first and below each.
    flat = np.zeros(1 + columns * (rows + 1), bool)
    flat[1:].reshape(columns, rows + 1)[:, :rows] = crop.T
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), rows + 1)
    edges = (column + x) * height + row + y
    # A run that reaches the image's bottom and one from the top of the next column are one.
    apart = edges[2::2] != edges[1:-1:2]
    if not apart.all():
        edges = edges[np.concatenate([[True], np.repeat(apart, 2), [True]])]
    counts = np.diff(edges, prepend=0, append=height * width)
    return counts[:-1] if counts[-1] == 0 else counts  # pycocotools ends with the last True pixel


def rle_of(mask: Mask, image_size: Size) -> Rle:
    """Returns a mask as compressed RLE.

    >>> rle_of(Mask(np.ones((2, 1), bool), 1, 0), (2, 2))
    {'size': [2, 2], 'counts': '22'}
    """
    if isinstance(mask, RunsMask) and mask.image_size == image_size:
        return _packed(mask.counts, image_size)
    return crop_rle(mask.crop, mask.x, mask.y, image_size)


class RunsMask(Mask):
    """A mask that is kept as run lengths until somebody looks at its pixels.

    So what only passes through, from a ledger to COCO say, is never decoded.

    Args:
        counts: Run lengths down the image's columns, zeros first; all but the first positive.
        image_size: (height, width) in pixels.
    """

    counts: np.ndarray
    image_size: Size

    def __init__(self, counts: np.ndarray, image_size: Size) -> None:
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "image_size", image_size)

    @property
    def crop(self) -> np.ndarray:
        """(h, w) bool, decoded when it is first asked for."""
        return self._decoded.crop

    @property
    def x(self) -> int:
        """Column of the crop's left edge."""
        return self._decoded.x

    @property
    def y(self) -> int:
        """Row of its top edge."""
        return self._decoded.y

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.counts[1::2].sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The smallest box around the pixels; zeros where there are none."""
        return _extent(_spans(self.counts, self.image_size), self.image_size[0])

    def __repr__(self) -> str:
        return repr(self._decoded)

    @cached_property
    def _decoded(self) -> Mask:
        return runs_mask(self.counts, self.image_size)


def rle_mask(rle: Any) -> Mask:
    """Returns the mask that an RLE stands for; its pixels are decoded when they are looked at.

    Args:
        rle: `size` [height, width] and `counts`: compressed (str or bytes), or a list of run
            lengths.

    Raises:
        FormatError: If the runs do not add up to the size. (pycocotools would read on into
            whatever lies behind them.)

    >>> rle_mask({"size": [2, 2], "counts": "22"})
    Mask(crop=array([[ True],
           [ True]]), x=1, y=0)
    """
    try:
        height, width = (int(side) for side in rle["size"])
        counts = rle["counts"]
        counts = np.array(counts, np.int64) if isinstance(counts, list) else _unpacked(counts)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"expected an RLE with size and counts, got {rle!r:.80}") from error
    if counts[1:].all() and len(counts):
        mask = RunsMask(counts, (height, width))
        x1, y1, x2, y2 = mask.box
        check_memory(y2 - y1, x2 - x1)
        return mask
    return runs_mask(counts, (height, width))  # written again, it has no empty runs


def runs_mask(counts: np.ndarray, image_size: Size) -> Mask:
    """Returns the mask of run lengths down the image's columns, zeros first.

    Raises:
        FormatError: If they do not add up to the image's size, or are too many to be held.

    >>> runs_mask(np.array([2, 2, 2]), (2, 3)) == Mask(np.ones((2, 1), bool), 1, 0)
    True
    """
    spans, height = _spans(counts, image_size), image_size[0]
    left, top, right, bottom = _extent(spans, height)
    rows = bottom - top
    check_memory(rows, right - left)
    # Counted down the columns of the crop: no run leaves its column, or the crop is as high as the
    # image.
    spans = spans - spans[:, :1] // max(height, 1) * (height - rows) - left * rows - top
    runs = np.diff(spans.ravel(), prepend=0, append=rows * (right - left))
    columns = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(right - left, rows)
    return Mask(columns.T, left, top)


def _spans(counts: np.ndarray, image_size: Size) -> np.ndarray:
    """Checks run lengths and returns where each run of ones starts and stops, (n, 2)."""
    height, width = image_size
    edges = np.cumsum(counts, dtype=np.int64)
    total = int(edges[-1]) if len(edges) else 0
    if min(height, width) < 0 or counts.ndim != 1 or (counts < 0).any() or total != height * width:
        raise FormatError(
            f"the runs of a mask cover {total} pixels, expected {height} x {width} of its size: "
            f"the file is damaged, or height and width are swapped"
        )
    spans = edges[: len(edges) // 2 * 2].reshape(-1, 2)
    return spans[spans[:, 1] > spans[:, 0]]


def _extent(spans: np.ndarray, height: int) -> tuple[int, int, int, int]:
    """The smallest box (x1, y1, x2, y2) around runs of ones down columns of this height."""
    if not len(spans):
        return 0, 0, 0, 0
    columns, rows = np.divmod(spans - [0, 1], height)  # of each run's first and last pixel
    left, right = int(columns[0, 0]), int(columns[-1, 1]) + 1
    if (columns[:, 0] != columns[:, 1]).any():  # over the bottom to the top of the next column
        return left, 0, right, height
    return left, int(rows[:, 0].min()), right, int(rows[:, 1].max()) + 1


def run_lengths(values: np.ndarray) -> np.ndarray:
    """Returns how long each run of a flat bool array is, zeros first.

    >>> run_lengths(np.array([True, True, False])).tolist()
    [0, 2, 1]
    """
    edges = np.flatnonzero(np.diff(values, prepend=False))
    return np.diff(edges, prepend=0, append=len(values))


def from_run_lengths(counts: Sequence[int], shape: Size) -> np.ndarray:
    """Returns the (h, w) bool crop of row-major run lengths, zeros first.

    Raises:
        FormatError: If the runs do not add up to the shape.

    >>> from_run_lengths([1, 2, 1], (2, 2)).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    runs = np.asarray(counts, np.int64)
    check_memory(*shape)
    if min(shape) < 1 or (runs < 0).any() or int(runs.sum()) != shape[0] * shape[1]:
        raise FormatError(
            f"the mask's runs cover {int(runs.sum())} pixels, expected {shape[0]} x {shape[1]}: "
            f"the file is damaged"
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(shape)


def check_memory(height: int, width: int) -> None:
    """Refuses masks of more pixels than a picture may have.

    Raises:
        FormatError: If there are too many.
    """
    if height * width > MAX_PIXELS:
        raise FormatError(
            f"a mask covers {width} x {height} pixels, expected at most {MAX_PIXELS:,} in all: "
            f"the file is damaged, or the picture must be tiled"
        )


def _packed(counts: np.ndarray, image_size: Size) -> Rle:
    height, width = image_size
    runs = {"size": [height, width], "counts": counts.tolist()}
    packed = coco_mask.frPyObjects(runs, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def _unpacked(counts: str | bytes) -> np.ndarray:
    """Run lengths from COCO's text: groups of 5 bits, lowest first, as differences of every second.

    As `rleFrString` of pycocotools' maskApi.c does it.
    """
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    last = codes & 0x20 == 0
    if not len(codes) or not last[-1] or codes.min() < 0 or codes.max() > 63:
        raise ValueError("not the counts of an RLE")
    starts = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    place = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    if place.max() > 8:
        raise ValueError("a run length of more than 45 bits")
    values = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    ends = np.flatnonzero(last)
    negative = codes[ends] & 0x10 != 0
    values -= negative * (np.int64(1) << (5 * (place[ends] + 1)))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
