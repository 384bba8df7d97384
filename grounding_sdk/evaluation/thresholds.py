"""Thresholds from a few annotated pictures: for best F1, or for a precision or recall wanted.

A detector's scores mean something else for every name. With some pictures in which all objects of
the names are marked, each name gets the threshold that serves it best, and it is told how much the
figures can be trusted. What has too few examples gets the threshold of more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import supervision as sv

from grounding_sdk.errors import ConfigError, QueryError
from grounding_sdk.evaluation.annotations import AnnotationsError
from grounding_sdk.evaluation.coco_truth import find_pictures
from grounding_sdk.evaluation.label_matches import LabelMatches, match_labels
from grounding_sdk.evaluation.threshold_choice import Basis, By, Chooser
from grounding_sdk.evaluation.threshold_curve import Curve
from grounding_sdk.formats import Annotated
from grounding_sdk.grounding import Grounding
from grounding_sdk.query import Query, check_threshold

LOWEST = 0.01  # score down to which detections are asked for
ENOUGH = 5  # right and wrong detections from which a threshold of its own is chosen
ROUNDS = 200  # of the bootstrap

Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Figures:
    """How good detections are.

    Attributes:
        precision: Share of the detections that are right; NaN if there are none.
        recall: Share of the objects that are found; NaN if there are none.
        f1: Harmonic mean of both; 0 if nothing is right.
        interval: Of F1, 95%, bootstrap over pictures; None if there are no objects.
    """

    precision: float
    recall: float
    f1: float
    interval: Interval | None = None


@dataclass(frozen=True)
class Choice:
    """The threshold of one phrase.

    Attributes:
        phrase: The phrase.
        label: What it counts as.
        threshold: What was chosen; None leaves it to the detector.
        basis: Whose examples decided: the "phrase"'s, its "label"'s, those of "all" labels; or
            none, so that the threshold was "kept".
        reason: The same in words.
        interval: Of the threshold, 95%, bootstrap over pictures; None where it was kept.
        objects: How many objects of the label are marked.
        right: How many of the phrase's detections are right, however low they score.
        wrong: How many are wrong.
        figures: Of all detections of the label, at the thresholds chosen.
    """

    phrase: str
    label: str
    threshold: float | None
    basis: Basis
    reason: str
    interval: Interval | None
    objects: int
    right: int
    wrong: int
    figures: Figures


@dataclass(frozen=True, eq=False)
class Tuning:
    """Thresholds that were chosen for a query, and what they are good for.

    Attributes:
        query: As it was asked.
        choices: One for each phrase to be found, in the order of the query.
        pictures: How many there were.
        after: Figures of all detections at the thresholds chosen. The pictures that chose them also
            judge them here, so that this is somewhat better than others will be.
        before: The same at the thresholds that the query had.
        f1_unseen: F1 on pictures that had no part in the choice: mean over the bootstrap, in which
            the pictures drawn choose and the others judge. NaN if that is not known.
        curves: Of each annotated label, what a threshold for all of its phrases gives.
    """

    query: Query
    choices: tuple[Choice, ...]
    pictures: int
    after: Figures
    before: Figures
    f1_unseen: float
    curves: dict[str, Curve] = field(repr=False)

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of each phrase; those that are left to the detector are not there."""
        return {c.phrase: c.threshold for c in self.choices if c.threshold is not None}

    @property
    def tuned(self) -> Query:
        """The query with the thresholds chosen."""
        return query_with(self.query, self.thresholds)

    def to_dict(self) -> dict[str, Any]:
        """Returns all but the curves as plain JSON types; what is not known as None."""
        told = {name: getattr(self, name) for name in ("pictures", "f1_unseen")}
        told |= {name: asdict(getattr(self, name)) for name in ("before", "after")}
        told["phrases"] = [asdict(choice) for choice in self.choices]
        known: dict[str, Any] = _known(told)
        return known


def query_with(query: Query, thresholds: Mapping[str, float] | float) -> Query:
    """Returns the query with other thresholds.

    Args:
        query: What is asked.
        thresholds: Of phrases by their texts, the others keep theirs; or one for all. They go to
            phrases that are to be found only.

    Raises:
        QueryError: If a threshold is not in [0, 1], or there is no such phrase.

    >>> query = query_with(Query.of("dog . cat"), {"cat": 0.4})
    >>> [phrase.threshold for phrase in query]
    [None, 0.4]
    """
    texts = [phrase.text for phrase in query if phrase.role == "find"]
    given = thresholds if isinstance(thresholds, Mapping) else dict.fromkeys(texts, thresholds)
    for text in given:
        if text not in texts:
            raise QueryError(f"{text!r} is no phrase to be found, expected one of {texts}")
    return replace(
        query,
        phrases=tuple(
            replace(p, threshold=check_threshold(given[p.text]))
            if p.role == "find" and p.text in given
            else p
            for p in query
        ),
    )


def tune(
    ground: Callable[[Path, Query], Grounding],
    rows: Iterable[Annotated],
    query: Query,
    images: str | Path | None = None,
    *,
    names: Sequence[str] = (),
    default_threshold: float,
    precision: float | None = None,
    recall: float | None = None,
    by: By = "label",
    enough: int = ENOUGH,
    rounds: int = ROUNDS,
    progress: Callable[[], object] | None = None,
) -> Tuning:
    """Asks for everything down to the lowest scores once, and chooses thresholds.

    Args:
        ground: A `Grounder`, a `Pipeline`, or any function from a picture's path and a query to a
            `Grounding`. Masks are of no use here: leave out the segmenter.
        rows: The annotated pictures, in which every object of the query's labels is marked.
        query: What is asked, as the pipeline reads it, with nothing but names.
        images: The folder of the pictures; not needed where rows have their `source`.
        names: The labels that the annotations know; see `choose_thresholds` for these.
        default_threshold: Of phrases without one, as the detector or the user has it.
        precision: Wanted.
        recall: Wanted.
        by: Whose threshold it is.
        enough: Examples needed.
        rounds: Of the bootstrap.
        progress: Called after each picture.

    Raises:
        QueryError: If the query has expressions that choose among detections.
        ImageNotFoundError: If a picture is missing.
        ConfigError, AnnotationsError: As `choose_thresholds`.
    """
    kept = list(rows)
    asked = query_with(query, LOWEST)
    _check(asked, kept, precision, recall)
    found = []
    for path in _pictures(kept, images):
        result = ground(path, asked)
        if result.query.texts != asked.texts:
            raise QueryError(
                f"the query {asked} was read as {result.query}: give it as it is read, "
                f"Parse().read(query)"
            )
        found.append(result.detections)
        if progress is not None:
            progress()
    return choose_thresholds(
        found,
        kept,
        query,
        names,
        default_threshold=default_threshold,
        precision=precision,
        recall=recall,
        by=by,
        enough=enough,
        rounds=rounds,
    )


def choose_thresholds(
    found: Sequence[sv.Detections],
    rows: Sequence[Annotated],
    query: Query,
    names: Iterable[str] = (),
    *,
    default_threshold: float,
    precision: float | None = None,
    recall: float | None = None,
    by: By = "label",
    enough: int = ENOUGH,
    rounds: int = ROUNDS,
    lowest: float = LOWEST,
) -> Tuning:
    """Chooses thresholds for what was found.

    A threshold that serves F1 lies in the middle of those that serve it best. With `by="phrase"`,
    the phrases of a label are chosen together for the label's F1; a wanted precision is that of
    each phrase, and so the label's, too; a wanted recall can only be a label's.

    Args:
        found: For each picture, detections of the query's phrases, however low they score.
        rows: For each picture, its annotations.
        query: What was asked; the thresholds in it are those before.
        names: The labels that the annotations know, also those that never occur. An object that
            is in the picture and in no annotation counts as a false alarm when it is found, so a
            label that the annotations do not know is not judged. Those that occur unless given.
        default_threshold: Of phrases without one, as the detector or the user has it.
        precision: Chooses the lowest thresholds with at least this precision, not best F1.
        recall: Chooses the highest thresholds with at least this recall.
        by: Whether a label has one threshold, as in an ontology, or each phrase its own.
        enough: How many right and how many wrong detections a phrase needs for its own threshold,
            a label for its own; without, it gets that of its label, or that of all together.
        rounds: Of the bootstrap.
        lowest: The score down to which was asked.

    Raises:
        ConfigError: If both precision and recall are wanted, or one is not above 0 and up to 1.
        QueryError: If the query has expressions that choose among detections.
        AnnotationsError: If there is no picture, or no label of the query in the annotations.
    """
    _check(query, rows, precision, recall)
    matches = match_labels(found, rows, query, names)
    if not matches.objects:
        there = sorted({each.label for row in rows for each in row.objects} | set(names))
        raise AnnotationsError(
            f"none of the query's labels {query.wanted} is among those of the annotations: "
            f"{', '.join(there[:20]) or 'there are none'}"
        )
    chooser = Chooser(matches, query, by, precision, recall, enough, lowest)
    chosen, reached = chooser.choose()
    filled = query.with_threshold(check_threshold(default_threshold))
    before = np.array([phrase.threshold or 0.0 for phrase in filled])
    drawn = np.random.default_rng(0).multinomial(
        len(rows), np.full(len(rows), 1 / len(rows)), size=rounds
    )
    resampled = np.array([chooser.choose(w)[0] for w in drawn]).reshape(rounds, len(query))
    final = np.where(np.isnan(chosen), before, chosen)
    as_before = match_labels(found, rows, query, names, thresholds=before)
    after = match_labels(found, rows, query, names, thresholds=final)
    return Tuning(
        query=query,
        choices=tuple(
            Choice(
                phrase.text,
                phrase.label,
                phrase.threshold if np.isnan(chosen[k]) else float(chosen[k]),
                chooser.basis[k],
                chooser.reason(k, reached[k]),
                _interval(resampled[:, k]),
                int(matches.objects.get(phrase.label, np.zeros(1, int)).sum()),
                *chooser.examples[k],
                _figures(after, drawn, query, phrase.label),
            )
            for k, phrase in enumerate(query)
            if phrase.role == "find"
        ),
        pictures=len(rows),
        after=_figures(after, drawn, query),
        before=_figures(as_before, drawn, query),
        f1_unseen=_unseen(matches, drawn, np.where(np.isnan(resampled), final, resampled)),
        curves={label: chooser.labels[label].curve() for label in matches.objects},
    )


def _check(
    query: Query, rows: Sequence[Annotated], precision: float | None, recall: float | None
) -> None:
    if query.targets:
        raise QueryError(
            f"expected nothing but names, got {query.targets[0]}: what an expression chooses has "
            f"no threshold of its own"
        )
    if precision is not None and recall is not None:
        raise ConfigError("precision and recall cannot both be wanted: give one")
    for name, wanted in (("precision", precision), ("recall", recall)):
        if wanted is not None and not 0 < wanted <= 1:
            raise ConfigError(f"expected a wanted {name} above 0 and up to 1, got {wanted}")
    if not rows:
        raise AnnotationsError("expected annotated pictures, got none")


def _pictures(rows: Sequence[Annotated], images: str | Path | None) -> list[Path]:
    if images is not None:
        return find_pictures(images, [{"file_name": row.file_name} for row in rows])
    for row in rows:
        if row.source is None:
            raise ConfigError(f"where is {row.file_name}? Give the folder of the pictures")
    return [Path(str(row.source)) for row in rows]


def _figures(
    matches: LabelMatches, drawn: np.ndarray, query: Query, label: str | None = None
) -> Figures:
    """Figures of a label's matches, or of all, with the interval over drawn pictures (R, P)."""
    chosen = list(matches.objects) if label is None else [label]
    labels = np.array([phrase.label for phrase in query])[matches.phrase]
    mine, pictures = np.isin(labels, chosen), drawn.shape[1]
    found = np.bincount(matches.picture[mine], minlength=pictures)
    hits = np.bincount(matches.picture[mine & matches.right], minlength=pictures)
    none = np.zeros(pictures, int)
    there = sum((matches.objects.get(each, none) for each in chosen), none)
    f1 = 2 * (drawn @ hits) / np.maximum(drawn @ (found + there), 1)
    return Figures(
        precision=hits.sum() / found.sum() if found.sum() else np.nan,
        recall=hits.sum() / there.sum() if there.sum() else np.nan,
        f1=float(2 * hits.sum() / max(found.sum() + there.sum(), 1)),
        interval=_interval(f1) if there.sum() else None,
    )


def _unseen(matches: LabelMatches, drawn: np.ndarray, thresholds: np.ndarray) -> float:
    """Mean F1 on the pictures that were not drawn, (R, P), at thresholds chosen without, (R, K)."""
    there = sum(matches.objects.values(), np.zeros(1, int))
    scores = []
    for weight, limits in zip(drawn, thresholds, strict=True):
        left = weight == 0
        kept = left[matches.picture] & (matches.score >= limits.astype(np.float32)[matches.phrase])
        total = kept.sum() + there[left].sum()
        if total:
            scores.append(2 * (kept & matches.right).sum() / total)
    return float(np.mean(scores)) if scores else np.nan


def _interval(values: np.ndarray) -> Interval | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _known(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _known(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_known(each) for each in value]
    return None if isinstance(value, float) and np.isnan(value) else value
