"""Puts together what several views of one picture show, such as tiles that overlap.

Two boxes of one label from different views show one thing if they agree where both views look:
there, their IoU is at least `SAME`. A box that a border inside the picture may have cut is a piece;
it also belongs to a larger box that holds half of it, for of an arm that reaches into the next
tile, that tile sees a box less tall. Then:

1. Of whole boxes that show one thing, the best stays.
2. Pieces that belong to a whole one are dropped.
3. Pieces that belong to each other are united, those that agree best first, no two of one view.
   A piece that is left alone stays as it is.

What one view found is never compared with itself: that is for the merge stage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import supervision as sv

from grounding_sdk.detections import Size, mask_crop, pack_masks

SAME = 0.5  # IoU
INSIDE = 0.5  # part of a piece that a larger box holds


def merge_views(
    found: Sequence[sv.Detections],
    views: Sequence[tuple[int, int, int, int]],
    image_size: Size,
    seam: float,
) -> sv.Detections:
    """Merges the detections of several views; the order of the views does not matter.

    Args:
        found: What each view shows, with every column, in pixels of the picture.
        views: The part of the picture that each shows, xyxy.
        image_size: (height, width) of the picture.
        seam: How near, in pixels, to a border of a view inside the picture a box may be cut by it.

    Returns:
        The detections, best first.
    """
    order = sorted(range(len(views)), key=lambda i: views[i])
    filled = [i for i in order if len(found[i])]
    if not filled:
        return found[order[0]]
    merged = sv.Detections.merge([found[i] for i in filled])
    view = np.repeat(np.arange(len(filled)), [len(found[i]) for i in filled])
    windows = np.array([views[i] for i in filled], np.float32)
    confidence, boxes = np.asarray(merged.confidence), np.asarray(merged.xyxy, np.float32)
    best_first = np.lexsort((view, *boxes.T[::-1], merged.class_id, -confidence))
    merged, view = merged.select(best_first), view[best_first]
    whole = ~_cut(merged.xyxy, windows[view], image_size, seam)

    pairs = [
        pair
        for first, second in _overlapping(windows)
        for pair in _pairs(merged, view, windows, seam, first, second)
    ]
    kept, is_double = _wholes(whole, pairs)
    lone = ~whole & ~is_double
    groups = _united([p for p in pairs if lone[p.first] and lone[p.second]], view)
    for group in groups:
        kept[group[0]] = True
    alone = lone.copy()
    alone[[index for group in groups for index in group]] = False
    return _with_unions(merged, groups, image_size).select(np.flatnonzero(kept | alone))


@dataclass(frozen=True)
class _Pair:
    """Two boxes of one label from different views, by their places in the order.

    Attributes:
        first: The better one.
        second: The other.
        iou: Of what both views show of them.
        first_inside: The part of the first that lies in the second; 0 if the first is larger.
        second_inside: Likewise.
    """

    first: int
    second: int
    iou: float
    first_inside: float
    second_inside: float

    @property
    def strength(self) -> float:
        return max(self.iou, self.first_inside, self.second_inside)


def _cut(boxes: np.ndarray, windows: np.ndarray, image_size: Size, seam: float) -> np.ndarray:
    """Which boxes (N, 4) lie at borders of their windows (N, 4) that are inside the picture."""
    height, width = image_size
    low = (windows[:, :2] > 0) & (boxes[:, :2] <= windows[:, :2] + seam)
    high = (windows[:, 2:] < (width, height)) & (boxes[:, 2:] >= windows[:, 2:] - seam)
    return np.asarray((low | high).any(axis=1))


def _overlapping(windows: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of views that look at a common part."""
    for first in range(len(windows)):
        rest = windows[first + 1 :]
        low = np.maximum(windows[first, :2], rest[:, :2])
        high = np.minimum(windows[first, 2:], rest[:, 2:])
        for second in np.flatnonzero((low < high).all(axis=1)):
            yield first, first + 1 + int(second)


def _pairs(
    found: sv.Detections,
    view: np.ndarray,
    windows: np.ndarray,
    seam: float,
    first: int,
    second: int,
) -> Iterator[_Pair]:
    """Pairs of boxes of two views that may show one thing."""
    a, b = np.flatnonzero(view == first), np.flatnonzero(view == second)
    labels = np.asarray(found.class_id)
    boxes_a, boxes_b = found.xyxy[a], found.xyxy[b]
    same_label = np.equal.outer(labels[a], labels[b])
    low = np.maximum(windows[first, :2], windows[second, :2])
    high = np.minimum(windows[first, 2:], windows[second, 2:])
    common = np.array([*low, *high], np.float32)
    iou = sv.box_iou_batch(_clipped(boxes_a, common), _clipped(boxes_b, common))
    grow = np.array([-seam, -seam, seam, seam], np.float32)  # a sliver may be all border
    area_a, area_b = _area(boxes_a), _area(boxes_b)
    larger = area_a[:, None] > area_b[None]
    in_b = np.where(larger, 0, _shared(boxes_a, boxes_b + grow) / area_a[:, None])
    in_a = np.where(larger, _shared(boxes_a + grow, boxes_b) / area_b[None], 0)
    near = same_label & ((iou >= SAME) | (in_b >= INSIDE) | (in_a >= INSIDE))
    for row, column in zip(*np.nonzero(near), strict=True):
        values = iou[row, column], in_b[row, column], in_a[row, column]
        i, j, (iou_, i_inside, j_inside) = int(a[row]), int(b[column]), map(float, values)
        if i < j:
            yield _Pair(i, j, iou_, i_inside, j_inside)
        else:
            yield _Pair(j, i, iou_, j_inside, i_inside)


def _wholes(whole: np.ndarray, pairs: Sequence[_Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Which boxes stay as whole ones, and which show what a whole one shows."""
    better: dict[int, list[int]] = defaultdict(list)
    is_double = np.zeros(len(whole), bool)
    for pair in pairs:
        if whole[pair.first] and whole[pair.second]:
            if pair.iou >= SAME:
                better[pair.second].append(pair.first)
        elif whole[pair.first]:
            is_double[pair.second] |= pair.iou >= SAME or pair.second_inside >= INSIDE
        elif whole[pair.second]:
            is_double[pair.first] |= pair.iou >= SAME or pair.first_inside >= INSIDE
    kept = whole.copy()
    for index in sorted(better):  # best first, so that what a box is compared with is decided
        kept[index] = not kept[better[index]].any()
    return kept, is_double | (whole & ~kept)


def _united(pairs: Sequence[_Pair], view: np.ndarray) -> list[list[int]]:
    """Groups of pieces, each best first; no two of a group are from one view."""
    group: dict[int, list[int]] = {}
    for pair in sorted(pairs, key=lambda p: (-p.strength, p.first, p.second)):
        first = group.setdefault(pair.first, [pair.first])
        second = group.setdefault(pair.second, [pair.second])
        if first is second or {*view[first]} & {*view[second]}:
            continue
        united = sorted([*first, *second])
        for index in united:
            group[index] = united
    return [members for index, members in group.items() if index == members[0]]


def _with_unions(
    found: sv.Detections, groups: Sequence[Sequence[int]], image_size: Size
) -> sv.Detections:
    """Gives the first of each group the box and the mask of all."""
    boxes = np.array(found.xyxy, np.float32)
    for group in groups:
        members = found.xyxy[list(group)]
        boxes[group[0]] = [*members[:, :2].min(axis=0), *members[:, 2:].max(axis=0)]
    masks = found.mask
    if masks is not None and groups:
        members_of = {group[0]: group for group in groups}
        united = (
            _union([mask_crop(masks, member) for member in members_of.get(index, (index,))])
            for index in range(len(found))
        )
        masks = pack_masks(united, image_size)
    return replace(found, xyxy=boxes, mask=masks)


def _union(crops: Sequence[tuple[np.ndarray, int, int]]) -> tuple[np.ndarray, int, int]:
    """Unites masks, each a crop (h, w) and its (x, y).

    >>> _union([(np.ones((1, 1), bool), 0, 0), (np.ones((1, 1), bool), 2, 0)])[0].tolist()
    [[True, False, True]]
    """
    crops = [(crop, x, y) for crop, x, y in crops if crop.size] or list(crops[:1])
    left, top = min(x for _, x, _ in crops), min(y for _, _, y in crops)
    width = max(x + crop.shape[1] for crop, x, _ in crops) - left
    height = max(y + crop.shape[0] for crop, _, y in crops) - top
    union = np.zeros((height, width), bool)
    for crop, x, y in crops:
        union[y - top : y - top + crop.shape[0], x - left : x - left + crop.shape[1]] |= crop
    return union, left, top


def _clipped(boxes: np.ndarray, window: np.ndarray) -> np.ndarray:
    return boxes.clip(np.tile(window[:2], 2), np.tile(window[2:], 2))


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray((high - low).clip(0).prod(axis=2))
