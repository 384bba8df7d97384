"""Lets excluded phrases compete: "dog, not toy dog" with a detector that knows of no "not".

The detector is asked for all texts alike (`plain_query`), and what it found is read again with the
real query (`compete`). An excluded phrase is heard on a box as loud as it scores there, and on a
box that overlaps one which is best called by the excluded phrase, as loud as it scores on that one;
the latter is for detectors that give every phrase boxes of its own. What an excluded phrase speaks
against is struck out where it scores lower. Equal scores are in favor of what is asked for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import supervision as sv

from grounding_sdk.query import Phrase, Query

OVERLAP = 0.5  # IoU of two boxes from which they may show one thing, as evaluations have it


def plain_query(query: Query, default_threshold: float) -> Query:
    """Returns what to ask a detector: each distinct text once, to be found.

    A text that is only excluded gets the lowest threshold of those looked for, so that the detector
    drops no box on which the excluded phrase is best and another might still be found. A query that
    excludes nothing is returned as it is.

    Args:
        query: What is asked.
        default_threshold: The detector's.

    >>> query = Query((Phrase("dog", threshold=0.4), Phrase("toy dog", "dog", role="exclude")))
    >>> [(phrase.text, phrase.threshold) for phrase in plain_query(query, 0.3)]
    [('dog', 0.4), ('toy dog', 0.4)]
    """
    asked = {p.text: p.threshold for p in query if p.role != "exclude"}
    if len(asked) == len(query):
        return query
    lowest = min(default_threshold if t is None else t for t in asked.values())
    texts = asked | {p.text: lowest for p in query if p.text not in asked}
    phrases = tuple(Phrase(text, threshold=threshold) for text, threshold in texts.items())
    return Query(phrases, templates=query.templates)


def compete(query: Query, found: sv.Detections, default_threshold: float) -> sv.Detections:
    """Turns what a detector found for `plain_query` into detections of the query, best first.

    Each box goes to the best of its phrases that is not struck out and reaches its threshold; a box
    without one is dropped. An excluded phrase that has a threshold of its own is heard only from
    that score on.

    Args:
        query: What is asked; the K phrases.
        found: N detections with the columns of `plain_query`'s phrases.
        default_threshold: The detector's.

    Returns:
        At most N of the detections, with the columns of `query`; masks and other columns of data
        as they were. If nothing is excluded, `found` itself.
    """
    if all(phrase.role != "exclude" for phrase in query):
        return found
    texts = plain_query(query, default_threshold).texts
    column = {text: index for index, text in enumerate(texts)}
    columns = np.array([column[text] for text in query.texts])
    plain_scores = np.asarray(found["phrase_scores"], np.float32)
    scores = plain_scores[:, columns]
    is_best = plain_scores.argmax(axis=1)[:, None] == columns
    remaining = np.where(_struck(query, scores, is_best, found.xyxy), -np.inf, scores)
    thresholds = np.array(
        [default_threshold if p.threshold is None else p.threshold for p in query], np.float32
    )
    remaining[remaining < thresholds] = -np.inf
    remaining[:, [p.role == "exclude" for p in query]] = -np.inf

    best = remaining.argmax(axis=1)
    top = remaining[np.arange(len(found)), best]
    order = np.argsort(-top, kind="stable")
    order = order[np.isfinite(top[order])]
    kept, best = found.select(order), best[order]
    labels = query.labels
    chosen = [query.phrases[i] for i in best]
    data = {
        "class_name": np.array([phrase.label for phrase in chosen], str),
        "phrase": np.array([phrase.text for phrase in chosen], str),
        "phrase_id": best,
        "phrase_scores": scores[order],
    }
    return replace(
        kept,
        confidence=top[order].astype(np.float32),
        class_id=np.array([labels.index(phrase.label) for phrase in chosen], int),
        data={**kept.data, **data},
    )


def _struck(query: Query, scores: np.ndarray, is_best: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Which phrases (N, K) are struck out, given their scores and where they are best (N, K)."""
    members: dict[str, list[int]] = {"": list(range(len(query)))}
    against: dict[str, np.ndarray] = {}  # for each label, how loud it is spoken against
    for index, phrase in enumerate(query):
        if phrase.role != "exclude":
            members.setdefault(phrase.label, []).append(index)
            continue
        heard = _heard(scores[:, index], is_best[:, index], boxes, phrase.threshold or 0.0)
        against[phrase.label] = np.maximum(heard, against.get(phrase.label, heard))
    struck = np.zeros(scores.shape, bool)
    for label, heard in against.items():
        opposed = members.get(label, [])
        struck[:, opposed] |= scores[:, opposed] < heard[:, None]
    return struck


def _heard(scores: np.ndarray, is_best: np.ndarray, boxes: np.ndarray, lowest: float) -> np.ndarray:
    """How loud (N,) an excluded phrase is on each box, given its scores there."""
    heard = np.where(scores >= lowest, scores, -np.inf)
    if is_best.any():
        near = sv.box_iou_batch(boxes, boxes[is_best]) >= OVERLAP
        heard = np.maximum(heard, np.where(near, heard[is_best], -np.inf).max(axis=1))
    return heard
