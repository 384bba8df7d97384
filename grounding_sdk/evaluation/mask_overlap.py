"""How alike two masks are: as areas, and along their outlines."""

from __future__ import annotations

import cv2
import numpy as np

TOLERANCE = 0.008  # of the picture's diagonal: how far an outline may be off


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two (H, W) bool masks; 1 if both are empty.

    >>> mask_iou(np.array([[True, True]]), np.array([[True, False]]))
    0.5
    """
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def boundary_f(predicted: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F measure of outlines (Perazzi et al. 2016, as in DAVIS).

    Precision is the share of the predicted outline that lies near the true one, recall the other
    way round.

    Args:
        predicted: (H, W) bool.
        truth: (H, W) bool.
        tolerance: What "near" is, in parts of the diagonal; at least a pixel.

    >>> square = np.zeros((40, 40), bool); square[10:30, 10:30] = True
    >>> boundary_f(square, square), boundary_f(np.zeros((40, 40), bool), square)
    (1.0, 0.0)
    """
    reach = max(1, round(tolerance * float(np.hypot(*truth.shape))))
    predicted, truth = _around(predicted, truth, reach + 1)
    a, b = _outline(predicted), _outline(truth)
    if not a.any() and not b.any():
        return 1.0
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near_a, near_b = (cv2.dilate(x.astype(np.uint8), disc).astype(bool) for x in (a, b))
    precision = float((a & near_b).sum() / max(a.sum(), 1))
    recall = float((b & near_a).sum() / max(b.sum(), 1))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def deepest_point(mask: np.ndarray) -> tuple[float, float]:
    """The (x, y) of a mask's pixel that is farthest from its outline: where a person would click.

    >>> deepest_point(np.array([[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]], bool))
    (2.5, 2.5)
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5


def _outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that have a neighbour outside of it; beyond the picture is inside."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return mask & ~cv2.erode(mask.astype(np.uint8), cross).astype(bool)


def _around(a: np.ndarray, b: np.ndarray, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Both masks cut to where either is set, plus a margin."""
    both = a | b
    rows, columns = np.flatnonzero(both.any(1)), np.flatnonzero(both.any(0))
    if not len(rows):
        return a[:1, :1], b[:1, :1]
    place = (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
    return a[place], b[place]
