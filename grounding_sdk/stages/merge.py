"""Removes duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np
import supervision as sv

from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding
from grounding_sdk.query import Query

Method = Literal["nms", "soft-nms", "merge"]
Scope = Literal["label", "all"]


@dataclass(frozen=True)
class Merge:
    """Suppresses or merges detections that overlap, as `supervision` implements it.

    Overlap is measured on masks where there are any, else on boxes.

    A query's rules come before the stage's own settings: among the detections of a label that
    states `nms`, that IoU alone decides which to drop, whatever the method. With "all", they are
    compared with the others after that. `max_count` is applied last, and not to what `Relate` has
    yet to choose from.

    Attributes:
        method: "nms" drops the lower scoring of two (non-maximum suppression); "soft-nms" lowers
            its score instead (Bodla et al., 2017, Gaussian) and drops what falls below
            `min_score`; "merge" unites them (non-maximum merging).
        overlap: IoU from which two detections count as one; for "soft-nms" the decay's sigma.
        within: "label" compares detections of the same label only, "all" also those of others,
            so that one object gets one label.
        min_score: For "soft-nms" only.
    """

    method: Method = "nms"
    overlap: float = 0.6
    within: Scope = "label"
    min_score: float = 0.05

    name: ClassVar[str] = "merge"
    needs: ClassVar[tuple[str, ...]] = ("xyxy", "confidence")
    adds: ClassVar[tuple[str, ...]] = ()
    pure: ClassVar[bool] = True  # a stream may call it in several threads at a time

    def __post_init__(self) -> None:
        for value, choices in ((self.method, get_args(Method)), (self.within, get_args(Scope))):
            if value not in choices:
                raise ConfigError(f"expected one of {list(choices)}, got {value!r}")
        if not 0 < self.overlap <= 1:
            raise ConfigError(f"expected an overlap above 0 and up to 1, got {self.overlap}")

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Returns the items with fewer or equally many detections, best first."""
        return [
            replace(item, detections=self._merged(item.detections, item.query)) for item in items
        ]

    def _merged(self, found: sv.Detections, query: Query) -> sv.Detections:
        if len(found) < 2:
            return found
        rest, ruled = np.ones(len(found), bool), []
        for rule in query.rules:
            if rule.nms is not None:
                of_label = found.data["class_name"] == rule.label
                rest &= ~of_label
                ruled.append(found.select(of_label).with_nms(rule.nms))
        if not ruled:
            kept = self._suppressed(found)
        elif self.within == "all":
            kept = self._suppressed(sv.Detections.merge([found.select(rest), *ruled]))
        else:
            kept = sv.Detections.merge([self._suppressed(found.select(rest)), *ruled])
        kept = kept.select(np.argsort(-np.asarray(kept.confidence), kind="stable"))
        return _counted(kept, query)

    def _suppressed(self, found: sv.Detections) -> sv.Detections:
        across = self.within == "all"
        if self.method == "nms":
            return found.with_nms(self.overlap, class_agnostic=across)
        if self.method == "soft-nms":
            return found.with_soft_nms(self.overlap, across, score_threshold=self.min_score)
        return found.with_nmm(self.overlap, class_agnostic=across)


def _counted(found: sv.Detections, query: Query) -> sv.Detections:
    """Keeps the first `max_count` of each label that has such a rule."""
    kept = np.ones(len(found), bool)
    to_find = np.array([phrase.role == "find" for phrase in query])
    for rule in query.rules:
        if rule.max_count is not None:
            counts = to_find[found.data["phrase_id"]] & (found.data["class_name"] == rule.label)
            kept[np.flatnonzero(counts)[rule.max_count :]] = False
    return found if kept.all() else found.select(kept)
