"""What was found matched with what is there, by pycocotools, and figures from the matches.

The matching is made once, and figures over resampled pictures are read from the same matches: a
picture that is drawn twice counts twice, which gives what pycocotools gives for two copies of it
(but for the order of equal scores).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

BOXES_A_PICTURE = 100
SIZES = ("all", "small", "medium", "large")
RECALLS = np.linspace(0.0, 1.0, 101)  # at which COCO reads precision


@dataclass(frozen=True)
class Figure:
    """A figure, and how far it can be trusted.

    Attributes:
        value: NaN where there is nothing to measure.
        n: Of how many pictures or objects.
        interval: 95% bootstrap interval over pictures; None where none was asked.
    """

    value: float
    n: int
    interval: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the figure as plain JSON types; NaN as None."""
        value = None if np.isnan(self.value) else self.value
        interval = None if self.interval is None else list(self.interval)
        return {"value": value, "n": self.n, "interval": interval}


def resampled(figure: Callable[[np.ndarray], float], n: int, rounds: int) -> Figure:
    """A figure of n pictures with its bootstrap interval (percentile method, seeded).

    Args:
        figure: From indices of pictures, with repeats, to the figure.
        n: Number of pictures.
        rounds: Times that pictures are drawn; 0 for no interval.

    >>> resampled(lambda pictures: 0.5, 3, 10)
    Figure(value=0.5, n=3, interval=(0.5, 0.5))
    """
    return resampled_together(lambda chosen: [figure(chosen)], n, rounds)[0]


def resampled_together(
    figures: Callable[[np.ndarray], Sequence[float]], n: int, rounds: int
) -> list[Figure]:
    """As `resampled`, for figures that are computed at once."""
    values = [float(value) for value in figures(np.arange(n))]
    random = np.random.default_rng(0)
    drawn = [figures(random.integers(n, size=n)) for _ in range(rounds if n else 0)]
    results = []
    for i, value in enumerate(values):
        known = [row[i] for row in drawn if not np.isnan(row[i])]
        low, high = np.quantile(known, [0.025, 0.975]) if known else (0.0, 0.0)
        results.append(Figure(value, n, (float(low), float(high)) if known else None))
    return results


class Averages(NamedTuple):
    """COCO's averages; NaN where there is no object.

    Attributes:
        ap: Average precision over IoUs from 0.50 to 0.95.
        ap50: At an IoU of 0.5.
        ar: Average recall over IoUs from 0.50 to 0.95, of 100 boxes a picture.
        by_size: AP of small, medium and large objects.
        by_class: AP50 of each category.
    """

    ap: float
    ap50: float
    ar: float
    by_size: tuple[float, ...]
    by_class: tuple[float, ...]

    def row(self) -> list[float]:
        """All of them in one row."""
        return [self.ap, self.ap50, self.ar, *self.by_size, *self.by_class]


@dataclass(frozen=True, eq=False)
class Ranking:
    """What was found of one category and size in all P pictures, best first.

    Attributes:
        pictures: (D,) of each result.
        right: (T, D) bool at each IoU.
        wrong: (T, D) bool; what is neither does not count.
        there: (P,) number of objects.
    """

    pictures: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    there: np.ndarray

    @classmethod
    def of(cls, matches: Sequence[Mapping[str, Any] | None], ious: int) -> Ranking:
        """Rank what pycocotools matched in each picture, as it does itself."""
        known = [(i, match) for i, match in enumerate(matches) if match is not None]
        there = np.zeros(len(matches), int)
        for i, match in known:
            there[i] = (np.asarray(match["gtIgnore"]) == 0).sum()
        scores = np.concatenate([[], *(match["dtScores"] for _, match in known)])
        order = np.argsort(-scores, kind="stable")
        counts = [len(match["dtScores"]) for _, match in known]
        owner = np.repeat(np.array([i for i, _ in known], int), counts)
        none = np.zeros((ious, 0), bool)
        matched = np.concatenate([none, *(match["dtMatches"] > 0 for _, match in known)], 1)
        ignored = np.concatenate([none, *(match["dtIgnore"] > 0 for _, match in known)], 1)
        right, wrong = matched & ~ignored, ~matched & ~ignored
        return cls(owner[order], right[:, order], wrong[:, order], there)

    def averages(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average precision (T,) and recall (T,) at each IoU; NaN where there is no object.

        Args:
            times: (P,) how often each picture counts.
        """
        objects = times @ self.there
        if not objects:
            unknown = np.full(len(self.right), np.nan)
            return unknown, unknown
        weight = times[self.pictures]
        right, wrong = (self.right * weight).cumsum(1), (self.wrong * weight).cumsum(1)
        precision = right / np.maximum(right + wrong, 1)
        best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        best = np.pad(best, ((0, 0), (0, 1)))  # no precision where that recall is never reached
        recall = right / objects
        places = [np.searchsorted(row, RECALLS) for row in recall]
        mean = np.array([row[place].mean() for row, place in zip(best, places, strict=True)])
        return mean, recall.max(1, initial=0.0)


class Matches:
    """COCO's matches of results with annotations.

    Args:
        truth: A COCO dictionary.
        results: COCO results; with "segm", each with a `segmentation`.
        kind: "bbox" or "segm".
        agnostic: Whether a name does not matter.
    """

    def __init__(
        self,
        truth: Mapping[str, Any],
        results: Sequence[Mapping[str, Any]],
        kind: str = "bbox",
        *,
        agnostic: bool = False,
    ) -> None:
        known = COCO()
        known.dataset = {"info": {}, **truth}
        if kind == "segm":
            known.dataset["annotations"] = [_with_mask(a) for a in truth["annotations"]]
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells of each step
            known.createIndex()
            found = known.loadRes(_of_kind(results, kind)) if results else COCO()
            evaluation = COCOeval(known, found, kind)
            evaluation.params.useCats = int(not agnostic)
            evaluation.evaluate()
        self.evaluation = evaluation
        self.pictures = len(evaluation.params.imgIds)
        self.categories: list[Any] = [None] if agnostic else list(evaluation.params.catIds)
        ious = len(evaluation.params.iouThrs)
        self.rankings = [
            [Ranking.of(self._of(k, size), ious) for size in range(len(SIZES))]
            for k in range(len(self.categories))
        ]

    def _of(self, category: int, size: int = 0) -> list[Any]:
        """What pycocotools matched in each picture."""
        start = (category * len(SIZES) + size) * self.pictures
        return list(self.evaluation.evalImgs[start : start + self.pictures])

    def averages_of(self, chosen: np.ndarray) -> Averages:
        """COCO's averages on chosen pictures (indices, repeats)."""
        precision, recall = self._tables(chosen, len(SIZES))
        return Averages(
            ap=_mean(precision[:, 0]),
            ap50=_mean(precision[:, 0, 0]),
            ar=_mean(recall[:, 0]),
            by_size=tuple(_mean(precision[:, size]) for size in range(1, len(SIZES))),
            by_class=tuple(precision[:, 0, 0].tolist()),
        )

    def ap_of(self, chosen: np.ndarray) -> tuple[float, float]:
        """Average precision over all IoUs, and at 0.5, on chosen pictures (indices, repeats)."""
        precision, _ = self._tables(chosen, 1)
        return _mean(precision), _mean(precision[:, 0, 0])

    def _tables(self, chosen: np.ndarray, sizes: int) -> tuple[np.ndarray, np.ndarray]:
        """Precision and recall (K, sizes, T)."""
        times = np.bincount(chosen, minlength=self.pictures)
        rows = [[ranking.averages(times) for ranking in row[:sizes]] for row in self.rankings]
        precision, recall = np.array(rows).transpose(2, 0, 1, 3)
        return precision, recall

    def hits(self) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
        """What was found in each picture, at an IoU of 0.5.

        Returns:
            For each picture scores (N,), best first, and whether each is right (N,); what falls
            on a crowd is left out. And (P,) the number of objects in each.
        """
        scores: list[list[float]] = [[] for _ in range(self.pictures)]
        right: list[list[bool]] = [[] for _ in range(self.pictures)]
        there = np.zeros(self.pictures, int)
        for k in range(len(self.categories)):
            for i, match in enumerate(self._of(k)):
                if match is None:
                    continue
                counts = ~match["dtIgnore"][0].astype(bool)
                scores[i] += np.array(match["dtScores"])[counts].tolist()
                right[i] += (match["dtMatches"][0] > 0)[counts].tolist()
                there[i] += int((np.asarray(match["gtIgnore"]) == 0).sum())
        orders = [np.argsort(-np.array(s), kind="stable") for s in scores]
        return (
            [np.array(s)[o] for s, o in zip(scores, orders, strict=True)],
            [np.array(r, bool)[o] for r, o in zip(right, orders, strict=True)],
            there,
        )


def _mean(values: np.ndarray) -> float:
    """Mean of what is known."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _with_mask(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An object whose mask is unknown becomes a crowd: what lies on it is not judged."""
    if entry.get("segmentation"):
        return dict(entry)
    x, y, w, h = entry["bbox"]
    outline = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {**entry, "iscrowd": 1, "segmentation": [outline]}


def _of_kind(results: Sequence[Mapping[str, Any]], kind: str) -> list[dict[str, Any]]:
    # pycocotools takes an object's size from its box where there is one, even for masks.
    other = {"bbox": "segmentation", "segm": "bbox"}[kind]
    return [{k: v for k, v in result.items() if k != other} for result in results]
