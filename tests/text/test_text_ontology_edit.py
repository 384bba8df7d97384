from __future__ import annotations

import json

import pytest
import yaml

from grounding_sdk import Query, QueryError
from grounding_sdk.text.ontology import read_ontology
from grounding_sdk.text.ontology_edit import with_label_thresholds

CASES = {
    "options in braces": (
        "labels:\n  helmet: {phrases: [helmet, hard hat], nms: 0.5}  # on heads\n",
        "labels:\n  helmet: {threshold: 0.35, phrases: [helmet, hard hat], nms: 0.5}  # on heads\n",
    ),
    "a threshold in braces": (
        "labels: {helmet: {threshold: 0.2, exclude: cap}}",
        "labels: {helmet: {threshold: 0.35, exclude: cap}}",
    ),
    "a threshold on a line": (
        "labels:\n  helmet:\n    phrases: hard hat\n    threshold: .2   # guessed\n"
        "threshold: 0.1\n",
        "labels:\n  helmet:\n    phrases: hard hat\n    threshold: 0.35   # guessed\n"
        "threshold: 0.1\n",
    ),
    "options on lines": (
        "# sites\nlabels:\n    helmet:\n        # not caps\n"
        "        exclude:\n        - cap\n\n    dog:\n",
        "# sites\nlabels:\n    helmet:\n        # not caps\n        threshold: 0.35\n"
        "        exclude:\n        - cap\n\n    dog:\n",
    ),
    "nothing said": (
        "labels:\n  helmet:\n  dog:\n",
        "labels:\n  helmet: {threshold: 0.35}\n  dog:\n",
    ),
    "null said": ("labels:\n  helmet: ~\n", "labels:\n  helmet: {threshold: 0.35}\n"),
    "empty braces": ("labels: {helmet: {}}", "labels: {helmet: {threshold: 0.35}}"),
    "one phrase": (
        "labels:\n  helmet: hard hat # yellow\n",
        "labels:\n  helmet: {threshold: 0.35, phrases: hard hat} # yellow\n",
    ),
    "a quoted phrase": (
        "labels:\n  helmet: 'hard hat: new'\n",
        "labels:\n  helmet: {threshold: 0.35, phrases: 'hard hat: new'}\n",
    ),
    "a phrase with a comma": (
        "labels:\n  helmet: hat, hard\n",
        'labels:\n  helmet: {threshold: 0.35, phrases: "hat, hard"}\n',
    ),
    "a list of phrases": (
        "labels:\n  helmet: [helmet,\n    hard hat]\n  dog: dog\n",
        "labels:\n  helmet: {threshold: 0.35, phrases: [helmet,\n    hard hat]}\n  dog: dog\n",
    ),
    "phrases on lines": (
        "labels:\n  helmet:\n    - helmet  # any\n    - hard hat\n  dog:\n",
        "labels:\n  helmet:\n    threshold: 0.35\n    phrases:\n    - helmet  # any\n"
        "    - hard hat\n  dog:\n",
    ),
    "labels in brackets": (
        "labels: [helmet, dog]\n",
        "labels: {helmet: {threshold: 0.35}, dog: }\n",
    ),
    "labels on lines": (
        "labels:\n  - helmet  # on heads\n  - dog\n",
        "labels:\n    helmet: {threshold: 0.35}  # on heads\n    dog:\n",
    ),
}


@pytest.mark.parametrize("before, after", CASES.values(), ids=CASES.keys())
def test_a_threshold_is_written_and_all_else_is_left(before, after):
    assert with_label_thresholds(before, {"helmet": 0.35}) == after


@pytest.mark.parametrize(
    "before",
    [
        *(before for before, _ in CASES.values()),
        "labels:\n  helmet:\n  - helmet\n  - hard hat\n",  # not deeper than its key
        "labels:\n  ? helmet\n  : hard hat\n",
        "labels:\n  helmet: |\n    hard hat\n  dog:\n",
        "labels: {helmet, dog}\n",
        "labels:\n  'hard   hat': {exclude: [cap]}\n  helmet: >-\n    hard\n    hat, old\n"
        "threshold: 0.2\n",
        "labels:\n- helmet\n- dog\n",
        "labels:\r\n  helmet:\r\n    exclude: [cap]\r\n  dog:\r\n",
        "labels: {helmet: hard hat, dog: }\nexclude: [poster]\ntemplates: ['a {}']\n",
    ],
)
def test_the_rest_of_what_is_asked_stays(before):
    query = read_ontology(before)
    after = read_ontology(with_label_thresholds(before, {"helmet": 0.35}))
    assert [p.threshold for p in after if p.label == "helmet" and p.role == "find"] == [
        0.35 for p in query if p.label == "helmet" and p.role == "find"
    ]
    others = lambda asked: [p for p in asked if p.label != "helmet" or p.role != "find"]  # noqa: E731
    assert others(after) == others(query)
    assert after.texts == query.texts
    assert (after.rules, after.templates, after.labels) == (
        query.rules,
        query.templates,
        query.labels,
    )


def test_json_stays_json():
    before = json.dumps({"labels": {"hélmet": ["hard hat"], "dog": None}, "threshold": 0.2})
    after = with_label_thresholds(before, {"hélmet": 0.35}, is_json=True)
    assert json.loads(after) == {
        "labels": {"hélmet": {"phrases": ["hard hat"], "threshold": 0.35}, "dog": None},
        "threshold": 0.2,
    }
    assert "hélmet" in after


def test_written_numbers_are_read_as_numbers():
    text = with_label_thresholds("labels: [helmet]", {"helmet": 1e-05})
    assert Query.of(yaml.safe_load(text)).phrases[0].threshold == 1e-05


def test_a_label_that_is_not_there_is_refused():
    with pytest.raises(QueryError, match="no label 'cap', only helmet"):
        with_label_thresholds("labels: [helmet]", {"cap": 0.3})
