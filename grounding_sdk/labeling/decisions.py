"""What a person decided about a job's pictures: read from the report's file, put into the ledger.

The file has the objects of each picture that was decided on, as the report showed them:

    {"format": "grounding_sdk decisions", "version": 1, "job": "job", "items": [
      {"item": "a/1.jpg", "decision": null, "objects": [
        {"label": "dog", "box": [1, 0, 30, 20], "score": 0.4, "decision": "relabel", "to": "wolf"},
        {"label": "dog", "box": [50, 2, 90, 40], "score": 0.9, "decision": null}]}]}

Objects are known by label, box and score, so that a file can be applied twice, and a later one of
the same report after an earlier one; where they do not fit what the ledger has, the picture is left
as it is and named.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from grounding_sdk.formats import Object
from grounding_sdk.formats.annotated import Box
from grounding_sdk.labeling.errors import LabelingError
from grounding_sdk.labeling.ledger import HUMAN, Entry, Ledger

FORMAT = "grounding_sdk decisions"
REJECTED = "rejected in review"  # the error of a picture that is to be left out

PictureVerdict: TypeAlias = Literal["accept", "reject"]
ObjectVerdict: TypeAlias = Literal["accept", "reject", "relabel"]


@dataclass(frozen=True)
class ObjectDecision:
    """An object as it was shown, and what becomes of it.

    Attributes:
        label: Its label when it was shown.
        box: x1, y1, x2, y2 in pixels.
        score: Its score, if it has one.
        decision: None leaves it as it is.
        to: The new label of one that is relabelled.
    """

    label: str
    box: Box
    score: float | None = None
    decision: ObjectVerdict | None = None
    to: str | None = None

    @property
    def shown(self) -> tuple[Any, ...]:
        """What it is known by."""
        return self.label, tuple(self.box), self.score

    @property
    def outcome(self) -> ObjectVerdict | None:
        """The decision; one that is given the label it has is accepted."""
        return "accept" if self.decision == "relabel" and self.to == self.label else self.decision

    def __str__(self) -> str:
        return f"{self.label!r} at {', '.join(f'{value:g}' for value in self.box)}"


@dataclass(frozen=True)
class PictureDecision:
    """A picture and its objects.

    Attributes:
        item: Its name in the ledger.
        decision: "accept" makes the objects a person's own, where nothing else is decided of them.
            "reject" leaves the whole picture out of the dataset. None decides by object alone.
        objects: All that were shown.
    """

    item: str
    decision: PictureVerdict | None
    objects: tuple[ObjectDecision, ...]


@dataclass(frozen=True)
class Applied:
    """What came of decisions.

    Attributes:
        changed: Items that have a new entry.
        unchanged: Items that had it already.
        refused: Items left as they are, and why.
    """

    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    refused: dict[str, str]


def read_decisions(path: str | Path) -> tuple[PictureDecision, ...]:
    """Reads what the report's "Download decisions" saved.

    Raises:
        LabelingError: If it is not such a file; names the item and the object that is wrong.
    """
    try:
        data = json.loads(Path(path).read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise LabelingError(f"cannot read decisions from {path}: {error}") from error
    known = isinstance(data, dict) and (data.get("format"), data.get("version")) == (FORMAT, 1)
    if not known or not isinstance(data.get("items"), list):
        raise LabelingError(
            f"expected the decisions that a report of `grounding-sdk review` downloads in {path}: "
            f'a JSON object with "format": "{FORMAT}", "version": 1 and a list of "items"'
        )
    decisions = tuple(_picture(each, f"{path}: item {i}") for i, each in enumerate(data["items"]))
    for item, times in Counter(each.item for each in decisions).items():
        if times > 1:
            raise LabelingError(f"{path} has {item!r} {times} times, expected each item once")
    return decisions


def apply_decisions(decisions: Iterable[PictureDecision], ledger: Ledger) -> Applied:
    """Writes decisions into a ledger, as entries of a person.

    Accepted objects stay, with their scores; rejected ones go; relabelled ones keep their box and
    mask, and lose score and phrase, which were those of another label. A picture that is rejected
    has failed from then on, and is in no export. All entries are written, or none.

    Raises:
        JobBusyError: If another process is at work on the job.
        LabelingError: If the ledger cannot be written.
    """
    changed: list[Entry] = []
    unchanged: list[str] = []
    refused: dict[str, str] = {}
    with ledger.locked():
        for each in decisions:
            present = ledger.get(each.item)
            try:
                entry = _decided(each, present)
            except _RefusedError as reason:
                refused[each.item] = str(reason)
                continue
            if entry == present:
                unchanged.append(each.item)
            else:
                changed.append(entry)
        if changed:
            ledger.append(changed)
    return Applied(tuple(entry.item for entry in changed), tuple(unchanged), refused)


class _RefusedError(Exception):
    """Why a decision cannot be applied."""


def _decided(decision: PictureDecision, present: Entry | None) -> Entry:
    """Returns the entry that a decision makes of the present one; the same where it changes none.

    Raises:
        _RefusedError: If it does not fit.
    """
    if present is None:
        raise _RefusedError("the ledger has no such item")
    by_person = present.fingerprint == HUMAN
    if present.row is None:
        if by_person and decision.decision == "reject" and present.error == REJECTED:
            return present
        raise _RefusedError(f"it has no objects, as it failed: {present.error}")
    shown = Counter(each.shown for each in decision.objects)
    if not by_person and shown != Counter(map(_known_by, present.row.objects)):
        raise _RefusedError(_difference(decision, present.row.objects))
    if decision.decision == "reject":
        return replace(present, fingerprint=HUMAN, status="failed", row=None, error=REJECTED)
    if decision.decision is None and not any(each.decision for each in decision.objects):
        return present
    row = replace(present.row, objects=_kept(decision, present.row.objects, by_person))
    return replace(present, fingerprint=HUMAN, row=row)


def _kept(
    decision: PictureDecision, present: tuple[Object, ...], by_person: bool
) -> tuple[Object, ...]:
    """Returns the objects that are left, in their order.

    What a person gave may be as shown, or already as decided. Of objects that are alike, those that
    stay are told first, so that rejecting one of two leaves one however often it is applied.
    """
    waiting: dict[Any, list[int]] = {}
    as_shown = [one.shown for one in decision.objects] == list(map(_known_by, present))
    for place, each in enumerate(present):
        waiting.setdefault(place if as_shown else _known_by(each), []).append(place)
    after: dict[int, Object | None] = {}
    order = {"accept": 0, None: 1, "relabel": 2, "reject": 3}
    for place, one in sorted(
        enumerate(decision.objects), key=lambda numbered: order[numbered[1].outcome]
    ):
        index = _take(waiting, place if as_shown else one.shown)
        if one.outcome == "reject":
            if index is not None:
                after[index] = None
            continue
        if one.outcome == "relabel" and one.to is not None:
            if index is not None:
                after[index] = replace(present[index], label=one.to, score=None, phrase=None)
            elif by_person:
                index = _take(waiting, (one.to, tuple(one.box), None))
        if index is None and (one.decision or decision.decision):
            raise _RefusedError(
                f"object {one} is not there any more: it was changed after the report was made"
            )
    left = (after.get(place, each) for place, each in enumerate(present))
    return tuple(each for each in left if each is not None)


def _take(waiting: dict[Any, list[int]], key: Any) -> int | None:
    found = waiting.get(key)
    return found.pop(0) if found else None


def _known_by(each: Object) -> tuple[Any, ...]:
    return each.label, tuple(each.box), each.score


def _difference(decision: PictureDecision, present: tuple[Object, ...]) -> str:
    there = Counter(map(_known_by, present))
    gone = next((each for each in decision.objects if not there[each.shown]), None)
    what = f"object {gone} is not there" if gone else "it has other objects"
    return f"{what}: the picture was labelled anew after the report was made"


def _picture(data: Any, place: str) -> PictureDecision:
    fields = _fields(data, place)
    item = fields.get("item")
    if not isinstance(item, str) or not item:
        raise LabelingError(f'{place}: expected the name of a picture as "item", got {item!r}')
    place = f"{place} ({item!r})"
    decision = _verdict(fields, place, get_args(PictureVerdict))
    objects = fields.get("objects")
    if not isinstance(objects, list):
        raise LabelingError(f'{place}: expected a list of "objects", got {objects!r:.80}')
    found = tuple(_object(each, f"{place}, object {i}") for i, each in enumerate(objects))
    return PictureDecision(item, decision, found)


def _object(data: Any, place: str) -> ObjectDecision:
    fields = _fields(data, place)
    label, box, score = fields.get("label"), fields.get("box"), fields.get("score")
    if not isinstance(label, str):
        raise LabelingError(f'{place}: expected a text as "label", got {label!r:.80}')
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise LabelingError(f'{place}: expected 4 numbers x1, y1, x2, y2 as "box", got {box!r:.80}')
    if score is not None and not _is_number(score):
        raise LabelingError(f'{place}: expected a number or null as "score", got {score!r:.80}')
    decision, to = _verdict(fields, place, get_args(ObjectVerdict)), fields.get("to")
    if decision == "relabel" and not (isinstance(to, str) and to.strip()):
        raise LabelingError(f'{place}: expected the new label as "to", got {to!r:.80}')
    x1, y1, x2, y2 = box
    new = str(to).strip() if decision == "relabel" else None
    return ObjectDecision(label, (x1, y1, x2, y2), score, decision, new)


def _fields(data: Any, place: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise LabelingError(f"{place}: expected a JSON object, got {data!r:.80}")
    return data


def _verdict(fields: dict[str, Any], place: str, allowed: tuple[str, ...]) -> Any:
    decision = fields.get("decision")
    if decision is not None and decision not in allowed:
        raise LabelingError(
            f'{place}: expected "decision" to be null or one of {", ".join(map(repr, allowed))}, '
            f"got {decision!r:.80}"
        )
    return decision


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
