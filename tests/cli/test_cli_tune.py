from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

from grounding_sdk import FakeDetector, Grounder, Image, Query
from grounding_sdk.cli import main
from grounding_sdk.evaluation.label_matches import match_labels
from grounding_sdk.formats import read_coco

ONTOLOGY = """# helmets and cups
labels:
  helmet: [helmet, hard hat]  # on heads
  cup:
threshold: 0.25
"""
TRUE_FROM = 0.7  # boxes of the fake detector that score higher are marked as right


@pytest.fixture
def folder(tmp_path):
    images, annotations = [], []
    query = Query.of({"helmet": "helmet", "hard hat": "helmet", "cup": "cup"})
    for index in range(10):
        pixels = np.random.default_rng(index).integers(0, 255, (100, 200, 3), np.uint8)
        name = f"{index}.png"
        PIL.Image.fromarray(pixels).save(tmp_path / name)
        images.append({"id": index, "file_name": name, "width": 200, "height": 100})
        found = FakeDetector().detect([Image.load(tmp_path / name)], [query])[0]
        for box, label, score in zip(
            found.xyxy.tolist(), found["class_name"], found.confidence, strict=True
        ):
            if score >= TRUE_FROM:
                x1, y1, x2, y2 = box
                bbox, number = [x1, y1, x2 - x1, y2 - y1], len(annotations) + 1
                category = 1 if label == "helmet" else 2
                annotations.append(
                    {"id": number, "image_id": index, "category_id": category, "bbox": bbox}
                )
    names = [{"id": 1, "name": "helmet"}, {"id": 2, "name": "cup"}]
    data = {"images": images, "annotations": annotations, "categories": names}
    (tmp_path / "truth.json").write_text(json.dumps(data))
    (tmp_path / "site.yaml").write_text(ONTOLOGY)
    return tmp_path


def tune(folder, *args, query="site.yaml"):
    paths = ["--images", str(folder), "--annotations", str(folder / "truth.json")]
    return main(["tune", *paths, "--query", str(folder / query), "--detector", "fake", *args])


def test_the_ontology_gets_thresholds_and_is_otherwise_left(folder, capsys):
    assert tune(folder, "--out", str(folder / "tuned.yaml"), "--json") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    told = json.loads(printed.out)
    assert told["pictures"] == 10
    tuned = Query.load(folder / "tuned.yaml")
    for phrase, choice in zip(tuned, told["phrases"], strict=True):
        assert choice["threshold"] == phrase.threshold
        assert phrase.threshold == pytest.approx(TRUE_FROM, abs=0.07)
        assert choice["basis"] == "label"
        assert choice["objects"] > 4
    assert told["after"]["f1"] > told["before"]["f1"]
    lines = (folder / "tuned.yaml").read_text().splitlines()
    assert lines[0] == "# helmets and cups"
    assert lines[2].endswith("phrases: [helmet, hard hat]}  # on heads")
    assert (folder / "site.yaml").read_text() == ONTOLOGY


def test_asking_with_what_was_written_gives_the_figures_that_were_told(folder, capsys):
    (folder / "site.yaml").write_text(ONTOLOGY + "exclude: [cap]\n")
    assert tune(folder, "--out", str(folder / "tuned.yaml"), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    tuned, ground = Query.load(folder / "tuned.yaml"), Grounder("fake", None)
    truth = read_coco(folder / "truth.json")
    found = [ground(folder / row.file_name, tuned).detections for row in truth]
    matches = match_labels(found, list(truth), tuned)
    assert matches.right.mean() == pytest.approx(told["after"]["precision"])
    objects = sum(each.sum() for each in matches.objects.values())
    assert matches.right.sum() / objects == pytest.approx(told["after"]["recall"])


def test_a_table_says_what_each_threshold_rests_on(folder, capsys):
    assert tune(folder, "--quiet", "--precision", "0.9", "--curves", str(folder / "curves")) == 0
    out = capsys.readouterr().out
    assert out.startswith("LABEL")
    assert "10 pictures" in out
    assert "precision 0.9" in out
    assert "as it was" in out
    drawn = sorted(path.name for path in (folder / "curves").iterdir())
    assert drawn == ["001_helmet.png", "002_cup.png", "all.png"]
    assert PIL.Image.open(folder / "curves" / "all.png").size == (1280, 400)


def test_each_phrase_its_own_is_a_saved_query(folder, capsys):
    out = folder / "tuned.yaml"
    assert tune(folder, "--by", "phrase", "--enough", "2", "--out", str(out), "--quiet") == 0
    tuned = Query.load(out)
    assert out.read_text().startswith("phrases:")
    assert len({phrase.threshold for phrase in tuned}) == 3
    assert tuned.labels == ("helmet", "cup")
    # And a saved query can be tuned, too.
    assert tune(folder, "--out", str(folder / "again.yaml"), "--quiet", query="tuned.yaml") == 0
    again = Query.load(folder / "again.yaml")
    assert again.phrases[0].threshold == again.phrases[1].threshold


def test_too_little_is_said_and_nothing_is_written(folder, capsys):
    assert tune(folder, "--enough", "500", "--out", str(folder / "tuned.yaml"), "--quiet") == 1
    printed = capsys.readouterr()
    assert "too few examples" in printed.err
    assert "kept as it was" in printed.out
    assert not (folder / "tuned.yaml").exists()


@pytest.mark.parametrize(
    "args, message",
    [
        (["--out", "tuned.json"], "--out to end like --query"),
        (["--format", "kiko"], "no format 'kiko'"),
        (["--precision", "2"], "wanted precision"),
        (["--limit", "0"], "--limit"),
        (["--enough", "0"], "--enough"),
    ],
)
def test_what_cannot_be_is_refused(folder, args, message, capsys):
    assert tune(folder, *args, "--quiet") == 2
    assert message in capsys.readouterr().err


def test_labels_that_do_not_meet_are_named(folder, capsys):
    (folder / "other.yaml").write_text("labels: [horse]")
    assert tune(folder, "--quiet", query="other.yaml") == 2
    assert "none of the query's labels ('horse',)" in capsys.readouterr().err
