"""How well places, sizes and relations hold between boxes, as soft scores in [0, 1].

Every function is pure. A score of 0.5 is the border between "holds" and "does not". Images are
flat: what is nearer to the camera is taken to stand lower in the picture and to look larger.
"""

from __future__ import annotations

import numpy as np
import supervision as sv

Boxes = np.ndarray  # (N, 4) float xyxy in pixels
Scores = np.ndarray  # float, in [0, 1]


def place(kind: str, boxes: Boxes, size: tuple[int, int]) -> Scores:
    """How far each box is where `kind` says: 1 at that side of the image, 0 at the opposite one.

    Args:
        kind: One of `target.PLACES`.
        boxes: N boxes.
        size: (height, width) of the image.

    Returns:
        (N,)

    >>> place("left", np.array([[0, 0, 20, 10], [70, 0, 90, 10]]), (50, 100)).round(2).tolist()
    [0.9, 0.2]
    """
    height, width = size
    x, y = centers(boxes).T / np.array([[width], [height]])
    if kind in ("left", "right"):
        value = 1 - x if kind == "left" else x
    elif kind in ("top", "bottom"):
        value = 1 - y if kind == "top" else y
    elif kind == "center":
        value = 1 - np.hypot(x - 0.5, y - 0.5) / np.hypot(0.5, 0.5)
    elif kind == "corner":
        value = abs(x - 0.5) + abs(y - 0.5)
    elif kind == "edge":
        left, top, right, bottom = boxes.T / np.array([[width], [height], [width], [height]])
        value = 1 - 2 * np.minimum.reduce([left, top, 1 - right, 1 - bottom])
    else:
        near = closeness(boxes, size)
        value = near if kind == "front" else 1 - near
    return np.clip(value, 0, 1)


def closeness(boxes: Boxes, size: tuple[int, int]) -> Scores:
    """How near the camera each box seems: by how low it stands and how large it is, (N,)."""
    height, width = size
    share = np.sqrt(areas(boxes) / (height * width))
    return np.clip(0.5 * boxes[:, 3] / height + 0.5 * share, 0, 1)


def relation(kind: str, ours: Boxes, theirs: Boxes) -> Scores:
    """How far `kind` holds between each of N boxes and each of M others.

    Args:
        kind: One of `target.RELATIONS` but "between".
        ours: The boxes that are to be left of, on, ... the others.
        theirs: The anchors.

    Returns:
        (N, M)

    >>> cup, laptop = np.array([[10, 50, 20, 60]]), np.array([[30, 30, 80, 60]])
    >>> relation("left of", cup, laptop).round(1), relation("right of", cup, laptop).round(1)
    (array([[1.]]), array([[0.]]))
    """
    a, b = ours[:, None, :].astype(float), theirs[None, :, :].astype(float)
    return _RELATIONS[kind](a, b)


def between(ours: Boxes, first: Boxes, second: Boxes) -> Scores:
    """How far each of N boxes lies between each of M boxes and each of K others, (N, M, K)."""
    here = centers(ours)[:, None, None, :]
    start, end = centers(first)[None, :, None, :], centers(second)[None, None, :, :]
    way = end - start
    length = np.maximum(np.linalg.norm(way, axis=-1), 1e-6)
    along = ((here - start) * way).sum(-1) / length**2
    aside = abs(way[..., 0] * (here - start)[..., 1] - way[..., 1] * (here - start)[..., 0])
    inside = _soft(along, 0.05) * _soft(1 - along, 0.05)
    return inside * np.exp(-((aside / length**2 / 0.4) ** 2))


def relative(values: np.ndarray) -> Scores:
    """Spreads values over [0, 1], the lowest to the highest; equal ones all give 1.

    >>> relative(np.array([2.0, 4.0, 3.0])).tolist()
    [0.0, 1.0, 0.5]
    """
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    if not high - low > 1e-9:
        return np.ones(len(values))
    return (values - low) / (high - low)


def centers(boxes: Boxes) -> np.ndarray:
    """(N, 2) x, y."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def areas(boxes: Boxes) -> np.ndarray:
    """(N,) in square pixels."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def iou(ours: Boxes, theirs: Boxes) -> Scores:
    """Intersection over union, (N, M)."""
    return np.asarray(sv.box_iou_batch(ours, theirs))


def _soft(value: np.ndarray, width: float) -> Scores:
    """A soft step: 0.5 where the value is 0, nearly 1 or 0 three widths away."""
    return 1 / (1 + np.exp(-np.clip(value / width, -50, 50)))


def _shared(a: Boxes, b: Boxes) -> np.ndarray:
    return _overlap(a, b, 0) * _overlap(a, b, 1)


def _overlap(a: Boxes, b: Boxes, axis: int) -> np.ndarray:
    end = np.minimum(a[..., axis + 2], b[..., axis + 2])
    return np.maximum(end - np.maximum(a[..., axis], b[..., axis]), 0)


def _length(box: Boxes, axis: int) -> np.ndarray:
    return np.maximum(box[..., axis + 2] - box[..., axis], 1e-6)


def _gap(a: Boxes, b: Boxes) -> np.ndarray:
    """Shortest distance between the boxes, 0 where they touch."""
    outside = np.maximum(np.maximum(a[..., :2] - b[..., 2:], b[..., :2] - a[..., 2:]), 0)
    return np.asarray(np.hypot(outside[..., 0], outside[..., 1]))


def _mean_diagonal(a: Boxes, b: Boxes) -> np.ndarray:
    return (
        np.asarray(np.hypot(_length(a, 0), _length(a, 1)) + np.hypot(_length(b, 0), _length(b, 1)))
        / 2
    )


def _toward(a: Boxes, b: Boxes, axis: int, sign: int) -> Scores:
    """Whether a lies on one side of b: clear of it, and more along the axis than across it."""
    size = (_length(a, axis) + _length(b, axis)) / 2
    cross = (_length(a, 1 - axis) + _length(b, 1 - axis)) / 2
    way = (centers(b) - centers(a)) * sign
    along, across = way[..., axis] / size, abs(way[..., 1 - axis]) / cross
    return _soft(along - 0.4, 0.1) / (1 + np.maximum(across - np.maximum(along, 1), 0) ** 2)


def _on(a: Boxes, b: Boxes) -> Scores:
    """Whether a stands over b, its foot between b's top and b's bottom."""
    covered = _overlap(a, b, 0) / _length(a, 0)
    foot = (a[..., 3] - b[..., 1]) / _length(b, 1)
    return covered * _soft(foot + 0.15, 0.05) * _soft(1.1 - foot, 0.05)


def _under(a: Boxes, b: Boxes) -> Scores:
    """Whether a is in b's lower half or below it, and within its width."""
    covered = _overlap(a, b, 0) / np.minimum(_length(a, 0), _length(b, 0))
    lower = (centers(a) - centers(b))[..., 1] / _length(b, 1)
    return covered * _soft(lower - 0.05, 0.1)


def _near(a: Boxes, b: Boxes) -> Scores:
    """1 where they touch at their middles; 0.5 at a gap of about a typical size."""
    apart = np.linalg.norm(centers(a) - centers(b), axis=-1)
    return np.exp(-(0.6 * _gap(a, b) + 0.1 * apart) / _mean_diagonal(a, b))


def _behind(a: Boxes, b: Boxes) -> Scores:
    """Whether a stands higher up than b, and near it."""
    higher = (b[..., 3] - a[..., 3]) / _length(b, 1)
    return _soft(higher - 0.02, 0.05) * np.sqrt(_near(a, b))


def _holds(a: Boxes, b: Boxes) -> Scores:
    """How much of b lies within a, a little grown."""
    margin = 0.1 * np.stack([_length(a, 0), _length(a, 1)], axis=-1)
    grown = np.concatenate([a[..., :2] - margin, a[..., 2:] + margin], axis=-1)
    return _shared(grown, b) / np.maximum(areas(b), 1e-6)


_RELATIONS = {
    "left of": lambda a, b: _toward(a, b, 0, 1),
    "right of": lambda a, b: _toward(a, b, 0, -1),
    "above": lambda a, b: _toward(a, b, 1, 1),
    "below": lambda a, b: _toward(a, b, 1, -1),
    "on": _on,
    "under": _under,
    "in": lambda a, b: _shared(a, b) / np.maximum(areas(a), 1e-6),
    "near": _near,
    "far from": lambda a, b: 1 - _near(a, b),
    "behind": _behind,
    "in front of": lambda a, b: _behind(b, a),
    "holding": _holds,
    "wearing": _holds,
    "held by": lambda a, b: _holds(b, a),
    "with": lambda a, b: np.maximum(_holds(a, b), 0.7 * _near(a, b)),
    "touching": lambda a, b: np.exp(-_gap(a, b) / (0.1 * _mean_diagonal(a, b))),
    "same as": lambda a, b: np.clip((iou(a[:, 0], b[0]) - 0.3) / 0.4, 0, 1),
    "larger than": lambda a, b: _soft(np.log(areas(a) / np.maximum(areas(b), 1e-6)), 0.15),
    "smaller than": lambda a, b: _soft(np.log(areas(b) / np.maximum(areas(a), 1e-6)), 0.15),
    "taller than": lambda a, b: _soft(np.log(_length(a, 1) / _length(b, 1)), 0.1),
    "shorter than": lambda a, b: _soft(np.log(_length(b, 1) / _length(a, 1)), 0.1),
}
