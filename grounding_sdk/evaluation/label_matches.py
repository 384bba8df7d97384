"""Scored detections matched with annotations, label by label: which are right, and which wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import supervision as sv

from grounding_sdk.formats import Annotated
from grounding_sdk.query import Query

OVERLAP = 0.5  # IoU from which a box is right


@dataclass(frozen=True, eq=False)
class LabelMatches:
    """What was found in P pictures for the phrases of a query that are to be found.

    Attributes:
        phrase: (N,) int, index of each detection's phrase in the query.
        score: (N,) float32.
        right: (N,) bool.
        picture: (N,) int.
        objects: For each annotated label of the query, (P,) how many there are in each picture.
    """

    phrase: np.ndarray
    score: np.ndarray
    right: np.ndarray
    picture: np.ndarray
    objects: dict[str, np.ndarray]


def match_labels(
    found: Sequence[sv.Detections],
    rows: Sequence[Annotated],
    query: Query,
    names: Iterable[str] = (),
    *,
    thresholds: np.ndarray | None = None,
) -> LabelMatches:
    """Matches detections with annotations as COCO does.

    Best scores first, each detection takes the object of its label that it overlaps most, of those
    that are not taken and have an IoU of 0.5 or more. One that takes none is wrong, unless half of
    it lies in a crowd of its label: then it is left out. Since what scores lower changes nothing,
    the matches above any score are those that a higher threshold would have given.

    Args:
        found: For each picture, detections of the query's phrases.
        rows: For each picture, its annotations.
        query: What was asked; labels that only differ in capitals from an annotation's are it.
        names: The labels that the annotations know; those that occur in them unless given.
        thresholds: (K,) of each phrase; what scores lower is left out first.
    """
    meant = _meant(query, names or {each.label for row in rows for each in row.objects})
    wanted = sorted(set(meant.values()), key=query.labels.index)
    objects = {label: np.zeros(len(rows), int) for label in wanted}
    to_find = np.array([phrase.role == "find" for phrase in query])
    matches: list[tuple[np.ndarray, ...]] = []
    for index, (detections, row) in enumerate(zip(found, rows, strict=True)):
        phrase = np.asarray(detections.data["phrase_id"], int)
        score = np.asarray(detections.confidence, np.float32)
        kept = to_find[phrase]
        if thresholds is not None:
            kept &= score >= thresholds.astype(np.float32)[phrase]
        for label in wanted:
            mine = [each for each in row.objects if meant.get(each.label) == label]
            there = _boxes([each.box for each in mine if not each.iscrowd])
            crowds = _boxes([each.box for each in mine if each.iscrowd])
            objects[label][index] = len(there)
            rank = np.flatnonzero(kept & (detections.data["class_name"] == label))
            rank = rank[np.argsort(-score[rank], kind="stable")]
            right = _taking(detections.xyxy[rank], there)
            counts = right | ~_inside(detections.xyxy[rank], crowds)
            rank, right = rank[counts], right[counts]
            matches.append((phrase[rank], score[rank], right, np.full(len(rank), index)))
    nothing = (np.zeros(0, int), np.zeros(0, np.float32), np.zeros(0, bool), np.zeros(0, int))
    columns = [np.concatenate(column) for column in zip(nothing, *matches, strict=True)]
    return LabelMatches(columns[0], columns[1], columns[2], columns[3], objects)


def _meant(query: Query, names: Iterable[str]) -> dict[str, str]:
    """The query's label for each name of the annotations that it has one for."""
    labels = {p.label: p.label for p in query if p.role == "find"}
    alike = {label.casefold(): label for label in labels}
    plain = {name: " ".join(name.split()) for name in names}
    exact = {name: labels[text] for name, text in plain.items() if text in labels}
    others = {
        name: alike[text.casefold()]
        for name, text in plain.items()
        if text.casefold() in alike and alike[text.casefold()] not in exact.values()
    }
    return others | exact


def _boxes(boxes: Sequence[tuple[float, ...]]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def _taking(boxes: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Which of the boxes, best first, take one of the objects."""
    right = np.zeros(len(boxes), bool)
    if not len(boxes) or not len(objects):
        return right
    overlap = np.asarray(sv.box_iou_batch(objects, boxes))
    for index in range(len(boxes)):
        best = int(overlap[:, index].argmax())
        if overlap[best, index] >= OVERLAP:
            right[index] = True
            overlap[best] = -1
    return right


def _inside(boxes: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Which of the boxes lie in a crowd with half of their area or more."""
    low = np.maximum(boxes[:, None, :2], crowds[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], crowds[None, :, 2:])
    common = (high - low).clip(0).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    inside: np.ndarray = (common >= 0.5 * area[:, None]).any(axis=1)
    return inside
