"""Queries as data and files: exactly there and back."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grounding_sdk import Phrase, Query, QueryError
from grounding_sdk.query import LabelRule
from grounding_sdk.target import ATTRIBUTES, KINDS, RELATIONS, Condition, Target
from grounding_sdk.text.query_file import _READERS

CUPS = Query(
    (
        Phrase("red cup", role="part", span=(4, 12)),
        Phrase("laptop", "computer", role="part"),
        Phrase("dog", threshold=0.3),
        Phrase("toy dog", "dog", role="exclude"),
        Phrase("poster", role="exclude"),
    ),
    source="two red cups left of the laptop",
    targets=(
        Target(
            "red cup",
            "cup",
            head="cup",
            count=2,
            conditions=(
                Condition("color", value="red", text="red"),
                Condition("left of", anchors=(Target("laptop", count=1),), negated=True),
                Condition("leftmost", rank=2),
            ),
            span=(0, 31),
        ),
    ),
    rules=(LabelRule("dog", nms=0.5), LabelRule("cup", max_count=3)),
    templates=("a photo of {}",),
)
AS_DATA = {
    "phrases": [
        {"text": "red cup", "span": [4, 12], "role": "part"},
        {"text": "laptop", "label": "computer", "role": "part"},
        {"text": "dog", "threshold": 0.3},
        {"text": "toy dog", "label": "dog", "role": "exclude"},
        {"text": "poster", "role": "exclude"},
    ],
    "source": "two red cups left of the laptop",
    "targets": [
        {
            "phrase": "red cup",
            "label": "cup",
            "head": "cup",
            "count": 2,
            "conditions": [
                {"kind": "color", "value": "red", "text": "red"},
                {
                    "kind": "left of",
                    "anchors": [{"phrase": "laptop", "count": 1}],
                    "negated": True,
                },
                {"kind": "leftmost", "rank": 2},
            ],
            "span": [0, 31],
        }
    ],
    "rules": [{"label": "dog", "nms": 0.5}, {"label": "cup", "max_count": 3}],
    "templates": ["a photo of {}"],
}


def test_the_data_say_what_is_no_default():
    assert CUPS.to_dict() == AS_DATA
    assert Query.from_dict(AS_DATA) == CUPS
    assert Query.of(AS_DATA) == CUPS


@pytest.mark.parametrize("kind", [Query, Phrase, LabelRule, Target, Condition])
def test_every_attribute_can_be_read(kind):
    assert set(_READERS[kind]) == {field.name for field in fields(kind)}


def test_plain_phrases_are_strings():
    assert Query.of(["dog", "cat"]).to_dict() == {"phrases": ["dog", "cat"]}
    assert Query.from_dict({"phrases": ["dog", {"text": "cat"}]}) == Query.of(["dog", "cat"])


def test_null_is_no_value():
    assert Query.from_dict({"phrases": [{"text": "dog", "threshold": None}], "source": None}) == (
        Query.of(["dog"])
    )


@pytest.mark.parametrize("name", ["q.yaml", "q.yml", "q.json", "deep/er/q.YAML"])
def test_files_keep_everything(name, tmp_path):
    path = CUPS.save(tmp_path / name)
    assert path == tmp_path / name
    assert Query.load(path) == Query.of(path) == CUPS
    text = path.read_text()
    assert (json.loads(text) if name.endswith("json") else yaml.safe_load(text)) == AS_DATA


def test_files_read_well(tmp_path):
    path = Query.of({"kahvikuppi ☕": "muki"}).save(tmp_path / "q.yaml")
    assert path.read_text(encoding="utf-8") == "phrases:\n- text: kahvikuppi ☕\n  label: muki\n"


@pytest.mark.parametrize(
    "source", ["a\x85b", "\x85", "a\r\nb\n", " \u2028 \ufeff ", "\x00\x7f\t", "x " * 300]
)
@pytest.mark.parametrize("name", ["q.yaml", "q.json"])
def test_files_keep_every_character(name, source, tmp_path):
    query = Query((Phrase("dog"),), source=source)
    assert Query.load(query.save(tmp_path / name)) == query


def test_other_files_are_refused_before_they_are_written(tmp_path):
    with pytest.raises(QueryError, match="json file for a query"):
        CUPS.save(tmp_path / "q.txt")
    with pytest.raises(QueryError, match="json file for a query"):
        Query.of(tmp_path / "q.txt")
    assert not list(tmp_path.iterdir())


def changed(path, value):
    """AS_DATA with another value at a path such as "targets.0.count"."""
    data = json.loads(json.dumps(AS_DATA))
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inner = data
    for step in way:
        inner = inner[step]
    inner[last] = value
    return data


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("phrase", [], "phrase: unknown key: did you mean 'phrases'?"),
        ("phrases", "dog", 'phrases: expected a list, got "dog"'),
        ("phrases.0", 3, r"phrases[0]: expected a mapping, got 3"),
        ("phrases.0.txt", "x", "phrases[0].txt: unknown key: did you mean 'text'?"),
        ("phrases.0.text", None, "phrases[0]: expected the key 'text'"),
        ("phrases.0.text", "...", "phrases[0]: expected a phrase with at least one letter"),
        ("phrases.0.role", "seek", "phrases[0]: expected a role out of"),
        ("phrases.0.threshold", 2, "phrases[0]: expected a threshold between 0 and 1, got 2"),
        ("phrases.0.span", [1], "phrases[0].span: expected a start and an end, got 1 numbers"),
        ("phrases.0.span", [1, "2"], 'phrases[0].span[1]: expected a whole number, got "2"'),
        ("targets.0.count", 0, "targets[0]: expected a count of 1 or more"),
        ("targets.0.phrase", "cat", "a target speaks of 'cat'"),
        (
            "targets.0.conditions.0.kind",
            "bluest",
            "targets[0].conditions[0]: no condition is called",
        ),
        (
            "targets.0.conditions.1.anchors",
            [],
            "targets[0].conditions[1]: the condition 'left of' needs",
        ),
        ("targets.0.conditions.1.negated", "no", 'negated: expected true or false, got "no"'),
        ("targets.0.conditions.2.rank", 1.5, "rank: expected a whole number, got 1.5"),
        ("rules.0.label", "cat", "a rule speaks of 'cat'"),
        ("rules.0.nms", 2, "rules[0]: expected nms of 'dog' above 0"),
        ("templates.0", "photo", "templates[0]: expected a template with one '{}'"),
        ("source", 3, "source: expected a text, got 3"),
    ],
)
def test_data_that_make_no_query_are_refused_with_their_place(path, value, message):
    with pytest.raises(QueryError) as raised:
        Query.from_dict(changed(path, value))
    assert message in str(raised.value)


def test_files_that_make_no_query_are_refused_with_their_line(tmp_path):
    path = tmp_path / "q.yaml"
    path.write_text("phrases:\n- dog\n- text: cat\n  treshold: 0.5\n")
    with pytest.raises(QueryError, match=r"q.yaml, line 4, column 3: phrases\[1\].treshold: unk"):
        Query.load(path)
    path.write_text("phrase: dog")
    with pytest.raises(QueryError, match=r"expected the key 'labels' .* or 'phrases'"):
        Query.load(path)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
texts = words.filter(lambda text: any(char.isalnum() for char in text))
scores = st.none() | st.floats(0, 1)
spans = st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99))


def phrases(role):
    return st.builds(
        Phrase, texts, texts | st.just(""), threshold=scores, span=spans, role=st.just(role)
    )


@st.composite
def queries(draw):
    """Any valid query: phrases of all roles, and targets nested among them."""
    found = draw(st.lists(phrases("find"), min_size=1, max_size=4, unique_by=lambda p: p.text))
    taken = {p.text for p in found}
    parts = draw(st.lists(phrases("part"), max_size=3, unique_by=lambda p: p.text))
    parts = [p for p in parts if p.text not in taken]
    asked = {p.text: p.label for p in (*found, *parts)}
    excluded = draw(st.lists(phrases("exclude"), max_size=3, unique_by=lambda p: (p.text, p.label)))
    excluded = [p for p in excluded if p.text not in asked]
    labels = st.sampled_from(sorted(set(asked.values())))
    plain = st.builds(
        Target,
        st.sampled_from(sorted(asked)),
        words,
        head=words,
        count=st.none() | st.integers(1, 9),
        text=words,
        span=spans,
        ignored=st.lists(words, max_size=2),
    )

    def with_conditions(anchors):
        relating = st.builds(
            Condition,
            st.sampled_from(RELATIONS),
            anchors=st.lists(anchors, min_size=1, max_size=2),
            negated=st.booleans(),
            text=words,
        )
        others = st.builds(
            Condition,
            st.sampled_from(sorted(KINDS - {*RELATIONS, *ATTRIBUTES})),
            rank=st.integers(1, 9),
            value=words,
        )
        return st.builds(
            Target,
            st.sampled_from(sorted(asked)),
            count=st.none() | st.integers(1, 9),
            conditions=st.lists(relating | others, max_size=3),
        )

    rules = draw(
        st.lists(
            st.builds(
                LabelRule,
                labels,
                nms=st.none() | st.floats(0, 1, exclude_min=True),
                max_count=st.none() | st.integers(1, 99),
            ),
            max_size=3,
            unique_by=lambda rule: rule.label,
        )
    )
    return Query(
        draw(st.permutations([*found, *parts, *excluded])),
        source=draw(st.none() | words),
        targets=draw(st.lists(st.recursive(plain, with_conditions, max_leaves=4), max_size=3)),
        rules=rules,
        templates=draw(st.lists(st.sampled_from(["a {}", "{}", "{} 狗"]), max_size=2)),
    )


@settings(max_examples=40, deadline=None)
@given(queries())
def test_any_query_comes_back_from_its_data_and_from_files(tmp_path_factory, query):
    data = query.to_dict()
    assert Query.from_dict(data) == query
    assert Query.from_dict(json.loads(json.dumps(data))) == query
    folder = tmp_path_factory.getbasetemp()
    assert Query.load(query.save(folder / "any.yaml")) == query
    assert Query.load(query.save(folder / "any.json")) == query
