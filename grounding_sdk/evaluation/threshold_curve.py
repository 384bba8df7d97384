"""Precision, recall and F1 for every threshold that makes a difference, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Curve:
    """What each threshold gives. Row j keeps the detections with the j highest distinct scores.

    Attributes:
        low: (J,) row j is what thresholds above `low[j]`
        high: (J,) and up to `high[j]` give. Falls from row to row.
        hits: (J,) right detections that are kept.
        found: (J,) all detections that are kept.
        objects: Number of objects there are.
    """

    low: np.ndarray
    high: np.ndarray
    hits: np.ndarray
    found: np.ndarray
    objects: float

    @property
    def precision(self) -> np.ndarray:
        """(J,) share of the kept that are right; NaN where none is kept."""
        return np.where(self.found > 0, self.hits / np.maximum(self.found, 1e-12), np.nan)

    @property
    def recall(self) -> np.ndarray:
        """(J,) share of the objects that are found; NaN where there are none."""
        return self.hits / self.objects if self.objects else np.full(len(self.hits), np.nan)

    @property
    def f1(self) -> np.ndarray:
        """(J,) harmonic mean of both; 0 where nothing is right."""
        return 2 * self.hits / np.maximum(self.found + self.objects, 1e-12)

    def row(self, threshold: float) -> int:
        """Returns which row a threshold gives."""
        return int(np.flatnonzero(np.float32(threshold) <= self.high.astype(np.float32))[-1])


class Ranking:
    """Detections in the order of their scores, from which curves of any resampling are read.

    Args:
        score: (N,)
        right: (N,) bool.
        picture: (N,) index of each one's picture.
        objects: (P,) number of objects in each picture.
        lowest: Threshold at which the detections were found.
    """

    def __init__(
        self,
        score: np.ndarray,
        right: np.ndarray,
        picture: np.ndarray,
        objects: np.ndarray,
        lowest: float = 0.0,
    ) -> None:
        order = np.argsort(-score, kind="stable")
        distinct = score[order].astype(float)
        self._right, self._picture = right[order].astype(float), picture[order]
        self._objects = objects
        self._ends = np.flatnonzero(np.diff(distinct, append=-1.0) < 0)
        levels = distinct[self._ends]
        self._high = np.concatenate([[1.0], levels])
        self._low = np.concatenate([levels, [min(lowest, *levels[-1:], 1.0)]])

    def curve(self, weight: np.ndarray | None = None) -> Curve:
        """Returns the curve; with (P,) weights, as if each picture occurred so many times.

        >>> one = np.zeros(3, int)
        >>> ranking = Ranking(np.array([0.9, 0.5, 0.3]), np.array([1, 0, 1]), one, np.array([2]))
        >>> ranking.curve().f1.round(2).tolist()
        [0.0, 0.67, 0.5, 0.8]
        """
        each = np.ones(len(self._right)) if weight is None else weight[self._picture].astype(float)
        found = np.concatenate([[0.0], each.cumsum()[self._ends]])
        hits = np.concatenate([[0.0], (each * self._right).cumsum()[self._ends]])
        objects = self._objects.sum() if weight is None else (self._objects * weight).sum()
        return Curve(self._low, self._high, hits, found, float(objects))


def best_threshold(
    curve: Curve, *, precision: float | None = None, recall: float | None = None
) -> tuple[float, bool]:
    """Chooses a threshold.

    It lies in the middle of the thresholds that give the same, or equally good, detections.

    Args:
        curve: What thresholds give.
        precision: Takes the lowest threshold with at least this precision, and so finds most.
        recall: Takes the highest threshold with at least this recall. With neither: best F1.

    Returns:
        The threshold; and whether what was wanted is reached. If not, it is the threshold that
        comes nearest to it.

    >>> curve = Ranking(
    ...     np.array([0.9, 0.8, 0.6, 0.5, 0.2]), np.array([1, 1, 0, 1, 0]), np.zeros(5, int),
    ...     np.array([4])
    ... ).curve()
    >>> best_threshold(curve)
    (0.35, True)
    >>> best_threshold(curve, precision=0.9), best_threshold(curve, recall=0.5)
    ((0.7, True), (0.7, True))
    """
    if precision is not None:
        values, wanted, last = np.nan_to_num(curve.precision, nan=-1.0), precision, -1
    elif recall is not None:
        values, wanted, last = np.nan_to_num(curve.recall, nan=-1.0), recall, 0
    else:
        return in_plateau(curve, curve.f1), True
    row = np.flatnonzero(values >= min(wanted, values.max()))[last]
    same = np.flatnonzero(curve.found == curve.found[row])
    return _between(curve.low[same[-1]], curve.high[same[0]]), bool(values.max() >= wanted)


def in_plateau(curve: Curve, values: np.ndarray) -> float:
    """Returns the middle of the widest run of thresholds at which the values are highest."""
    best = np.flatnonzero(values >= values.max() - 1e-9)
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    run = max(runs, key=lambda rows: float(curve.high[rows[0]] - curve.low[rows[-1]]))
    return _between(curve.low[run[-1]], curve.high[run[0]])


def _between(low: float, high: float) -> float:
    """The middle, rounded as far as it stays above `low` and up to `high`, as float32 compare."""
    middle = (float(low) + float(high)) / 2
    for digits in range(2, 8):
        value = round(middle, digits)
        if np.float32(low) < np.float32(value) <= np.float32(high):
            return value
    return float(high)
