from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grounding_sdk.formats import Annotated, Mask, Object
from grounding_sdk.labeling import HUMAN, Entry, LabelingError, Ledger
from grounding_sdk.labeling.decisions import (
    REJECTED,
    ObjectDecision,
    PictureDecision,
    apply_decisions,
    read_decisions,
)

DOG = Object("dog", (1, 0, 5.5, 4), Mask(np.ones((4, 4), bool), 1, 0), 0.4, 0.9, "a dog")
CAT = Object("cat", (2, 2, 6, 6), None, 0.8, None, "cat")
FOX = Object("fox", (0, 0, 3, 3), None, 0.1, None, "fox")


def job(folder, *objects, item="a.jpg", fingerprint="f1"):
    row = Annotated(item, (8, 9), objects, source="/pictures/a.jpg")
    entry = Entry(item, "sha", fingerprint, "done", row, stamp="1-2", seconds=0.5)
    ledger = Ledger.open(folder)
    with ledger.locked():
        ledger.append(entry)
    return ledger


def on(each, decision=None, to=None):
    return ObjectDecision(each.label, each.box, each.score, decision, to)


def picture(*objects, decision=None, item="a.jpg"):
    return PictureDecision(item, decision, objects)


def test_accepted_stay_rejected_go_and_relabelled_change(tmp_path):
    ledger = job(tmp_path, DOG, CAT, FOX)
    decided = picture(on(DOG, "relabel", "wolf"), on(CAT, "accept"), on(FOX, "reject"))
    assert apply_decisions([decided], ledger).changed == ("a.jpg",)

    entry = Ledger.open(tmp_path).get("a.jpg")
    assert (entry.fingerprint, entry.sha256, entry.stamp) == (HUMAN, "sha", "1-2")
    assert entry.row.objects == (Object("wolf", DOG.box, DOG.mask, None, 0.9), CAT)
    assert entry.row.source == "/pictures/a.jpg"
    assert ledger.objects() == {"cat": 1, "wolf": 1}


def test_what_is_undecided_stays_as_it_is(tmp_path):
    ledger = job(tmp_path, DOG, CAT)
    apply_decisions([picture(on(DOG), on(CAT, "reject"))], ledger)
    assert ledger.get("a.jpg").row.objects == (DOG,)

    undecided = apply_decisions([picture(on(DOG))], ledger)
    assert (undecided.changed, undecided.unchanged) == ((), ("a.jpg",))


def test_a_whole_picture_is_accepted_or_left_out(tmp_path):
    ledger = job(tmp_path, DOG, CAT)
    apply_decisions([picture(on(DOG), on(CAT, "reject"), decision="accept")], ledger)
    entry = ledger.get("a.jpg")
    assert (entry.fingerprint, entry.row.objects) == (HUMAN, (DOG,))

    ledger = job(tmp_path, DOG, item="b.jpg")
    apply_decisions([picture(on(DOG), decision="reject", item="b.jpg")], ledger)
    entry = ledger.get("b.jpg")
    assert (entry.status, entry.error, entry.fingerprint) == ("failed", REJECTED, HUMAN)
    assert [row.file_name for row in ledger.rows()] == ["a.jpg"]


def test_all_objects_rejected_is_a_picture_of_nothing(tmp_path):
    ledger = job(tmp_path, DOG)
    apply_decisions([picture(on(DOG, "reject"))], ledger)
    assert ledger.get("a.jpg").row.objects == ()


def test_a_later_file_of_the_same_report_goes_on_from_an_earlier_one(tmp_path):
    ledger = job(tmp_path, DOG, CAT, FOX)
    apply_decisions([picture(on(DOG, "relabel", "wolf"), on(CAT), on(FOX, "reject"))], ledger)
    later = picture(on(DOG, "relabel", "wolf"), on(CAT, "relabel", "lynx"), on(FOX, "reject"))
    assert apply_decisions([later], ledger).changed == ("a.jpg",)
    assert [each.label for each in ledger.get("a.jpg").row.objects] == ["wolf", "lynx"]


decisions = st.sampled_from(
    [(None, None), ("accept", None), ("reject", None), ("relabel", "dog"), ("relabel", "wolf")]
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([DOG, CAT, FOX]), decisions), max_size=5),
    st.sampled_from([None, "accept", "reject"]),
)
def test_applied_twice_is_applied_once(tmp_path_factory, shown, whole):
    ledger = job(tmp_path_factory.mktemp("job"), *(each for each, _ in shown))
    decided = picture(*(on(each, *verdict) for each, verdict in shown), decision=whole)
    assert not apply_decisions([decided], ledger).refused
    once = ledger.get("a.jpg")
    again = apply_decisions([decided], ledger)
    assert (again.changed, again.unchanged, again.refused) == ((), ("a.jpg",), {})
    assert ledger.get("a.jpg") == once
    if whole != "reject":
        left = [each for each, (verdict, _) in shown if verdict != "reject"]
        assert [each.box for each in once.row.objects] == [each.box for each in left]


@pytest.mark.parametrize(
    "decided, reason",
    [
        (picture(on(DOG), item="b.jpg"), "no such item"),
        (picture(on(DOG, "accept"), item="bad.jpg"), "it failed: it is empty"),
        (picture(on(DOG, "accept"), decision="reject", item="bad.jpg"), "it failed"),
        (picture(on(FOX, "reject"), on(CAT)), r"object 'fox' at 0, 0, 3, 3 is not there"),
        (picture(on(DOG, "reject")), "it has other objects"),
        (picture(on(DOG, "reject"), decision="reject"), "it has other objects"),
    ],
)
def test_what_does_not_fit_is_named_and_its_picture_left_as_it_is(tmp_path, decided, reason):
    ledger = job(tmp_path, DOG, CAT)
    job(tmp_path, FOX, item="good.jpg")
    with ledger.locked():
        ledger.append(Entry("bad.jpg", "", "f1", "failed", None, "it is empty"))
    before = list(ledger)
    good = picture(on(FOX, "reject"), item="good.jpg")
    done = apply_decisions([decided, good], ledger)
    assert done.changed == ("good.jpg",)
    assert list(done.refused) == [decided.item]
    assert re.search(reason, done.refused[decided.item])
    others = [entry for entry in before if entry.item != "good.jpg"]
    assert [ledger.get(entry.item) for entry in others] == others


def test_a_persons_picture_whose_object_is_gone_is_refused(tmp_path):
    ledger = job(tmp_path, CAT, fingerprint=HUMAN)
    done = apply_decisions([picture(on(DOG, "accept"), on(CAT, "reject"))], ledger)
    assert "object 'dog' at 1, 0, 5.5, 4 is not there any more" in done.refused["a.jpg"]
    assert ledger.get("a.jpg").row.objects == (CAT,)


def written(folder, items, **changes):
    path = folder / "decisions.json"
    data = {"format": "grounding_sdk decisions", "version": 1, "items": items} | changes
    path.write_text(json.dumps(data), "utf-8")
    return path


def test_a_file_is_read(tmp_path):
    shown = {"label": "dög", "box": [1, 0, 5.5, 4], "score": 0.4}
    objects = [shown | {"decision": "relabel", "to": " wolf "}, shown | {"score": None}]
    path = written(tmp_path, [{"item": "a.jpg", "decision": "accept", "objects": objects}])
    box = (1, 0, 5.5, 4)
    assert read_decisions(path) == (
        PictureDecision(
            "a.jpg",
            "accept",
            (ObjectDecision("dög", box, 0.4, "relabel", "wolf"), ObjectDecision("dög", box)),
        ),
    )


GOOD = {"label": "dog", "box": [0, 0, 1, 1], "score": 0.5}


@pytest.mark.parametrize(
    "item, message",
    [
        (3, r"item 0: expected a JSON object, got 3"),
        ({"objects": []}, r"item 0: expected the name"),
        ({"item": "a.jpg"}, r"\('a.jpg'\): expected a list of \"objects\""),
        ({"item": "a.jpg", "decision": "yes", "objects": []}, r"'accept', 'reject', got 'yes'"),
        ({"item": "a.jpg", "decision": [], "objects": []}, r"got \[\]"),
        ({"item": "a.jpg", "objects": [GOOD, GOOD | {"box": [0, 1]}]}, r"'a.jpg'.*object 1: exp"),
        ({"item": "a.jpg", "objects": [GOOD | {"box": [0, 1, 2, float("nan")]}]}, r"4 numbers"),
        ({"item": "a.jpg", "objects": [GOOD | {"score": "1"}]}, r"number or null"),
        ({"item": "a.jpg", "objects": [GOOD | {"label": None}]}, r"a text as \"label\""),
        ({"item": "a.jpg", "objects": [GOOD | {"decision": "relabel"}]}, r"as \"to\", got None"),
        ({"item": "a.jpg", "objects": [GOOD | {"decision": "relabel", "to": " "}]}, r"got ' '"),
    ],
)
def test_errors_name_the_item_and_the_object(tmp_path, item, message):
    with pytest.raises(LabelingError, match=message):
        read_decisions(written(tmp_path, [item]))


def test_other_files_and_repeated_items_are_refused(tmp_path):
    with pytest.raises(LabelingError, match="cannot read decisions from"):
        read_decisions(tmp_path / "none.json")
    with pytest.raises(LabelingError, match="review` downloads"):
        read_decisions(written(tmp_path, [], version=2))
    with pytest.raises(LabelingError, match="review` downloads"):
        read_decisions(written(tmp_path, {}))
    twice = {"item": "a.jpg", "objects": []}
    with pytest.raises(LabelingError, match=r"'a.jpg' 2 times"):
        read_decisions(written(tmp_path, [twice, twice]))
