from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

from grounding_sdk import ConfigError, FakeDetector, FakeSegmenter, Grounder, Grounding

PICTURE = np.full((60, 80, 3), 128, np.uint8)
TABLE = {"dog": [((5, 5, 30, 30), 0.9), ((40, 5, 70, 30), 0.6)], "cat": [((5, 30, 30, 55), 0.5)]}


@pytest.fixture(scope="module")
def result():
    return Grounder(FakeDetector(TABLE), FakeSegmenter())(PICTURE, "dog . cat . bird")


def test_counts_every_label_that_was_asked_for(result):
    assert result.counts == {"dog": 2, "cat": 1, "bird": 0}
    assert str(result) == "2 x dog, 1 x cat found in the image"
    assert len(result) == 3


def test_a_filter_keeps_the_rest_as_it_is(result):
    assert result.filter(labels=["cat"]).counts == {"dog": 0, "cat": 1, "bird": 0}
    assert result.filter(labels="dog", min_score=0.7).counts["dog"] == 1
    last = result.filter(where=np.array([2]))
    assert last.detections["phrase"].tolist() == ["cat"]
    assert len(last.detections.mask) == 1
    assert len(result) == 3


def test_nothing_found_is_a_result_like_any_other(tmp_path):
    nothing = Grounder(FakeDetector({}), FakeSegmenter())(PICTURE, "dog")
    assert nothing  # not false, though its length is 0
    assert str(nothing) == "nothing found in the image"
    assert nothing.filter(min_score=0.5).counts == {"dog": 0}
    assert PIL.Image.open(nothing.save(tmp_path / "out.png")).size == (80, 60)
    assert nothing.to_dict(masks=True)["objects"] == []
    assert nothing._repr_png_().startswith(b"\x89PNG")


def test_saves_the_picture_or_the_numbers(result, tmp_path):
    assert PIL.Image.open(result.save(tmp_path / "new" / "out.jpg")).size == (80, 60)
    data = json.loads(result.save(tmp_path / "out.json").read_text())
    assert [o["label"] for o in data["objects"]] == ["dog", "dog", "cat"]
    assert data["objects"][0]["segmentation"]["size"] == [60, 80]
    assert not list(tmp_path.rglob("*.part"))
    with pytest.raises(ConfigError, match=r"\.docx"):
        result.save(tmp_path / "out.docx")


def test_an_answer_never_changes_in_place(result):
    with pytest.raises(AttributeError):
        result.query = None
    assert Grounding.ask(PICTURE, "dog").detections["phrase_scores"].shape == (0, 1)
