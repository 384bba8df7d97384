"""`Grounding`: what flows through a pipeline, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv

from grounding_sdk.detections import empty_detections
from grounding_sdk.evidence import Evidence
from grounding_sdk.files import write_file
from grounding_sdk.image import Image, ImageLike
from grounding_sdk.query import Query, QueryLike


@dataclass(frozen=True)
class Step:
    """One stage's entry in the trace of a grounding.

    Attributes:
        stage: The stage's name.
        seconds: Time it took, shared evenly among the images of its batch.
        before: Number of detections that went in.
        after: Number that came out.
        model: The name of the model that the stage used, if any.
    """

    stage: str
    seconds: float
    before: int
    after: int
    model: str | None = None


@dataclass(frozen=True, eq=False)
class Grounding:
    """An image, what is asked of it, and what has been found so far. Never changed in place.

    Attributes:
        image: The picture.
        query: The phrases asked for.
        detections: What was found, with the columns that `grounding_sdk.detections` lists.
        trace: What each stage did.
        evidence: For each target of the query, why its boxes were chosen; set by `Relate`.
    """

    image: Image
    query: Query
    detections: sv.Detections = field(repr=False)
    trace: tuple[Step, ...] = field(default=(), repr=False)
    evidence: tuple[Evidence, ...] = field(default=(), repr=False)

    @classmethod
    def ask(cls, image: ImageLike, query: QueryLike) -> Grounding:
        """Starts a grounding: nothing found yet.

        Raises:
            ImageError: If the picture cannot be read.
            QueryError: If the words make no query.
        """
        asked = Query.of(query)
        return cls(Image.load(image), asked, empty_detections(asked))

    def __len__(self) -> int:
        return len(self.detections)

    def __bool__(self) -> bool:
        return True  # a result with nothing found is still a result

    def __str__(self) -> str:
        counts = ", ".join(f"{n} x {label}" for label, n in self.counts.items() if n)
        return f"{counts or 'nothing'} found in {self.image.source or 'the image'}"

    @property
    def counts(self) -> dict[str, int]:
        """How many of each label were found, in query order, zeros included."""
        found = list(self.detections.data["class_name"])
        return {label: found.count(label) for label in self.query.wanted}

    def explain(self) -> str:
        """Says what was understood, and what each candidate scored on each condition."""
        if not self.query.targets:
            return f"{self.query}\n  plain phrases: everything that the detector found is kept"
        if not self.evidence:
            return f"{self.query}\n  not judged: the pipeline has no relate stage"
        return "\n\n".join(str(evidence) for evidence in self.evidence)

    def filter(
        self,
        *,
        labels: Sequence[str] | None = None,
        min_score: float = 0.0,
        where: np.ndarray | None = None,
    ) -> Grounding:
        """Keeps some of the detections.

        Args:
            labels: Only these labels.
            min_score: Only detector scores of at least this.
            where: (N,) bool or int array as numpy indexing takes it, applied first.
        """
        kept = self.detections if where is None else self.detections.select(np.asarray(where))
        keep = np.asarray(kept.confidence) >= min_score
        if labels is not None:
            wanted = [labels] if isinstance(labels, str) else list(labels)
            keep &= np.isin(kept.data["class_name"], wanted)
        return replace(self, detections=kept.select(keep))

    def picture(self, **options: Any) -> np.ndarray:
        """Draws the result: RGB uint8 (H, W, 3). Options are those of `viz.annotate`."""
        from grounding_sdk import viz

        return viz.annotate(self, **options)

    def save(self, path: str | Path) -> Path:
        """Writes the picture (.jpg, .png, .webp) or the numbers (.json), by the path's suffix.

        Returns:
            The path; missing folders are made.

        Raises:
            ConfigError: If the suffix is none of these.
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            return write_file(path, json.dumps(self.to_dict(masks=True)))
        from grounding_sdk import viz

        return viz.save_picture(self.picture(), path)

    def to_dict(self, *, masks: bool = False) -> dict[str, Any]:
        """Returns the result as plain JSON types: image, query, and one entry for each object.

        Args:
            masks: Whether to include each mask as COCO RLE.
        """
        from grounding_sdk import formats

        return formats.grounding_dict(self, masks=masks)

    def _repr_png_(self) -> bytes:
        from grounding_sdk import viz

        return viz.encode_png(self.picture(legend="auto"))
