"""Whose examples choose a phrase's threshold, and which threshold they choose."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from grounding_sdk.evaluation.label_matches import LabelMatches
from grounding_sdk.evaluation.threshold_curve import Ranking, best_threshold, in_plateau
from grounding_sdk.query import Query

By: TypeAlias = Literal["label", "phrase"]
Basis: TypeAlias = Literal["phrase", "label", "all", "kept"]


class Chooser:
    """Chooses the thresholds of all phrases, for pictures with any weights."""

    def __init__(
        self,
        matches: LabelMatches,
        query: Query,
        by: By,
        precision: float | None,
        recall: float | None,
        enough: int,
        lowest: float,
    ) -> None:
        self.query, self.precision, self.recall, self.enough = query, precision, recall, enough
        label_of = np.array([phrase.label for phrase in query])[matches.phrase]

        def ranking(rows: np.ndarray, objects: np.ndarray) -> Ranking:
            return Ranking(
                matches.score[rows], matches.right[rows], matches.picture[rows], objects, lowest
            )

        whole = sum(matches.objects.values(), np.zeros(1, int))
        self.all = ranking(np.ones(len(label_of), bool), whole)
        self.labels = {
            label: ranking(label_of == label, objects) for label, objects in matches.objects.items()
        }
        self.phrases = {
            k: ranking(matches.phrase == k, matches.objects[phrase.label])
            for k, phrase in enumerate(query)
            if phrase.role == "find" and phrase.label in matches.objects
        }
        self.examples = [_examples(matches.right[matches.phrase == k]) for k in range(len(query))]
        self._label_examples = {
            label: _examples(matches.right[label_of == label]) for label in matches.objects
        }
        self._all_examples = _examples(matches.right)
        self._by_phrase = by == "phrase" and recall is None
        self.basis: list[Basis] = [self._basis(k) for k in range(len(query))]

    def choose(self, weight: np.ndarray | None = None) -> tuple[np.ndarray, list[bool]]:
        """Returns (K,) thresholds, NaN where one is kept; and which reach what is wanted."""
        together = self._best(self.all, weight)
        labels = {label: self._best(ranking, weight) for label, ranking in self.labels.items()}
        chosen: list[tuple[float, bool]] = [
            {"all": together, "label": labels.get(phrase.label)}.get(basis) or (np.nan, True)
            for phrase, basis in zip(self.query, self.basis, strict=True)
        ]
        for label in labels:
            own = [k for k, basis in enumerate(self.basis) if basis == "phrase"]
            own = [k for k in own if self.query.phrases[k].label == label]
            if own and self.precision is not None:
                for k in own:
                    chosen[k] = self._best(self.phrases[k], weight)
            elif own:
                self._choose_jointly(own, label, weight, chosen)
        return np.array([threshold for threshold, _ in chosen]), [reached for _, reached in chosen]

    def reason(self, k: int, reached: bool) -> str:
        """Says in words whose examples decided, and for what."""
        phrase, basis = self.query.phrases[k], self.basis[k]
        whose = {
            "phrase": "the phrase's own",
            "label": "that of its label",
            "all": "that of all labels together",
            "kept": "kept as it was",
        }[basis]
        if phrase.label not in self.labels:
            return f"the annotations know no {phrase.label!r}: {whose}"
        right, wrong = self._label_examples[phrase.label]
        if basis in ("all", "kept"):
            return f"too few examples, {right} right and {wrong} wrong: {whose}"
        aim = "best F1"
        if self.precision is not None:
            aim = f"precision {self.precision:g}" + ("" if reached else " not reached, the nearest")
        elif self.recall is not None:
            aim = f"recall {self.recall:g}" + ("" if reached else " not reached, the nearest")
        if basis == "label" and self._by_phrase and len(self._siblings(k)) > 1:
            right, wrong = self.examples[k]
            return f"{aim}; too few examples, {right} right and {wrong} wrong: {whose}"
        return aim

    def _best(self, ranking: Ranking, weight: np.ndarray | None) -> tuple[float, bool]:
        curve = ranking.curve(weight)
        if not curve.hits[-1]:
            return np.nan, False
        return best_threshold(curve, precision=self.precision, recall=self.recall)

    def _choose_jointly(
        self,
        own: list[int],
        label: str,
        weight: np.ndarray | None,
        chosen: list[tuple[float, bool]],
    ) -> None:
        """Chooses the thresholds that give a label the best F1 together.

        F1 is a quotient of sums over phrases, so that each phrase can be chosen alone for what it
        adds to the sums at the best quotient known, until that grows no more (Dinkelbach, 1967).
        """
        curves = {k: self.phrases[k].curve(weight) for k in own}
        hits = found = 0.0
        for k in self._siblings(own[0]):
            if k not in curves and not np.isnan(chosen[k][0]):
                other = self.phrases[k].curve(weight)
                row = other.row(chosen[k][0])
                hits, found = hits + other.hits[row], found + other.found[row]
        objects, best = curves[own[0]].objects, 0.0
        if not any(curve.hits[-1] for curve in curves.values()):
            return
        while True:
            rows = {k: int((2 * c.hits - best * c.found).argmax()) for k, c in curves.items()}
            total = 2 * (hits + sum(c.hits[rows[k]] for k, c in curves.items()))
            f1 = total / (objects + found + sum(c.found[rows[k]] for k, c in curves.items()))
            if f1 <= best + 1e-12:
                break
            best = f1
        for k, curve in curves.items():
            chosen[k] = in_plateau(curve, 2 * curve.hits - best * curve.found), True

    def _basis(self, k: int) -> Basis:
        phrase = self.query.phrases[k]
        if phrase.role != "find":
            return "kept"
        if self._by_phrase and k in self.phrases and min(self.examples[k]) >= self.enough:
            return "phrase"
        if min(self._label_examples.get(phrase.label, (0, 0))) >= self.enough:
            return "label"
        return "all" if min(self._all_examples) >= self.enough else "kept"

    def _siblings(self, k: int) -> list[int]:
        label = self.query.phrases[k].label
        return [i for i in self.phrases if self.query.phrases[i].label == label]


def _examples(right: np.ndarray) -> tuple[int, int]:
    return int(right.sum()), int((~right).sum())
