from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

from grounding_sdk.cli import main

LEFT, RIGHT, DOG = [0, 0, 20, 40], [60, 0, 20, 40], [30, 30, 20, 20]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        PIL.Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def annotations(tmp_path):
    boxes = [(1, 1, LEFT), (1, 1, RIGHT), (1, 2, DOG), (2, 2, DOG)]
    phrases = [
        (1, RIGHT, "the man on the right", "geometric"),
        (1, LEFT, "the man on the left", "geometric"),
        (1, LEFT, "the puppy", "wrong"),
        (2, DOG, "the dog", "plain"),
    ]
    data = {
        "images": [
            {"id": i, "file_name": name, "width": 80, "height": 60}
            for i, name in ((1, "a.png"), (2, "b.png"))
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0}
            for i, (image, category, box) in enumerate(boxes)
        ],
        "phrases": [
            {"id": i, "image_id": image, "phrase": phrase, "bbox": box, "kind": kind}
            for i, (image, box, phrase, kind) in enumerate(phrases)
        ],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(data))
    return path


def evaluate(photos, annotations, *args):
    paths = ["--images", str(photos), "--annotations", str(annotations)]
    return main(["evaluate", "referring", *paths, *args])


def test_json_is_all_that_is_printed_on_one_line(photos, annotations, capsys):
    assert evaluate(photos, annotations, "--oracle", "--json") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    report = json.loads(printed.out)
    assert (report["accuracy"], report["n"]) == (0.75, 4)
    assert {k: (f["accuracy"], f["n"]) for k, f in report["by_kind"].items()} == {
        "geometric": (1.0, 2),
        "wrong": (0.0, 1),
        "plain": (1.0, 1),
    }
    (failure,) = report["failures"]
    assert failure["phrase"] == "the puppy"
    assert failure["box"] == [30, 30, 50, 50]
    assert failure["true_box"] == [0, 0, 20, 40]


def test_a_table_and_why_what_is_wrong_was_chosen(photos, annotations, capsys):
    assert evaluate(photos, annotations, "--oracle", "--explain", "--quiet") == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()]
    assert ["geometric", "1.000", "2", "1.000", "to", "1.000"] in rows
    assert any(row[:4] == ["in", "total", "0.750", "4"] for row in rows)
    assert "'the puppy' (wrong, id 2) in a.png" in printed.out
    assert "chosen 30,30,50,50, IoU 0.00" in printed.out
    assert "the puppy (the best)" in printed.out
    assert printed.err == ""


def test_without_explain_the_number_of_failures_is_told(photos, annotations, capsys):
    assert evaluate(photos, annotations, "--oracle") == 0
    assert "1 wrong; --explain says why" in capsys.readouterr().out


def test_without_relations_the_best_box_of_the_noun_is_taken(photos, annotations, capsys):
    assert evaluate(photos, annotations, "--oracle", "--no-relate", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["by_kind"]["geometric"]["accuracy"] == 0.5  # both get the same man
    assert report["by_kind"]["plain"]["accuracy"] == 1


def test_limit_asks_only_the_first(photos, annotations, capsys):
    assert evaluate(photos, annotations, "--oracle", "--json", "--limit", "2") == 0
    assert json.loads(capsys.readouterr().out)["n"] == 2


def test_any_detector_can_be_judged(photos, annotations, capsys):
    assert evaluate(photos, annotations, "--detector", "fake", "--json") == 0
    assert json.loads(capsys.readouterr().out)["n"] == 4


def test_a_threshold_is_heeded(photos, annotations, capsys):
    assert evaluate(photos, annotations, "--oracle", "--threshold", "1", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["accuracy"] == 0.25  # only "the dog" is the very name
    assert {f["problem"] for f in report["failures"]} == {"nothing was found"}


def test_a_missing_picture_counts_as_wrong_and_is_named(photos, annotations, capsys):
    (photos / "b.png").unlink()
    assert evaluate(photos, annotations, "--oracle", "--json") == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["accuracy"] == 0.5
    assert "counted as wrong: b.png" in printed.err


@pytest.mark.parametrize(
    "args, message",
    [
        (["--images", "{photos}/none", "--annotations", "{file}"], "expected a folder"),
        (["--images", "{photos}", "--annotations", "{photos}/none.json"], "cannot read"),
        (["--images", "{photos}", "--annotations", "{photos}/a.png"], "no JSON"),
        (["--images", "{photos}", "--annotations", "{file}", "--limit", "0"], "limit of 1"),
        (["--images", "{photos}", "--annotations", "{file}", "--threshold", "7"], "between 0"),
        (["--images", "{photos}", "--annotations", "{file}", "--detector", "owlv3"], "owlv2"),
    ],
)
def test_mistakes_get_one_helpful_line(args, message, photos, annotations, capsys):
    filled = [arg.format(photos=photos, file=annotations) for arg in args]
    extra = [] if "--detector" in filled else ["--oracle"]
    assert main(["evaluate", "referring", *filled, *extra]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err


def test_a_measure_must_be_named(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["evaluate"])
    assert caught.value.code == 2


@pytest.mark.parametrize("measure", ["detection", "referring"])
def test_every_measure_explains_itself(measure, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", measure, "--help"])
    assert caught.value.code == 0
    assert f"evaluate {measure}" in capsys.readouterr().out
