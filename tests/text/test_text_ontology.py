"""Ontologies: what they mean, and where they are wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from grounding_sdk import FakeDetector, Grounder, Phrase, Query, QueryError
from grounding_sdk.query import LabelRule
from grounding_sdk.text.ontology import read_ontology

SITE = """\
# What to look for on a building site
labels:
  person: [person, pedestrian]
  helmet: {phrases: [helmet, hard hat], exclude: [cap], threshold: 0.35, nms: 0.5, max_count: 3}
  dog:
  crane: tower crane
  cup: {}
exclude: poster
threshold: 0.2
templates: ["a photo of a {}"]
"""
AS_DICT = {
    "labels": {
        "person": ["person", "pedestrian"],
        "helmet": {
            "phrases": ["helmet", "hard hat"],
            "exclude": ["cap"],
            "threshold": 0.35,
            "nms": 0.5,
            "max_count": 3,
        },
        "dog": None,
        "crane": "tower crane",
        "cup": {},
    },
    "exclude": "poster",
    "threshold": 0.2,
    "templates": ["a photo of a {}"],
}
MEANT = Query(
    (
        Phrase("person", "person", 0.2),
        Phrase("pedestrian", "person", 0.2),
        Phrase("helmet", "helmet", 0.35),
        Phrase("hard hat", "helmet", 0.35),
        Phrase("dog", "dog", 0.2),
        Phrase("tower crane", "crane", 0.2),
        Phrase("cup", "cup", 0.2),
        Phrase("cap", "helmet", role="exclude"),
        Phrase("poster", role="exclude"),
    ),
    rules=(LabelRule("helmet", nms=0.5, max_count=3),),
    templates=("a photo of a {}",),
)


def test_an_ontology_means_the_same_however_it_is_written(tmp_path):
    (tmp_path / "site.yml").write_text(SITE)
    (tmp_path / "site.json").write_text(json.dumps(AS_DICT, indent="\t"))
    assert read_ontology(SITE) == MEANT
    assert read_ontology(AS_DICT) == MEANT
    assert Query.of(AS_DICT) == MEANT
    assert read_ontology(tmp_path / "site.yml") == Query.of(tmp_path / "site.yml") == MEANT
    assert Query.load(str(tmp_path / "site.json")) == Query.of(tmp_path / "site.json") == MEANT


def test_class_ids_follow_the_file():
    assert MEANT.labels == ("person", "helmet", "dog", "crane", "cup")


@pytest.mark.parametrize(
    "yaml, query",
    [
        ("labels: [person, dog]", Query.of(["person", "dog"])),
        ("labels: {helmet: [hard hat]}", Query.of({"hard hat": "helmet"})),  # not by its own name
        ("labels: {helmet: {threshold: 1}}", Query((Phrase("helmet", threshold=1.0),))),
        ("labels: {'hard   hat': }", Query.of(["hard hat"])),
        ("labels: {dog: [dog, dog]}", Query.of(["dog"])),
        ("labels: {狗: 'a 🐕'}", Query.of({"a 🐕": "狗"})),
        ("labels: {'no': , '7': }", Query.of(["no", "7"])),
        ("labels: {dog: &d [hound]}", Query.of({"hound": "dog"})),  # a name is no reference
        # What one label excludes, another may be called.
        (
            "labels: {helmet: {exclude: [cap, cap]}, cap: }",
            Query((Phrase("helmet"), Phrase("cap"), Phrase("cap", "helmet", role="exclude"))),
        ),
    ],
)
def test_short_forms(yaml, query):
    assert read_ontology(yaml) == query


def test_lists_and_mappings_of_texts_are_no_ontologies():
    assert Query.of({"labels": "thing"}).texts == ("labels",)
    assert Query.of(["labels", "phrases"]).texts == ("labels", "phrases")


@pytest.mark.parametrize(
    "yaml, place, message",
    [
        (
            "labels:\n  a: [b]\n  c: [b]",
            "3:7",
            "labels.c[0]: 'b' is a phrase of 'a' already (line 2, column 7)",
        ),
        (
            "labels:\n  a:\n  b: [a]",
            "3:7",
            "labels.b[0]: 'a' is a phrase of 'a' already (line 2, column 3)",
        ),
        ("labels:\n  a:\n  b:\n  a:", "4:3", "labels.a: given twice (line 2, column 3)"),
        ("labels:\n  x  y:\n  x y:", "3:3", "labels.x y: the label 'x y' is given twice"),
        ("labels: [a, b, a]", "1:16", "labels[2]: the label 'a' is given twice"),
        (
            "labels:\n  a: {treshold: 1}",
            "2:7",
            "labels.a.treshold: unknown key: did you mean 'threshold'?",
        ),
        (
            "labels:\n  a: {color: red}",
            "",
            "unknown key: expected phrases, exclude, threshold, nms or max_count",
        ),
        ("lables: {a: }", "1:1", "lables: unknown key: did you mean 'labels'?"),
        ("threshold: 0.5", "", "expected the key 'labels'"),
        ("labels:", "1:1", "labels: expected a mapping, got nothing"),
        ("labels: dog", "1:1", 'labels: expected a mapping, got "dog"'),
        ("labels: {}", "", "the query is empty"),
        ("labels: {a: []}", "1:10", "labels.a: the list is empty"),
        ("labels: {a: {phrases: []}}", "1:14", "labels.a.phrases: the list is empty"),
        ("labels: {a: {exclude: []}}", "1:14", "labels.a.exclude: the list is empty"),
        ("labels: {a: {phrases: }}", "", "labels.a.phrases: expected a list, got nothing"),
        ("labels: {a: 3}", "", "labels.a: expected phrases or a mapping, got 3"),
        ("labels: {a: [b, 3]}", "1:17", "labels.a[1]: expected a text, got 3: put it in quotes"),
        (
            "labels: {a: [yes]}",
            "",
            "labels.a[0]: expected a text, got true: put it in quotes (YAML takes yes,",
        ),
        ("labels: {no: }", "1:10", "labels: expected a text, got false: put it in quotes"),
        (
            "labels: {2020-01-01: }",
            "",
            "'2020-01-01' is read as YAML's 'timestamp': put it in quotes",
        ),
        ("labels: {a: ['...']}", "1:14", "labels.a[0]: expected a phrase with at least one letter"),
        ("labels: {a: {threshold: high}}", "", 'labels.a.threshold: expected a number, got "high"'),
        ("labels: {a: {threshold: '0.5'}}", "", 'labels.a.threshold: expected a number, got "0.5"'),
        (
            "labels: {a: {threshold: 1.5}}",
            "",
            "labels.a.threshold: expected a threshold between 0 and 1, got 1.5",
        ),
        ("labels: {a: {threshold: .nan}}", "", "expected a threshold between 0 and 1, got nan"),
        ("labels: {a: }\nthreshold: -1", "2:1", "threshold: expected a threshold between 0 and 1"),
        ("labels: {a: {nms: 0}}", "", "labels.a.nms: expected nms of 'a' above 0"),
        (
            "labels: {a: {max_count: 0}}",
            "",
            "labels.a.max_count: expected max_count of 'a' as a whole number from 1",
        ),
        (
            "labels: {a: {max_count: 1.5}}",
            "",
            "labels.a.max_count: expected a whole number, got 1.5",
        ),
        (
            "labels: {a: {max_count: true}}",
            "",
            "labels.a.max_count: expected a whole number, got true",
        ),
        (
            "labels: {a: {exclude: a}}",
            "",
            "labels.a.exclude: 'a' is also a phrase of 'a': leave one out",
        ),
        ("labels: {a: }\nexclude: [b, a]", "2:14", "exclude[1]: 'a' is also a phrase of 'a'"),
        (
            "labels: {a: }\ntemplates: [photo]",
            "2:13",
            "templates[0]: expected a template with one '{}'",
        ),
        ("labels: {a: [b}", "1:15", "no YAML: "),
        ("labels: {[a]: b}", "1:10", "labels: expected a key, got a list or a mapping"),
        ("labels: {a: &b c, d: *b}", "1:22", "'*b' refers to another place"),
        ("labels: {a: !!python/object:os.system ls}", "", "put it in quotes"),
        (
            "labels: !!python/object:os.system {a: }",
            "",
            "the tag 'tag:yaml.org,2002:python/object:os.system'",
        ),
        ("labels: {a: }\n---\nlabels: {b: }", "", "expected one document, got several"),
        ("labels: {a: " + "[" * 200, "", "nested more than 100 deep"),
        ("labels: {a: \x00}", "", "no YAML: "),
        ("", "", "the document is empty"),
        ("- a", "", "expected a mapping, got a list"),
    ],
)
def test_a_mistake_is_placed_and_explained(yaml, place, message):
    with pytest.raises(QueryError) as raised:
        read_ontology(yaml)
    where = "line {}, column {}: ".format(*place.split(":")) if place else ""
    assert where + message in str(raised.value)


@pytest.mark.parametrize(
    "text, message",
    [
        (
            '{"labels":\n\t{"a": ["b"],\n\t "c": "b"}}',
            "o.json, line 3, column 3: labels.c: 'b' is a phrase of 'a'",
        ),
        ('{"labels": {"a": null,\n"a": null}}', "o.json, line 2, column 1: labels.a: given twice"),
        ('{"labels": {"a": null,}}', "o.json, line 1, column 23: no JSON: "),
        ("labels: {a: }", "o.json, line 1, column 1: no JSON: "),
        ('{"labels": {"a": {"threshold": NaN}}}', "got nan"),
        ('{"labels": {"a": {"threshold": ' + "9" * 400 + "}}}", "got inf"),
        ("[" * 100_000, "o.json: no JSON that can be read"),
        ("", "o.json, line 1, column 1: no JSON: "),
    ],
)
def test_mistakes_in_json_are_placed_too(text, message, tmp_path):
    (tmp_path / "o.json").write_text(text)
    with pytest.raises(QueryError) as raised:
        Query.load(tmp_path / "o.json")
    assert message in str(raised.value)


def test_json_is_read_as_json_and_not_as_yaml(tmp_path):
    # Pairs of escapes for one character, escaped quotes and brackets, exponents, tabs, "a":1.
    text = '{\t"labels":{"a":["\\ud83d\\udc15 x","q\\"],{"],"b":{"threshold":5e-1},"no":null}}'
    (tmp_path / "o.json").write_text(text)
    query = Query.load(tmp_path / "o.json")
    assert query.texts == ("🐕 x", 'q"],{', "b", "no")
    assert query.phrases[2].threshold == 0.5


def test_data_made_in_python_are_checked_alike():
    with pytest.raises(QueryError, match=r"^labels.a.threshold: expected a threshold between"):
        Query.of({"labels": {"a": {"threshold": 7}}})
    with pytest.raises(QueryError, match="expected texts as keys, got 3"):
        Query.of({"labels": {3: "a"}})
    round_and_round: dict = {}
    round_and_round["labels"] = {"a": {"phrases": [round_and_round]}}
    with pytest.raises(QueryError, match="nested more than 100 deep"):
        read_ontology(round_and_round)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"labels: {caf\xe9: }", "is not in UTF-8"),
        (b"\xff\xfel\x00", "is not in UTF-8"),
        (b"labels: [" + b"dog, " * 2_000_001 + b"]", "more than 10,000,000 characters"),
    ],
)
def test_files_that_cannot_be_read_are_named(content, message, tmp_path):
    (tmp_path / "o.yaml").write_bytes(content)
    with pytest.raises(QueryError, match=message):
        Query.load(tmp_path / "o.yaml")
    with pytest.raises(QueryError, match="cannot be read"):
        Query.load(tmp_path / "none.yaml")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "o.yaml").write_text(SITE, encoding="utf-8-sig")
    assert Query.load(tmp_path / "o.yaml") == MEANT


def test_a_vocabulary_of_lvis_size_is_read_at_once():
    yaml = "labels:\n" + "".join(f"  thing {n}: [thing {n}, object {n}]\n" for n in range(1203))
    query = read_ontology(yaml)
    assert len(query.labels) == 1203
    assert query.labels[1202] == "thing 1202"


def test_an_ontology_decides_what_comes_out():
    """Exact outcomes of a whole `Grounder`, on a detector that finds what a table says."""
    table = {
        "person": [((0, 0, 20, 60), 0.9)],
        "pedestrian": [((0, 0, 20, 58), 0.8)],  # the same one, by the other name
        "helmet": [
            ((0, 0, 10, 10), 0.6),
            ((30, 0, 40, 10), 0.5),
            ((60, 0, 70, 10), 0.36),
            ((70, 0, 80, 10), 0.3),
        ],
        "hard hat": [((30, 0, 40, 7), 0.4), ((30, 30, 40, 40), 0.9), ((50, 30, 60, 40), 0.45)],
        "cap": [((0, 0, 10, 9), 0.7)],
        "dog": [((60, 40, 70, 50), 0.25)],
        "poster": [((58, 38, 72, 52), 0.4)],
    }
    result = Grounder(FakeDetector(table), None)(np.zeros((60, 80, 3), np.uint8), MEANT)
    assert result.counts == {"person": 1, "helmet": 3, "dog": 0, "crane": 0, "cup": 0}
    found = result.detections
    assert list(zip(found["phrase"], found.xyxy.astype(int).tolist(), strict=True)) == [
        ("person", [0, 0, 20, 60]),
        ("hard hat", [30, 30, 40, 40]),
        ("helmet", [30, 0, 40, 10]),  # its "hard hat" has an IoU of 0.7, and 0.5 counts as one
        ("hard hat", [50, 30, 60, 40]),
        # No helmet that is a cap, nor a fourth, nor one below 0.35; no dog that is on a poster.
    ]
    assert found.class_id.tolist() == [0, 1, 1, 1]


def test_an_ontology_works_with_the_embedded_model():
    ground = Grounder("mini", None, threshold=0.15)
    labels = {"cat": {"phrases": ["cat", "kitten"], "max_count": 1}, "dog": {"exclude": "cat"}}
    result = ground("demos/images/cat.jpg", {"labels": labels})
    assert result.counts == {"cat": 1, "dog": 0}
