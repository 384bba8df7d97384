from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from pycocotools.coco import COCO

from grounding_sdk.cli import main

FAKE = ["--detector", "fake", "--segmenter", "fake"]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png", "sub/a.png"):
        PIL.Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def ground(*args):
    return main(["ground", *map(str, args), *FAKE])


def test_a_folder_gives_a_picture_each_and_one_coco_file(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert ground(photos, "--text", "dog . red car", "--out", out) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "a.jpg",
        "a_2.jpg",
        "annotations.json",
        "b.jpg",
    ]
    assert PIL.Image.open(out / "b.jpg").size[0] == 80
    coco = COCO(str(out / "annotations.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["dog", "red car"]
    assert len(coco.getImgIds()) == 3
    for ann in coco.loadAnns(coco.getAnnIds()):
        assert {"bbox", "segmentation", "score", "category_id", "iscrowd"} <= set(ann)
        assert coco.annToMask(ann).sum() == ann["area"]
    assert "3 pictures" in capsys.readouterr().out


def test_precision_is_for_models_that_have_the_choice(photos, tmp_path, capsys):
    photo = photos / "a.jpg"  # the fakes have none
    assert ground(photo, "--text", "dog", "--out", tmp_path / "o", "--precision", "fast") == 0
    with pytest.raises(SystemExit):
        ground(photo, "--text", "dog", "--out", tmp_path / "o", "--precision", "half")
    assert "choose from" in capsys.readouterr().err


def test_one_bad_file_is_named_and_the_rest_done(photos, tmp_path, capsys):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    out = tmp_path / "out"
    assert ground(photos, tmp_path / "gone.jpg", "--text", "dog", "--out", out) == 1
    printed = capsys.readouterr()
    assert "3 pictures" in printed.out
    assert "2 failed" in printed.err
    assert "broken.jpg" in printed.err
    assert "gone.jpg" in printed.err
    assert len(json.loads((out / "annotations.json").read_text())["images"]) == 3


def test_json_is_all_that_is_printed(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert ground(photos / "*.jpg", "--text", "dog", "--out", out, "--json") == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["failures"] == []
    assert report["images"][0]["picture"] == str(out / "a.jpg")
    for thing in report["images"][0]["objects"]:
        assert thing["label"] == "dog"
        assert len(thing["box"]) == 4
    assert printed.err == ""


def test_the_photo_itself_is_never_overwritten(photos):
    before = (photos / "a.jpg").read_bytes()
    assert ground(photos / "a.jpg", "--text", "dog", "--out", photos) == 0
    assert (photos / "a.jpg").read_bytes() == before
    assert (photos / "a_2.jpg").exists()


@pytest.mark.parametrize(
    "args, message",
    [
        (["{photos}/a.jpg", "--text", "", "--out", "{out}"], "query is empty"),
        (["{photos}/a.jpg", "--text", "dog", "--out", "{out}", "--threshold", "7"], "between 0"),
        (["{photos}/none/*.jpg", "--text", "dog", "--out", "{out}"], "no file matches"),
        (["{photos}/a.jpg", "--text", "dog", "--out", "{photos}/a.jpg"], "is a file"),
        (["{photos}/a.jpg", "--text", "dog", "--out", "{out}", "--detector", "owlv3"], "owlv2"),
        (["{photos}/a.jpg", "--text", "dog", "--out", "{out}", "--device", "abacus"], "abacus"),
    ],
)
def test_mistakes_get_one_helpful_line(args, message, photos, tmp_path, capsys):
    filled = [arg.format(photos=photos, out=tmp_path / "out") for arg in args]
    extra = [] if "--detector" in filled else FAKE
    assert main(["ground", *filled, *extra]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err


ONTOLOGY = """\
labels:
  helmet: {phrases: [helmet, hard hat], exclude: [cap]}
  person:
"""


def test_a_query_can_come_from_a_file(photos, tmp_path, capsys):
    file = tmp_path / "site.yaml"
    file.write_text(ONTOLOGY)
    assert ground(photos / "a.jpg", "--query", file, "--out", tmp_path / "out", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    found = {thing["phrase"]: thing["label"] for thing in report["images"][0]["objects"]}
    assert found.items() <= {"helmet": "helmet", "hard hat": "helmet", "person": "person"}.items()
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["helmet", "person"]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("q.yaml", ONTOLOGY.replace("exclude", "excldue"), "q.yaml, line 2, column 41"),
        (
            "q.json",
            '{"labels":\n {"a": []}}',
            "q.json, line 2, column 3: labels.a: the list is empty",
        ),
        ("q.json", "{", "q.json, line 1, column 2: no JSON"),
        ("q.txt", "dog", "expected a .yaml, .yml or .json file"),
        ("q.yaml", None, "q.yaml cannot be read: No such file"),
    ],
)
def test_a_mistake_in_a_query_file_is_placed(name, content, message, photos, tmp_path, capsys):
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    assert ground(photos / "a.jpg", "--query", file, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("asked", [[], ["--text", "dog", "--query", "dog.yaml"]])
def test_words_come_from_exactly_one_place(asked, photos, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        ground(photos / "a.jpg", *asked, "--out", tmp_path / "out")
    assert stopped.value.code == 2
    assert "--query" in capsys.readouterr().err


def test_expressions_are_understood_and_explained(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert ground(photos / "b.png", "--text", "the leftmost dog", "--out", out, "--explain") == 0
    printed = capsys.readouterr().out
    assert "the leftmost dog (the best)" in printed
    assert "margin" in printed
    assert ground(photos / "b.png", "--text", "the leftmost dog", "--out", out, "--json") == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert len(image["objects"]) == 1
    (evidence,) = image["evidence"]
    assert evidence["text"] == "the leftmost dog"
    assert evidence["candidates"][0]["chosen"]
    assert list(evidence["candidates"][0]["scores"]) == ["dog", "leftmost"]


def test_how_a_text_is_read_can_be_chosen(photos, tmp_path, capsys):
    out, photo = tmp_path / "out", photos / "b.png"

    def phrases(*args):
        assert ground(photo, "--out", out, "--json", *args) == 0
        query = json.loads(capsys.readouterr().out)["images"][0]["query"]
        return [phrase["text"] for phrase in query["phrases"]]

    assert phrases("--text", "the dog, red car", "--reader", "phrases") == ["the dog", "red car"]
    assert phrases("--text", "A dog chases two cats.", "--reader", "caption") == ["dog", "cats"]
    assert phrases("--text", "a dog, red car", "--reader", "whole") == ["a dog, red car"]
    asked = phrases("--text", "something to sit on", "--rewriter", "lexical")
    assert "chair" in asked
    assert main(["ground", str(photo), "--text", "x", "--out", str(out), "--rewriter", "y"]) == 2


def test_encoded_pictures_are_kept_for_the_next_run(tmp_path):
    photo = Path(__file__).parents[2] / "demos" / "images" / "cat.jpg"
    kept = tmp_path / "kept"
    asked = ["ground", str(photo), "--text", "cat", "--cache", str(kept), "--out"]
    for out in ("one", "two"):
        assert main([*asked, str(tmp_path / out)]) == 0
        assert len(list(kept.glob("*.safetensors"))) == 1
    one, two = ((tmp_path / out / "annotations.json").read_text() for out in ("one", "two"))
    assert one == two
