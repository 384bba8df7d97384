"""What was found matched with what is there, by pycocotools, and figures from the matches.

The matching is made once; figures over resampled pictures are read from the same matches.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

BOXES_A_PICTURE = 100
SIZES = ("all", "small", "medium", "large")


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
            evaluation.accumulate()
        self.evaluation = evaluation
        self.pictures = len(evaluation.params.imgIds)
        self.categories: list[Any] = [None] if agnostic else list(evaluation.params.catIds)

    def ap(self, *, iou: float | None = None, size: str = "all", category: Any = None) -> float:
        """Average precision: at an IoU or over 0.50 to 0.95; of a size; of a category or all."""
        precision = self.evaluation.eval["precision"][..., SIZES.index(size), -1]
        if category is not None:
            precision = precision[:, :, [self.categories.index(category)]]
        return _mean_precision(precision, iou)

    def ar(self) -> float:
        """Average recall over IoUs from 0.50 to 0.95, of 100 boxes a picture."""
        recall = self.evaluation.eval["recall"][:, :, 0, -1]
        return float(recall[recall > -1].mean()) if (recall > -1).any() else float("nan")

    def ap_of(self, chosen: np.ndarray) -> tuple[float, float]:
        """Average precision over all IoUs, and at 0.5, on chosen pictures (indices, repeats)."""
        sizes = len(self.evaluation.params.areaRng)
        part = copy(self.evaluation)
        part.evalImgs = [
            self.evaluation.evalImgs[k * sizes * self.pictures + i]
            for k in range(len(self.categories))
            for i in chosen.tolist()
        ]
        part.params = copy(self.evaluation.params)
        part.params.imgIds = list(range(len(chosen)))
        part.params.areaRng = part.params.areaRng[:1]
        part.params.areaRngLbl = part.params.areaRngLbl[:1]
        part.params.maxDets = part.params.maxDets[-1:]
        part._paramsEval = part.params
        with contextlib.redirect_stdout(io.StringIO()):
            part.accumulate()
        precision = part.eval["precision"][..., 0, -1]
        return _mean_precision(precision, None), _mean_precision(precision, 0.5)

    def hits(self) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
        """What was found in each picture, at an IoU of 0.5.

        Returns:
            For each picture scores (N,), best first, and whether each is right (N,); what falls
            on a crowd is left out. And (P,) the number of objects in each.
        """
        sizes = len(self.evaluation.params.areaRng)
        scores: list[list[float]] = [[] for _ in range(self.pictures)]
        right: list[list[bool]] = [[] for _ in range(self.pictures)]
        there = np.zeros(self.pictures, int)
        for k in range(len(self.categories)):
            for i in range(self.pictures):
                match = self.evaluation.evalImgs[k * sizes * self.pictures + i]
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


def _mean_precision(precision: np.ndarray, iou: float | None) -> float:
    """Over (T, R, K), T from an IoU of 0.50 by 0.05; -1 where there is no object."""
    if iou is not None:
        precision = precision[[round((iou - 0.5) / 0.05)]]
    known = precision[precision > -1]
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
