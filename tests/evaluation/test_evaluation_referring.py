"""The evaluator and the oracle on two small pictures with a handful of boxes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from grounding_sdk.detections import detections_from_scores
from grounding_sdk.errors import ImageNotFoundError
from grounding_sdk.evaluation.annotations import AnnotationsError
from grounding_sdk.evaluation.bootstrap import interval
from grounding_sdk.evaluation.oracle import OracleDetector
from grounding_sdk.evaluation.referring import evaluate_referring, read_expressions
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image
from grounding_sdk.models.ports import Detector
from grounding_sdk.query import Phrase, Query
from grounding_sdk.target import Target

CATEGORIES = ["person", "cup", "wine glass", "dog"]
BOXES = {  # image: (name, x, y, width, height)
    "street.png": [
        ("person", 0, 0, 20, 40),
        ("person", 60, 0, 20, 40),
        ("dog", 30, 30, 20, 20),
        ("person", 0, 0, 80, 60),  # a crowd
    ],
    "table.png": [("cup", 10, 10, 20, 20), ("wine glass", 50, 10, 10, 30)],
}
PHRASES = [  # image, box in it, phrase, kind
    ("street.png", 0, "the man on the left", "geometric"),
    ("street.png", 1, "the man on the right", "geometric"),
    ("table.png", 0, "the cup", "plain"),
    ("street.png", 2, "the puppy", "plain"),
]


@pytest.fixture
def annotations():
    images, boxes = [], []
    for image_id, (file_name, objects) in enumerate(BOXES.items(), start=1):
        images.append({"id": image_id, "file_name": file_name, "width": 80, "height": 60})
        for name, *box in objects:
            boxes.append(
                {
                    "id": 100 * image_id + len(boxes),
                    "image_id": image_id,
                    "category_id": CATEGORIES.index(name),
                    "bbox": box,
                    "iscrowd": int(box == [0, 0, 80, 60]),
                }
            )
    phrases = []
    for index, (file_name, box, phrase, kind) in enumerate(PHRASES):
        image_id = list(BOXES).index(file_name) + 1
        meant = [b for b in boxes if b["image_id"] == image_id][box]
        phrases.append(
            {
                "id": 7 + index,
                "image_id": image_id,
                "ann_id": meant["id"],
                "phrase": phrase,
                "bbox": meant["bbox"],
                "kind": kind,
            }
        )
    return {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CATEGORIES)],
        "phrases": phrases,
    }


@pytest.fixture
def folder(tmp_path):
    for file_name in BOXES:
        PIL.Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / file_name)
    return tmp_path


def found(image, text, *boxes):
    """A result with boxes of falling scores."""
    query = Query.of(text)
    scores = np.linspace(0.9, 0.5, len(boxes)).reshape(-1, 1)
    return Grounding(
        image, query, detections_from_scores(image.size, query, np.array(boxes), scores, 0.0)
    )


def always(*boxes):
    return lambda image, text: found(image, text, *boxes)


LEFT_MAN, RIGHT_MAN, DOG = (0, 0, 20, 40), (60, 0, 80, 40), (30, 30, 50, 50)


def test_accuracy_in_total_and_by_kind(folder, annotations):
    report = evaluate_referring(always(LEFT_MAN, RIGHT_MAN), folder, annotations)
    assert (report.accuracy, report.n) == (0.25, 4)  # the second box never counts
    assert {kind: (f.accuracy, f.n) for kind, f in report.by_kind.items()} == {
        "geometric": (0.5, 2),
        "plain": (0.0, 2),
    }
    # Of two pictures with 1 of 3 and 0 of 1 right, resamples give 1/3, 1/4 and 0.
    assert report.total.interval == (0.0, pytest.approx(1 / 3))
    assert [answer.expression.id for answer in report.failures] == [8, 9, 10]


def test_a_failure_shows_what_was_chosen_and_why(folder, annotations):
    report = evaluate_referring(always((0, 0, 20, 20)), folder, annotations, limit=2)
    half, none = report.answers
    assert half.correct  # IoU 0.5 is enough
    failure = none.to_dict()
    assert failure["id"] == 8
    assert failure["image"] == "street.png"
    assert failure["phrase"] == "the man on the right"
    assert failure["box"] == [0, 0, 20, 20]
    assert failure["true_box"] == [60, 0, 80, 40]
    assert (failure["iou"], failure["problem"]) == (0.0, "")
    assert failure["explanation"].startswith("the man on the right")


def test_the_report_is_json(folder, annotations):
    data = evaluate_referring(always(LEFT_MAN), folder, annotations).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert set(data) == {"accuracy", "n", "interval", "by_kind", "failures"}
    assert set(data["by_kind"]["plain"]) == {"accuracy", "n", "interval"}


def test_a_box_may_stand_in_the_annotation_alone(folder, annotations):
    for phrase in annotations["phrases"]:
        del phrase["bbox"]
    assert evaluate_referring(always(LEFT_MAN), folder, annotations).accuracy == 0.25


def test_what_raises_is_a_failure_with_its_reason(folder, annotations):
    def ground(image, text):
        if "left" in text:
            raise ValueError("no idea what left is")
        return found(image, text, DOG)

    report = evaluate_referring(ground, folder, annotations)
    assert [answer.problem for answer in report.failures] == ["no idea what left is", "", ""]
    assert report.answers[3].correct


def test_nothing_found_is_a_failure(folder, annotations):
    report = evaluate_referring(always(), folder, annotations)
    assert report.accuracy == 0
    assert {answer.problem for answer in report.failures} == {"nothing was found"}
    assert report.failures[0].to_dict()["box"] is None


def test_a_missing_picture_is_named_and_the_rest_done(folder, annotations):
    (folder / "table.png").unlink()
    report = evaluate_referring(always(LEFT_MAN), folder, annotations)
    assert report.accuracy == 0.25
    assert str(folder / "table.png") in report.answers[2].problem


def test_a_broken_picture_is_a_failure(folder, annotations):
    (folder / "table.png").write_bytes(b"no picture")
    report = evaluate_referring(always(LEFT_MAN), folder, annotations)
    assert "cannot read" in report.answers[2].problem


def test_a_picture_of_another_size_is_said_to_be(folder, annotations):
    annotations["images"][1]["width"] = 160
    report = evaluate_referring(always(LEFT_MAN), folder, annotations)
    assert report.answers[2].problem == (
        "the picture is 80 x 60 pixels, but 160 x 60 in the annotations"
    )


def test_pictures_may_lie_in_images_below_the_folder(folder, annotations):
    (folder / "images").mkdir()
    for file_name in BOXES:
        (folder / file_name).rename(folder / "images" / file_name)
    assert evaluate_referring(always(LEFT_MAN), folder, annotations).accuracy == 0.25


def test_each_picture_is_loaded_once_and_progress_told(folder, annotations):
    seen, told = [], []

    def ground(image, text):
        seen.append(id(image))
        return found(image, text)

    evaluate_referring(ground, folder, annotations, progress=told.append)
    assert len(set(seen)) == 2
    assert [answer.expression.id for answer in told] == [7, 8, 10, 9]


def test_kinds_and_limit_choose_what_is_asked(folder, annotations):
    report = evaluate_referring(always(DOG), folder, annotations, kinds=["plain"])
    assert (report.accuracy, report.n, list(report.by_kind)) == (0.5, 2, ["plain"])
    assert evaluate_referring(always(DOG), folder, annotations, limit=3).n == 3
    with pytest.raises(AnnotationsError, match="'odd'; there are geometric, plain"):
        evaluate_referring(always(DOG), folder, annotations, kinds=["odd"])
    with pytest.raises(AnnotationsError, match="limit of 1 or more, got 0"):
        evaluate_referring(always(DOG), folder, annotations, limit=0)


def test_a_kind_that_is_not_given_is_unspecified(annotations):
    del annotations["phrases"][0]["kind"]
    assert read_expressions(annotations)[0].kind == "unspecified"


def test_a_folder_without_the_pictures_is_refused(tmp_path, annotations):
    with pytest.raises(ImageNotFoundError, match="not one of the 2 pictures is in"):
        evaluate_referring(always(DOG), tmp_path, annotations)
    with pytest.raises(ImageNotFoundError, match="expected a folder"):
        evaluate_referring(always(DOG), tmp_path / "gone", annotations)


def drop(*path):
    def change(data):
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return change


def put(value, *path):
    def change(data):
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (drop("phrases"), "expected a list under 'phrases' in the annotations, got nothing"),
        (drop("images"), "expected a list under 'images'"),
        (put({}, "phrases"), "under 'phrases' in the annotations, got a dict"),
        (put([], "phrases"), "'phrases' is empty"),
        (put("dog", "phrases", 1), r"phrases\[1\] as an object, got a str"),
        (drop("phrases", 2, "phrase"), r"phrases\[2\] has no 'phrase'"),
        (drop("phrases", 2, "image_id"), r"phrases\[2\] has no 'image_id'"),
        (put(99, "phrases", 0, "image_id"), r"phrases\[0\] has image_id 99, which no image has"),
        (drop("images", 0, "file_name"), r"images\[0\] has no 'file_name'"),
        (put([1, 2], "phrases", 0, "bbox"), r"\[x, y, width, height\], got \[1, 2\]"),
        (put([1, 2, 0, 5], "phrases", 0, "bbox"), "has no area"),
        (put([1, 2, "wide", 5], "phrases", 0, "bbox"), "expected 'bbox'"),
        (put(float("nan"), "phrases", 0, "bbox", 0), "has no area"),
    ],
)
def test_annotations_that_lack_something_are_refused(change, message, annotations):
    change(annotations)
    with pytest.raises(AnnotationsError, match=message):
        read_expressions(annotations)


def test_a_phrase_without_any_box_is_refused(annotations):
    annotations["phrases"][1] = {"image_id": 1, "phrase": "the man", "ann_id": 5}
    with pytest.raises(AnnotationsError, match="neither a 'bbox' nor the 'ann_id'"):
        read_expressions(annotations)


@pytest.mark.parametrize(
    "text, message", [("[1]", "got a list"), ("{", "is no JSON"), (None, "No such file")]
)
def test_files_that_hold_no_annotations_are_refused(text, message, tmp_path):
    path = tmp_path / "annotations.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AnnotationsError, match=message):
        read_expressions(path)


def test_the_interval_is_over_pictures_not_answers():
    hits = [True] * 50 + [False] * 50
    assert interval(hits, ["a"] * 50 + ["b"] * 50) == (0.0, 1.0)
    low, high = interval(hits, range(100))
    assert 0.38 < low < 0.45
    assert 0.55 < high < 0.62


# The oracle


@pytest.fixture
def oracle(annotations):
    return OracleDetector(annotations)


@pytest.fixture
def street(folder):
    return Image.load(folder / "street.png")


@pytest.fixture
def table(folder):
    return Image.load(folder / "table.png")


def test_the_oracle_is_a_detector(oracle):
    assert isinstance(oracle, Detector)


def test_the_oracle_finds_all_of_a_kind_but_no_crowd(oracle, street):
    (result,) = oracle.detect([street], [Query.of("man . dog . lamp")])
    assert result.xyxy.tolist() == [[30, 30, 50, 50], [0, 0, 20, 40], [60, 0, 80, 40]]
    assert result["class_name"].tolist() == ["dog", "man", "man"]
    assert result["phrase_scores"].shape == (3, 3)
    assert result.confidence[0] == 1
    assert set(result.data) == {
        "class_name",
        "phrase",
        "phrase_id",
        "mask_score",
        "phrase_scores",
    }


def test_the_better_name_wins_a_box_and_the_other_phrase_keeps_a_high_score(oracle, table):
    (result,) = oracle.detect([table], [Query.of("glass . cup")])
    assert result["phrase"].tolist() == ["cup", "glass"]
    glass, cup = result["phrase_scores"][0]
    assert 0.8 < glass < cup == 1


def test_things_of_one_class_are_good_for_both_phrases(oracle, street):
    (result,) = oracle.detect([street], [Query.of("boy . the other person")])
    assert (result["phrase_scores"] > 0.8 * result.confidence[:, None]).all()


def test_the_head_of_a_target_says_what_its_phrase_means(oracle, street):
    target = Target("man with the dog", head="man")
    query = Query((Phrase("man with the dog", role="part"),), targets=(target,))
    assert len(oracle.detect([street], [query])[0]) == 2
    plain = replace(query, targets=(Target("man with the dog"),))
    assert len(oracle.detect([street], [plain])[0]) == 1  # "dog" is its last word


def test_a_phrase_whose_kind_is_not_there_finds_nothing(oracle, street):
    (result,) = oracle.detect([street], [Query.of("cup")])
    assert len(result) == 0
    assert result["phrase_scores"].shape == (0, 1)


def test_a_threshold_counts_for_the_oracle_too(oracle, street):
    (result,) = oracle.detect([street], [Query((Phrase("man", threshold=0.99),))])
    assert len(result) == 0


def test_the_oracle_tells_pictures_apart_by_their_folders(annotations, tmp_path):
    annotations["images"][0]["file_name"] = "a/same.png"
    annotations["images"][1]["file_name"] = "b/same.png"
    oracle = OracleDetector(annotations)
    pixels = np.zeros((60, 80, 3), np.uint8)
    for name, number in (("a", 3), ("b", 2)):
        image = Image(pixels, str(tmp_path / name / "same.png"))
        assert len(oracle.detect([image], [Query.of("thing")])[0]) == number


@pytest.mark.parametrize("source", [None, "elsewhere/other.png"])
def test_the_oracle_refuses_pictures_that_it_does_not_know(oracle, source):
    image = Image(np.zeros((60, 80, 3), np.uint8), source)
    with pytest.raises(AnnotationsError, match="no picture of the annotations is called"):
        oracle.detect([image], [Query.of("dog")])


def test_the_oracle_refuses_unknown_categories(annotations):
    annotations["annotations"][0]["category_id"] = 99
    with pytest.raises(AnnotationsError, match="category_id 99"):
        OracleDetector(annotations)
