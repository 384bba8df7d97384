"""Turns boxes into masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

from grounding_sdk.detections import compact_masks, with_columns
from grounding_sdk.grounding import Grounding
from grounding_sdk.models.ports import Segmenter
from grounding_sdk.models.registry import load_segmenter


@dataclass(frozen=True)
class Segment:
    """Prompts a segmenter with each box; each image is encoded once.

    Detections that have masks already (from a detector that makes its own) keep them, and an
    image on which nothing was found costs nothing.

    Attributes:
        segmenter: A `Segmenter`, or the name, hub id or directory of one.
    """

    segmenter: Segmenter | str | Path

    name: ClassVar[str] = "segment"
    needs: ClassVar[tuple[str, ...]] = ("xyxy",)
    adds: ClassVar[tuple[str, ...]] = ("mask", "mask_score")

    def __post_init__(self) -> None:
        object.__setattr__(self, "segmenter", load_segmenter(self.segmenter))

    @property
    def model(self) -> Segmenter:
        """The segmenter, loaded."""
        return cast(Segmenter, self.segmenter)

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Adds a compact mask and its score to every detection."""
        todo = [i for i, it in enumerate(items) if len(it) and it.detections.mask is None]
        embeddings = self.model.encode([items[i].image for i in todo]) if todo else []
        by_item = dict(zip(todo, embeddings, strict=True))
        return [self._segment(item, by_item.get(i)) for i, item in enumerate(items)]

    def _segment(self, item: Grounding, embedding: object) -> Grounding:
        found = item.detections
        if found.mask is not None:
            return item
        if not len(found):
            nothing = compact_masks([], [], item.image.size)
            return replace(item, detections=with_columns(found, mask=nothing))
        predicted = self.model.decode(embedding, found.xyxy)
        found = with_columns(found, mask=predicted.masks, mask_score=predicted.scores[:, 0])
        return replace(item, detections=found)
