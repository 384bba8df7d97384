"""Chooses, among what was found, what a referring expression means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import supervision as sv

from grounding_sdk.errors import ConfigError
from grounding_sdk.evidence import Evidence
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image
from grounding_sdk.query import Query
from grounding_sdk.stages.colors import color_scores
from grounding_sdk.stages.geometry import (
    areas,
    between,
    centers,
    closeness,
    iou,
    place,
    relation,
    relative,
)
from grounding_sdk.target import PLACES, RANKS, Condition, Target

MEETS = 0.5  # the border between a condition that holds and one that does not
UNKNOWN = 0.5  # of a condition that cannot be judged: it favors no candidate
FAILS = 0.05  # a candidate of which a condition is not truer than this is never chosen
LEAST = 0.01  # a condition that fails leaves this much, so that the others still order the rest
RIVAL = 0.8  # a box stands for another phrase too if that scores this share of its best
SAME_BOX = 0.8  # IoU from which two boxes are one object


@dataclass(frozen=True)
class Relate:
    """Scores every condition of each target of the query, and keeps the best candidates.

    A target's candidates are the detections of its phrase. Each condition gives each of them a soft
    score from boxes (or masks, where there are any); the product with the detector's score decides.
    The target's count says how many are kept, fewer if a condition fails altogether; where it is
    None, all that meet every condition.
    Detections of other phrases to find stay; those of mere parts go. `Grounding.evidence` keeps
    every score. Without targets in the query nothing is changed but the columns.

    Adds to the detections `target` (N,) int, the index in `query.targets`, -1 for plain phrases;
    and `match` (N,) float32 in [0, 1], the product of the conditions, 1 for plain phrases.

    Attributes:
        meets: The score from which a condition counts as met where all that fit are asked for.
        top_k: How many to keep at most, in place of the number that each expression says.
    """

    meets: float = MEETS
    top_k: int | None = None

    name: ClassVar[str] = "relate"
    needs: ClassVar[tuple[str, ...]] = ("xyxy", "confidence", "phrase", "phrase_scores")
    adds: ClassVar[tuple[str, ...]] = ("target", "match")
    pure: ClassVar[bool] = True  # a stream may call it in several threads at a time

    def __post_init__(self) -> None:
        if not 0 <= self.meets <= 1:
            raise ConfigError(f"expected 'meets' between 0 and 1, got {self.meets!r}")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"expected top_k of at least 1, got {self.top_k}")

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Returns the items with what is meant, each target's choice best first."""
        return [self._relate(item) for item in items]

    def _relate(self, item: Grounding) -> Grounding:
        found, query = item.detections, item.query
        if not query.targets:
            return replace(item, detections=_with_choice(found, -1, np.ones(len(found))))
        scene = _Scene(item.image, query, found)
        chosen, evidence = [], []
        for index, target in enumerate(query.targets):
            judged = _judge(replace(target, count=self.top_k or target.count), scene)
            kept = _choose(judged, self.meets)
            chosen.append(_as_target(scene, index, judged, kept))
            evidence.append(_evidence(judged, kept))
        wanted = np.array([phrase.role == "find" for phrase in query], bool)
        rest = found.select(wanted[np.asarray(found["phrase_id"], int)])
        chosen.append(_with_choice(rest, -1, np.ones(len(rest))))
        return replace(item, detections=_stacked(chosen), evidence=tuple(evidence))


class _Scene:
    """What was found in a picture, by phrase."""

    def __init__(self, image: Image, query: Query, found: sv.Detections) -> None:
        self.image, self.query, self.found = image, query, found
        self.boxes = np.asarray(found.xyxy, float).reshape(-1, 4)

    def candidates(self, phrase: str) -> tuple[np.ndarray, np.ndarray]:
        """The rows that stand for a phrase, best first, and the detector's scores for it."""
        index = next(
            i for i, p in enumerate(self.query) if p.text == phrase and p.role != "exclude"
        )
        own = np.asarray(self.found["phrase_id"]) == index
        score = np.asarray(self.found["phrase_scores"], float)[:, index]
        best = np.asarray(self.found.confidence, float)
        rival = (score > 0) & (score >= RIVAL * best)
        score = np.where(own, best, score)
        rows = np.flatnonzero(own | rival)
        rows = rows[np.argsort(-score[rows], kind="stable")]
        # One object may have a box under each of two phrases.
        overlap = iou(self.boxes[rows], self.boxes[rows])
        first: list[int] = []
        for i in range(len(rows)):
            if not any(overlap[i, j] >= SAME_BOX for j in first):
                first.append(i)
        return rows[first], score[rows[first]]

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """How large each row's object is: of its mask if there is one, else of its box."""
        if self.found.mask is None:
            return areas(self.boxes[rows])
        return np.asarray(self.found.area, float)[rows]


@dataclass(frozen=True)
class _Judged:
    """The candidates of a target, best first, with the scores of phrase and conditions."""

    target: Target
    rows: np.ndarray
    boxes: np.ndarray
    names: tuple[str, ...]
    scores: np.ndarray  # (M, len(names)): the detector's first, then the conditions'
    total: np.ndarray
    notes: tuple[str, ...]


def _choose(judged: _Judged, meets: float) -> np.ndarray:
    """Which candidates are meant, (M,) bool; they stand best first."""
    target = judged.target
    columns = judged.scores[:, 1 : 1 + len(target.conditions)]
    if target.count is None:
        return np.asarray((columns >= meets).all(axis=1))
    # The last of a ranking is no failure: it may be among the two largest.
    must = [c.kind not in RANKS or c.rank > 1 for c in target.conditions]
    fits = (columns[:, must] > FAILS).all(axis=1)
    return np.asarray(fits & (np.cumsum(fits) <= target.count))


def _judge(target: Target, scene: _Scene) -> _Judged:
    rows, found = scene.candidates(target.phrase)
    boxes = scene.boxes[rows]
    notes = [f"not understood: {words!r}" for words in target.ignored]
    columns: dict[int, np.ndarray] = {}
    # Superlatives come last: "the largest cup on the table" is the largest of those on the table.
    conditions = sorted(enumerate(target.conditions), key=lambda pair: pair[1].kind in RANKS)
    so_far = found
    for index, condition in conditions:
        column = _score(condition, target, scene, rows, so_far, notes)
        column = LEAST + (1 - LEAST) * np.clip(1 - column if condition.negated else column, 0, 1)
        columns[index] = column
        so_far = so_far * column
    names = [target.phrase, *(str(condition) for condition in target.conditions)]
    if target.count is not None and not any(c.kind in RANKS for c in target.conditions):
        columns[len(columns)] = prominent = _prominence(areas(boxes))
        names.append("prominence")
        so_far = so_far * prominent
    scores = np.column_stack([found, *(columns[i] for i in range(len(columns)))])
    # Of equals the larger one: it is what people would rather speak of.
    order = np.lexsort((-areas(boxes), -so_far))
    return _Judged(
        target, rows[order], boxes[order], tuple(names), scores[order], so_far[order], tuple(notes)
    )


def _prominence(sizes: np.ndarray) -> np.ndarray:
    """Who says "the man" rather means a large one: a hundredth of the size gives 0.63, (M,)."""
    return np.asarray((sizes / max(sizes.max(initial=0), 1e-9)) ** 0.1)


def _score(
    condition: Condition,
    target: Target,
    scene: _Scene,
    rows: np.ndarray,
    so_far: np.ndarray,
    notes: list[str],
) -> np.ndarray:
    """How far a condition, not yet negated, holds for each candidate, (M,)."""
    boxes, kind = scene.boxes[rows], condition.kind
    if kind == "color":
        share = color_scores(condition.value, scene.image.pixels, boxes)
        return np.full(len(rows), UNKNOWN) if share is None else 0.1 + 0.9 * share
    if kind in PLACES:
        value = place(kind, boxes, scene.image.size)
        absolute = 1 / (1 + np.exp((0.5 - value) / 0.1))
        # "the cup on the left" is meant among the cups; "cups on the left" in the picture.
        return np.sqrt(absolute * relative(value)) if target.count == 1 else absolute
    anchors = [_judge(anchor, scene) for anchor in condition.anchors]
    for judged in anchors:
        notes += judged.notes
        if not len(judged.rows):
            notes.append(
                f"no {judged.target.phrase} was found, so '{condition}' could not be judged"
            )
            return np.full(len(rows), 0.0 if condition.negated else UNKNOWN)
    if kind in RANKS:
        value = _rank_value(kind, boxes, scene.sizes(rows), anchors, scene.image.size)
        return _ranked(value, condition.rank, so_far, exact=condition.negated)
    if kind == "between":
        return _between(boxes, anchors)
    (anchor,) = anchors
    holds = relation(kind, boxes, anchor.boxes)
    if kind == "same as":
        return np.asarray((holds * _choose(anchor, MEETS)).max(axis=1))
    holds[iou(boxes, anchor.boxes) >= SAME_BOX] = 0  # nothing is next to itself
    return (holds * _weights(anchor)).max(axis=1)


def _rank_value(
    kind: str,
    boxes: np.ndarray,
    sizes: np.ndarray,
    anchors: list[_Judged],
    size: tuple[int, int],
) -> np.ndarray:
    """What a superlative compares: the highest value is the most so, (M,)."""
    x, y = centers(boxes).T
    if kind in ("nearest", "farthest") and anchors:
        near = relation("near", boxes, anchors[0].boxes)
        near[iou(boxes, anchors[0].boxes) >= SAME_BOX] = 0
        value = (near * _weights(anchors[0])).max(axis=1)
    elif kind in ("nearest", "farthest"):
        value = closeness(boxes, size)
    elif kind in ("leftmost", "rightmost"):
        value = x
    elif kind in ("topmost", "bottommost"):
        value = y
    elif kind in ("largest", "smallest"):
        value = np.sqrt(sizes)
    elif kind in ("tallest", "shortest"):
        value = boxes[:, 3] - boxes[:, 1]
    elif kind in ("widest", "narrowest"):
        value = boxes[:, 2] - boxes[:, 0]
    else:  # in the middle: as many to its left as to its right
        place_in_row = x.argsort(kind="stable").argsort(kind="stable")
        value = -abs(place_in_row - (len(x) - 1) / 2) - abs(x / size[1] - 0.5)
    least = ("leftmost", "topmost", "smallest", "shortest", "narrowest", "farthest")
    return -value if kind in least else value


def _ranked(value: np.ndarray, rank: int, so_far: np.ndarray, *, exact: bool) -> np.ndarray:
    """Scores the candidate of a rank 1 and others by how far they are from it.

    Only those count that the other evidence makes likely; others can be no third from the left.
    """
    likely = so_far >= 0.5 * so_far.max(initial=0)
    score = np.zeros(len(value))
    if rank == 1 and not exact:  # "not the largest" speaks of that one alone
        score[likely] = 0.1 + 0.9 * relative(value[likely])
        return score
    if rank > likely.sum():
        return score
    order = (-value[likely]).argsort(kind="stable").argsort(kind="stable")
    score[likely] = 0.2 ** abs(order - (rank - 1))
    return score


def _between(boxes: np.ndarray, anchors: list[_Judged]) -> np.ndarray:
    first, second = anchors[0], anchors[-1]
    holds = between(boxes, first.boxes, second.boxes)
    holds = holds * _weights(first)[:, None] * _weights(second)[None, :]
    ours, theirs = iou(boxes, first.boxes) >= SAME_BOX, iou(boxes, second.boxes) >= SAME_BOX
    holds[ours[:, :, None] | theirs[:, None, :]] = 0
    holds[:, iou(first.boxes, second.boxes) >= SAME_BOX] = 0
    return np.asarray(holds.reshape(len(boxes), -1).max(axis=1, initial=0))


def _weights(anchor: _Judged) -> np.ndarray:
    """How likely each box is the anchor, 1 for the likeliest; a doubtful one still counts some."""
    return np.sqrt(anchor.total / anchor.total.max())


def _as_target(scene: _Scene, index: int, judged: _Judged, kept: np.ndarray) -> sv.Detections:
    """The rows that were chosen, as detections of the target's label."""
    target = scene.query.targets[index]
    chosen = scene.found.select(judged.rows[kept])
    number = len(chosen)
    texts = scene.query.texts
    data = dict(chosen.data)
    data["class_name"] = np.full(number, target.label)
    data["phrase"] = np.full(number, target.phrase)
    data["phrase_id"] = np.full(number, texts.index(target.phrase))
    labelled = replace(
        chosen,
        confidence=judged.scores[kept, 0].astype(np.float32),
        class_id=np.full(number, scene.query.labels.index(target.label)),
        data=data,
    )
    return _with_choice(labelled, index, judged.scores[kept, 1:].prod(axis=1))


def _with_choice(found: sv.Detections, target: int, match: np.ndarray) -> sv.Detections:
    data = dict(found.data)
    data["target"] = np.full(len(found), target)
    data["match"] = np.asarray(match, np.float32)
    return replace(found, data=data)


def _stacked(parts: list[sv.Detections]) -> sv.Detections:
    filled = [part for part in parts if len(part)]
    return sv.Detections.merge(filled) if len(filled) > 1 else (filled or parts[-1:])[0]


def _evidence(judged: _Judged, kept: np.ndarray) -> Evidence:
    return Evidence(
        target=judged.target,
        xyxy=judged.boxes.astype(np.float32),
        names=judged.names,
        scores=judged.scores.astype(np.float32),
        total=judged.total.astype(np.float32),
        chosen=kept,
        notes=judged.notes,
    )
