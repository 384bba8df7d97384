from __future__ import annotations

import pytest

from grounding_sdk import Phrase, Query, QueryError
from grounding_sdk.query import LabelRule


@pytest.mark.parametrize(
    "asked, texts",
    [
        ("dog", ("dog",)),
        ("a dog . red car", ("a dog", "red car")),
        ("a dog. a red car.", ("a dog", "a red car")),  # as Grounding DINO's examples write it
        ("dog.cat", ("dog", "cat")),  # as X-AnyLabeling's users write it
        ("dog, cat; bird\nfish", ("dog", "cat", "bird", "fish")),
        ("u.s. flag . 2.5 mm screw", ("u.s. flag", "2.5 mm screw")),
        ("1,000 people", ("1,000 people",)),
        ("  red \t car  ", ("red car",)),
        (" . dog .. . ", ("dog",)),
        ("dog . dog . cat", ("dog", "cat")),
        ("狗 . собака", ("狗", "собака")),
        (["u.s. flag", "dog, small"], ("u.s. flag", "dog, small")),  # a list's items stay whole
        (("dog", Phrase("cat")), ("dog", "cat")),
        ((text for text in ["dog", "dog"]), ("dog",)),
        ({"person": "human", "pedestrian": "human"}, ("person", "pedestrian")),
        (Phrase("dog"), ("dog",)),
    ],
)
def test_every_form_of_question_becomes_phrases(asked, texts):
    assert Query.of(asked).texts == texts


def test_spans_index_the_prompt():
    prompt = " a dog,red  car . "
    query = Query.of(prompt)
    assert [prompt[slice(*p.span)] for p in query] == ["a dog", "red  car"]
    assert query.source == prompt


def test_several_phrases_share_a_label():
    query = Query.of({"person": "human", "dog": "dog", "pedestrian": "human"})
    assert query.labels == ("human", "dog")
    assert Query.of(query) is query


def test_a_phrases_own_threshold_comes_first():
    query = Query.of([Phrase("dog", threshold=0.7), "cat"]).with_threshold(0.2)
    assert [p.threshold for p in query] == [0.7, 0.2]
    assert query.with_threshold(None) is query


def test_prints_as_the_prompt_it_came_from():
    assert str(Query.of("dog.red car")) == "dog . red car"
    assert str(Query.of({"hard hat": "helmet"})) == "hard hat -> helmet"


@pytest.mark.parametrize(
    "asked, message",
    [
        ("", "the query is empty"),
        (" . , ", "the query is empty"),
        ([], "the query is empty"),
        (["dog", ""], "at least one letter or digit"),
        (["dog", None], "as a string, got NoneType"),
        ([["dog"]], "as a string, got list"),
        (None, "expected a prompt"),
        (3, "expected a prompt"),
        (b"dog", "expected a prompt"),
        ({"dog": ""}, "a label is empty"),
        ({"dog": 3}, "a label as a string, got int"),
        ("dog" * 1000, "characters"),
        ([Phrase("dog"), Phrase("dog", label="animal")], "asked twice"),
    ],
)
def test_what_makes_no_query_is_refused_with_the_reason(asked, message):
    with pytest.raises(QueryError, match=message):
        Query.of(asked)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5", True])
def test_a_threshold_is_a_number_from_0_to_1(threshold):
    with pytest.raises(QueryError, match="threshold between 0 and 1"):
        Phrase("dog", threshold=threshold)


@pytest.mark.parametrize(
    "rules, message",
    [
        ([LabelRule("cat")], "'cat', which is none of"),
        ([LabelRule("dog", nms=0.5), LabelRule("dog", max_count=1)], "two rules speak of 'dog'"),
    ],
)
def test_rules_speak_of_labels_that_there_are_once_each(rules, message):
    with pytest.raises(QueryError, match=message):
        Query((Phrase("dog"),), rules=rules)


@pytest.mark.parametrize("nms", [0, 1.5, "0.5", float("nan"), True])
def test_an_nms_is_a_number_above_0_up_to_1(nms):
    with pytest.raises(QueryError, match="expected nms of 'dog' above 0 and up to 1"):
        LabelRule("dog", nms=nms)


@pytest.mark.parametrize("count", [0, -1, 1.0, "3", True])
def test_a_max_count_is_a_whole_number_from_1(count):
    with pytest.raises(QueryError, match="max_count of 'dog' as a whole number"):
        LabelRule("dog", max_count=count)


def test_a_default_threshold_is_not_for_what_is_excluded():
    query = Query((Phrase("dog"), Phrase("toy dog", role="exclude"))).with_threshold(0.2)
    assert [p.threshold for p in query] == [0.2, None]
