"""Building `supervision.Detections` that always carry every column.

The columns are those of supervision (`xyxy` (N, 4) float32 absolute pixels, `confidence` (N,)
float32, `class_id` (N,) int, `mask` compact) and, in `data`:

    class_name     (N,) str      the label: `query.labels[class_id]`
    phrase         (N,) str      the phrase that was found: `query.texts[phrase_id]`
    phrase_id      (N,) int
    mask_score     (N,) float32  the segmenter's own score; NaN where there is no mask
    phrase_scores  (N, K) float32  the detector's score for each of the K phrases

`confidence` is the detector's score and never mixed with `mask_score`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import supervision as sv

from grounding_sdk.query import Query

Size = tuple[int, int]  # (height, width) in pixels


def detections_from_scores(
    image_size: Size,
    query: Query,
    boxes: np.ndarray,
    scores: np.ndarray,
    default_threshold: float,
    masks: sv.CompactMask | None = None,
) -> sv.Detections:
    """Turns raw boxes and per-phrase scores into detections, best first.

    A box's phrase is the one that scores best (the first of equals), so no label can be merged,
    partial or missing. The box is kept if that score reaches the phrase's threshold, and is
    clipped to the image; boxes with no area left, or with a value that is not finite, are dropped.

    Args:
        image_size: (height, width) in pixels.
        query: The K phrases.
        boxes: (M, 4) xyxy in pixels.
        scores: (M, K), each in [0, 1].
        default_threshold: For phrases without a threshold of their own.
        masks: M masks, where the detector makes them itself.

    >>> boxes, scores = np.array([[-5, 0, 9, 9], [1, 1, 3, 3]]), np.array([[0.2, 0.9], [0.3, 0.1]])
    >>> found = detections_from_scores((8, 8), Query.of("cat . dog"), boxes, scores, 0.5)
    >>> found.xyxy.tolist(), found["class_name"].tolist()
    ([[0.0, 0.0, 8.0, 8.0]], ['dog'])
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    scores = np.asarray(scores, np.float32).reshape(len(boxes), len(query))
    thresholds = [default_threshold if p.threshold is None else p.threshold for p in query]
    best = scores.argmax(axis=1)
    top = scores[np.arange(len(boxes)), best]

    height, width = image_size
    clipped = boxes.clip(0, np.array([width, height, width, height], np.float32))
    with_area = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores).all(axis=1)
    kept = np.flatnonzero(with_area & finite & (top >= np.array(thresholds, np.float32)[best]))
    kept = kept[np.argsort(-top[kept], kind="stable")]

    labels = query.labels
    # An excluded phrase counts as no class: "" and -1.
    label_of = ["" if phrase.role == "exclude" else phrase.label for phrase in query]
    place = {label: i for i, label in enumerate(labels)}
    class_of = np.array([place[label] if label else -1 for label in label_of], int)
    return sv.Detections(
        xyxy=clipped[kept],
        confidence=top[kept],
        class_id=class_of[best[kept]],
        mask=None if masks is None else masks[kept],
        data={
            "class_name": np.array([label_of[i] for i in best[kept]], str),
            "phrase": np.array([query.phrases[i].text for i in best[kept]], str),
            "phrase_id": best[kept],
            "mask_score": np.full(len(kept), np.nan, np.float32),
            "phrase_scores": scores[kept],
        },
    )


def empty_detections(query: Query) -> sv.Detections:
    """Returns what a detector returns when it finds nothing: no rows, every column.

    >>> sorted(empty_detections(Query.of("dog")).data)
    ['class_name', 'mask_score', 'phrase', 'phrase_id', 'phrase_scores']
    """
    return detections_from_scores((1, 1), query, np.empty((0, 4)), np.empty((0, len(query))), 0.0)


def with_columns(
    detections: sv.Detections,
    *,
    xyxy: np.ndarray | None = None,
    mask: sv.CompactMask | None = None,
    mask_score: np.ndarray | None = None,
) -> sv.Detections:
    """Returns a copy with some columns replaced; None leaves a column as it is."""
    data = dict(detections.data)
    if mask_score is not None:
        data["mask_score"] = np.asarray(mask_score, np.float32)
    return replace(
        detections,
        xyxy=detections.xyxy if xyxy is None else np.asarray(xyxy, np.float32),
        mask=detections.mask if mask is None else mask,
        data=data,
    )


def compact_masks(
    crops: Sequence[np.ndarray], offsets: Sequence[tuple[int, int]], image_size: Size
) -> sv.CompactMask:
    """Packs crops of masks without ever building an N x H x W array.

    Args:
        crops: N bool arrays (h, w), any sizes; an empty one stands for an empty mask.
        offsets: N (x, y) of each crop's top left pixel in the image.
        image_size: (height, width) in pixels.

    >>> masks = compact_masks([np.ones((2, 3), bool)], [(1, 0)], (2, 5))
    >>> masks.to_dense().astype(int).tolist()
    [[[0, 1, 1, 1, 0], [0, 1, 1, 1, 0]]]
    """
    placed = ((crop, x, y) for crop, (x, y) in zip(crops, offsets, strict=True))
    return pack_masks(placed, image_size)


def pack_masks(crops: Iterable[tuple[np.ndarray, int, int]], image_size: Size) -> sv.CompactMask:
    """Packs what `mask_crop` gives; of a generator's crops only one is in memory at a time.

    Args:
        crops: For each mask a bool array (h, w), and the (x, y) of its top left pixel.
        image_size: (height, width) in pixels.
    """
    placed = ((_run_lengths(crop), crop.shape, (x, y)) for crop, x, y in crops)
    return pack_run_lengths(placed, image_size)


def pack_run_lengths(
    crops: Iterable[tuple[np.ndarray, tuple[int, ...], tuple[int, int]]], image_size: Size
) -> sv.CompactMask:
    """Packs crops of masks that are run lengths already.

    Args:
        crops: For each mask (n,) int32 run lengths by columns, zeros first; its crop's (height,
            width), of which a side may be 0; and the (x, y) of its top left pixel.
        image_size: (height, width) in pixels.
    """
    nothing = np.ones(1, np.int32), (1, 1), (0, 0)
    placed = [crop if np.prod(crop[1]) else nothing for crop in crops]
    return sv.CompactMask(
        [lengths for lengths, _, _ in placed],
        np.array([shape for _, shape, _ in placed], np.int32).reshape(-1, 2),
        np.array([corner for _, _, corner in placed], np.int32).reshape(-1, 2),
        image_size,
    )


def mask_crop(masks: sv.CompactMask | np.ndarray, index: int) -> tuple[np.ndarray, int, int]:
    """Returns one mask as its smallest crop and the crop's offset: (bool (h, w), x, y).

    An empty mask gives a (0, 0) crop.
    """
    if isinstance(masks, sv.CompactMask):
        crop = masks.crop(index)
        x, y = (int(value) for value in masks.offsets[index])
    else:
        crop, x, y = np.asarray(masks[index], bool), 0, 0
    rows, columns = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
    if not len(rows):
        return np.zeros((0, 0), bool), 0, 0
    top, left = int(rows[0]), int(columns[0])
    return crop[top : rows[-1] + 1, left : columns[-1] + 1], x + left, y + top


def _run_lengths(crop: np.ndarray) -> np.ndarray:
    """Column-major run lengths, zeros first: what `supervision.CompactMask` stores (int32)."""
    flat = np.asarray(crop, bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    lengths = np.diff(bounds).astype(np.int32)
    return np.concatenate([[np.int32(0)], lengths]) if flat[:1].any() else lengths
