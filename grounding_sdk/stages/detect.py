"""Finds the boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, cast

import supervision as sv

from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image
from grounding_sdk.models.cache import MEMORY, EmbeddingCache, open_cache
from grounding_sdk.models.ports import Detector, EncodingDetector
from grounding_sdk.models.registry import load_detector
from grounding_sdk.query import Query, check_threshold
from grounding_sdk.stages.exclude import compete, plain_query

# "the cup" says that there is one, so that weaker candidates are worth a look.
PRESUPPOSED = 0.5  # share of the detector's threshold

COLUMNS = ("class_name", "phrase", "phrase_id", "mask_score", "phrase_scores")


@dataclass(frozen=True)
class Detect:
    """Asks a detector for every phrase of each query, in one call for the whole batch.

    Excluded phrases compete for the boxes and are not in the result, whatever the detector.

    Attributes:
        detector: A `Detector`, or the name, hub id or directory of one.
        threshold: For phrases without one of their own; None takes the detector's default, and half
            of it for the candidates and anchors of expressions that say how many there are ("the
            cup left of the laptop").
        cache: Where is kept what the detector made of images, as for `Segment`; of use to those
            that have the methods of `EncodingDetector`. Results are the same.
    """

    detector: Detector | str | Path
    threshold: float | None = None
    cache: EmbeddingCache | str | Path | None = field(default=MEMORY, kw_only=True)

    name: ClassVar[str] = "detect"
    needs: ClassVar[tuple[str, ...]] = ()
    adds: ClassVar[tuple[str, ...]] = ("xyxy", "confidence", "class_id", *COLUMNS)

    def __post_init__(self) -> None:
        object.__setattr__(self, "detector", load_detector(self.detector))
        if self.threshold is not None:
            object.__setattr__(self, "threshold", check_threshold(self.threshold))
        if self.cache != MEMORY:
            object.__setattr__(self, "cache", open_cache(self.cache))

    @property
    def model(self) -> Detector:
        """The detector, loaded."""
        return cast(Detector, self.detector)

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Replaces the detections of each item.

        Raises:
            ConfigError: If the detector breaks the contract of its port.
        """
        default = self.model.default_threshold
        queries = [self._with_thresholds(item.query) for item in items]
        asked = [plain_query(query, default) for query in queries]
        found = self._detect([item.image for item in items], asked)
        return [
            replace(item, detections=compete(query, detections, default))
            for item, query, detections in zip(items, queries, found, strict=True)
        ]

    def _detect(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        """Runs the detector and checks what it gives."""
        found = self._ask(images, queries) if images else []
        if len(found) != len(images):
            raise ConfigError(
                f"detector '{self.model.name}' returned {len(found)} results for "
                f"{len(images)} images, expected one for each"
            )
        for detections in found:
            missing = [column for column in COLUMNS if column not in detections.data]
            if missing:
                raise ConfigError(
                    f"detector '{self.model.name}' left out the columns {missing}: build its "
                    f"result with grounding_sdk.detections.detections_from_scores"
                )
        return found

    def _ask(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        cache = open_cache(self.cache)
        if cache is None or not isinstance(self.model, EncodingDetector):
            return self.model.detect(images, queries)
        return self.model.detect_encoded(cache.encode(self.model, images), images, queries)

    def _with_thresholds(self, query: Query) -> Query:
        sure = _presupposed(query) if self.threshold is None else set()
        if sure:
            half = PRESUPPOSED * self.model.default_threshold
            phrases = (
                replace(p, threshold=half)
                if p.role == "part" and p.text in sure and p.threshold is None
                else p
                for p in query
            )
            query = replace(query, phrases=tuple(phrases))
        return query.with_threshold(self.threshold)


def _presupposed(query: Query) -> set[str]:
    """Texts that only stand in expressions that say how many there are."""
    texts: dict[bool, set[str]] = {True: set(), False: set()}
    for target in query.targets:
        texts[target.count is not None].update(part.phrase for part in target.walk())
    return texts[True] - texts[False]
