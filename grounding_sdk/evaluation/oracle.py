"""A detector that knows the answers, so that what comes after detection can be judged alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import supervision as sv

from grounding_sdk.detections import detections_from_scores
from grounding_sdk.evaluation.annotations import (
    AnnotationsError,
    AnnotationsLike,
    Box,
    entries,
    load_annotations,
    xyxy,
)
from grounding_sdk.image import Image
from grounding_sdk.query import Query
from grounding_sdk.text.kinds import best_names


@dataclass(frozen=True)
class _Objects:
    """What is annotated in one picture."""

    names: tuple[str, ...]
    boxes: tuple[Box, ...]


class OracleDetector:
    """Finds the annotated boxes whose class name a phrase can mean.

    It knows class names, no attributes: "red cup" and "glass" find every cup. Where names in the
    picture fit a phrase differently well, only those that fit best count (see
    `grounding_sdk.text.kinds`). Scores say how well the name fits, from 0.85 for what merely stands
    in for it to 1 for the very word: so near to each other that boxes that two phrases can mean
    ("the man next to the person") stay good for both. Crowd boxes are left out.

    Args:
        annotations: COCO JSON, read or as a path, with `images`, `annotations` and `categories`.

    Raises:
        AnnotationsError: If they cannot be read or lack something.
    """

    name = "oracle"
    default_threshold = 0.0

    def __init__(self, annotations: AnnotationsLike) -> None:
        self._pictures = _by_base_name(load_annotations(annotations))

    def detect(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        """Finds boxes; see `grounding_sdk.models.ports.Detector`.

        Raises:
            AnnotationsError: If a picture is not among those annotated, by its file name.
        """
        return [self._detect(image, query) for image, query in zip(images, queries, strict=True)]

    def _detect(self, image: Image, query: Query) -> sv.Detections:
        objects = self._objects(image.source)
        heads = {part.phrase: part.head for target in query.targets for part in target.walk()}
        columns = [_scores([heads.get(text, text), text], objects.names) for text in query.texts]
        scores = np.array(columns, float).reshape(len(query), -1).T
        found = scores.any(axis=1)
        boxes = np.array(objects.boxes, float).reshape(-1, 4)
        return detections_from_scores(
            image.size, query, boxes[found], scores[found], self.default_threshold
        )

    def _objects(self, source: str | None) -> _Objects:
        parts = PurePath(source or "").parts
        known = self._pictures.get(parts[-1] if parts else "", {})
        for file_name, objects in known.items():
            named = PurePath(file_name).parts
            if len(known) == 1 or parts[-len(named) :] == named:
                return objects
        raise AnnotationsError(
            f"no picture of the annotations is called {source!r}: load it from its file, under the "
            f"name that 'file_name' has"
        )


def _scores(nouns: list[str], names: Sequence[str]) -> list[float]:
    """How well each object's name fits the first of the nouns that fits any, 0 for not at all."""
    for noun in nouns:
        fits = dict(best_names(noun, names))
        if fits:
            return [(3 + fits[name]) / 4 if name in fits else 0.0 for name in names]
    return [0.0] * len(names)


def _by_base_name(data: Mapping[str, Any]) -> dict[str, dict[str, _Objects]]:
    """The pictures' objects by the last part of their file names, then by the whole."""
    names = {entry["id"]: str(entry["name"]) for entry in entries(data, "categories", "id", "name")}
    found: dict[Any, list[tuple[str, Box]]] = defaultdict(list)
    for entry in entries(data, "annotations", "image_id", "category_id", "bbox"):
        if entry.get("iscrowd"):
            continue
        if entry["category_id"] not in names:
            raise AnnotationsError(
                f"an annotation has category_id {entry['category_id']!r}, which no category has"
            )
        found[entry["image_id"]].append((names[entry["category_id"]], xyxy(entry)))
    pictures: dict[str, dict[str, _Objects]] = defaultdict(dict)
    for image in entries(data, "images", "id", "file_name"):
        objects = found[image["id"]]
        file_name = str(image["file_name"])
        pictures[PurePath(file_name).name][file_name] = _Objects(
            tuple(name for name, _ in objects), tuple(box for _, box in objects)
        )
    return dict(pictures)
