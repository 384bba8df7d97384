"""Turns boxes into masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

from grounding_sdk.detections import compact_masks, with_columns
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image
from grounding_sdk.models.cache import MEMORY, EmbeddingCache, open_cache
from grounding_sdk.models.ports import Embedding, Segmenter
from grounding_sdk.models.registry import load_segmenter


@dataclass(frozen=True)
class Segment:
    """Prompts a segmenter with each box; each image is encoded once.

    Detections that have masks already (from a detector that makes its own) keep them, and an
    image on which nothing was found costs nothing.

    Attributes:
        segmenter: A `Segmenter`, or the name, hub id or directory of one.
        cache: Where encoded images are kept, so that the next query on one need not encode it:
            "memory" for the cache that all pipelines of the process share, an `EmbeddingCache`,
            a folder for one that also keeps files there, or None to keep nothing. Results are the
            same.
    """

    segmenter: Segmenter | str | Path
    cache: EmbeddingCache | str | Path | None = MEMORY

    name: ClassVar[str] = "segment"
    needs: ClassVar[tuple[str, ...]] = ("xyxy",)
    adds: ClassVar[tuple[str, ...]] = ("mask", "mask_score")

    def __post_init__(self) -> None:
        object.__setattr__(self, "segmenter", load_segmenter(self.segmenter))
        if self.cache != MEMORY:
            object.__setattr__(self, "cache", open_cache(self.cache))

    @property
    def model(self) -> Segmenter:
        """The segmenter, loaded."""
        return cast(Segmenter, self.segmenter)

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Adds a compact mask and its score to every detection."""
        todo = [i for i, it in enumerate(items) if len(it) and it.detections.mask is None]
        embeddings = self._encode([items[i].image for i in todo]) if todo else []
        by_item = dict(zip(todo, embeddings, strict=True))
        return [self._segment(item, by_item.get(i)) for i, item in enumerate(items)]

    def _encode(self, images: Sequence[Image]) -> list[Embedding]:
        cache = open_cache(self.cache)
        return self.model.encode(images) if cache is None else cache.encode(self.model, images)

    def _segment(self, item: Grounding, embedding: object) -> Grounding:
        found = item.detections
        if found.mask is not None:
            return item
        if not len(found):
            nothing = compact_masks([], [], item.image.size)
            return replace(item, detections=with_columns(found, mask=nothing))
        predicted = self.model.decode(embedding, found.xyxy, logits=False)
        found = with_columns(found, mask=predicted.masks, mask_score=predicted.scores[:, 0])
        return replace(item, detections=found)
