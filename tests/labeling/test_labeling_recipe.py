from __future__ import annotations

import pickle

import pytest

from grounding_sdk.errors import UnknownModelError
from grounding_sdk.labeling.recipe import Recipe, fingerprint
from grounding_sdk.query import Phrase, Query
from grounding_sdk.stages import Merge

FAKE = {"detector": "fake", "segmenter": "fake"}


def of(query="dog", **options):
    return fingerprint(Recipe(query, **FAKE | options).config())


def test_what_changes_no_result_changes_no_fingerprint(tmp_path):
    assert of(device="cpu", offline=True) == of()
    assert of(Query.load(Query.of("dog").save(tmp_path / "q.yaml"))) == of()


@pytest.mark.parametrize(
    "options",
    [
        {"query": "cat"},
        {"query": Phrase("dog", threshold=0.5)},
        {"query": Phrase("dog", label="animal")},
        {"detector": "mini"},
        {"segmenter": "mini"},
        {"segmenter": None},
        {"threshold": 0.2},
        {"merge": None},
        {"merge": Merge(overlap=0.7)},
        {"refine": None},
    ],
)
def test_what_changes_the_result_changes_the_fingerprint(options):
    assert of(**options) != of()


def test_weights_stand_by_their_digests(tmp_path):
    config = Recipe("dog").config()
    assert config["detector"]["name"] == "mini"
    assert set(config["detector"]["weights"]) == {"text.safetensors", "vision.safetensors"}
    assert all(len(digest) == 64 for digest in config["detector"]["weights"].values())
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors").write_bytes(b"one")
    before = of(detector=tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"two")
    assert of(detector=tmp_path / "m") != before
    with pytest.raises(UnknownModelError):
        of(detector="no-such-model")


def test_a_query_is_read_once():
    recipe = Recipe("the cup left of the plate", **FAKE)
    assert recipe.asked.targets
    assert Recipe(recipe.query, **FAKE).asked == recipe.asked
    assert [stage.name for stage in recipe.pipeline().stages][:2] == ["detect", "merge"]


def test_it_can_be_sent_to_another_process():
    recipe = Recipe(Query.of("dog . not toy dog"), **FAKE)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
