from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import PIL.Image
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from grounding_sdk.cli.evaluate_detection import TITLES, add_parser, run
from grounding_sdk.detections import compact_masks, detections_from_scores
from grounding_sdk.errors import ImageNotFoundError
from grounding_sdk.evaluation.annotations import AnnotationsError
from grounding_sdk.evaluation.coco_matches import Matches, resampled
from grounding_sdk.evaluation.detection import evaluate_detection, evaluate_results
from grounding_sdk.evaluation.mask_overlap import boundary_f, mask_iou
from grounding_sdk.models.ports import MaskPrediction

DOG, CAT, CUP = 3, 7, 8
BOXES = [  # image, category, x, y, width, height
    (1, DOG, 10, 10, 40, 40),
    (1, CAT, 60, 10, 30, 30),
    (2, DOG, 20, 20, 50, 50),
]


def truth(boxes=BOXES):
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 80} for i in (1, 2)],
        "categories": [
            {"id": DOG, "name": "dog"},
            {"id": CAT, "name": "cat"},
            {"id": CUP, "name": "cup"},
        ],
        "annotations": [
            {
                "id": n + 1,
                "image_id": image,
                "category_id": category,
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
            for n, (image, category, x, y, w, h) in enumerate(boxes)
        ],
    }


def result(image, category, x, y, w, h, score):
    return {"image_id": image, "category_id": category, "bbox": [x, y, w, h], "score": score}


RESULTS = [
    result(1, DOG, 11, 10, 40, 40, 0.9),
    result(1, CUP, 60, 10, 30, 30, 0.8),  # right place, wrong name
    result(2, DOG, 20, 20, 50, 48, 0.7),
    result(2, CAT, 0, 0, 10, 10, 0.3),
]


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "images").mkdir()
    for i in (1, 2):
        pixels = np.full((80, 100, 3), 40 * i, np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    (tmp_path / "annotations.json").write_text(json.dumps(truth()))
    return tmp_path


class Detector:
    """Gives the results above for the phrases that are asked; told apart by brightness."""

    name, default_threshold = "stub", 0.5

    def __init__(self, results=RESULTS):
        self.results = results

    def detect(self, images, queries):
        names = {c["id"]: c["name"] for c in truth()["categories"]}
        found = []
        for image, query in zip(images, queries, strict=True):
            mine = [r for r in self.results if r["image_id"] == image.pixels[0, 0, 0] // 40]
            mine = [r for r in mine if names[r["category_id"]] in query.texts]
            scores = np.zeros((len(mine), len(query)))
            for row, r in enumerate(mine):
                scores[row, query.texts.index(names[r["category_id"]])] = r["score"]
            corners = [[x, y, x + w, y + h] for x, y, w, h in (r["bbox"] for r in mine)]
            found.append(detections_from_scores(image.size, query, np.array(corners), scores, 0.5))
        return found


class Segmenter:
    """Fills the boxes but for their top half."""

    name = "stub"

    def encode(self, images):
        return [image.size for image in images]

    def decode(self, embedding, boxes=None, points=None):
        if points is not None:
            boxes = np.concatenate([points[:, 0] - 10, points[:, 0] + 10], 1)
        boxes = boxes.round().astype(int)
        crops = [np.ones(((y1 - y0) // 2, x1 - x0), bool) for x0, y0, x1, y1 in boxes]
        offsets = [(x0, y1 - (y1 - y0) // 2) for x0, y0, x1, y1 in boxes]
        masks = compact_masks(crops, offsets, embedding)
        return MaskPrediction(masks, np.ones((len(boxes), 1), np.float32))


def oracle(results, kind="bbox", use_cats=1, known=None):
    coco = COCO()
    coco.dataset = {"info": {}, **(known or truth())}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes([dict(r) for r in results]), kind)
        evaluation.params.useCats = use_cats
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_figures_are_those_of_pycocotools():
    report = evaluate_results(RESULTS, truth(), rounds=20)
    figures = {name: figure.value for name, figure in report.figures.items()}
    named, blind = oracle(RESULTS), oracle(RESULTS, use_cats=0)
    assert figures["box_ap"] == pytest.approx(named[0])
    assert figures["box_ap50"] == pytest.approx(named[1])
    assert figures["box_ar100"] == pytest.approx(named[8])
    assert figures["agnostic_ap"] == pytest.approx(blind[0])
    assert figures["agnostic_ap50"] == pytest.approx(blind[1])
    sizes = {name: figure.value for name, figure in report.by_size.items()}
    assert sizes["medium"] == pytest.approx(named[4])
    assert np.isnan(sizes["large"])
    assert report.by_class["dog"].to_dict() == {"value": 1.0, "n": 2, "interval": [1.0, 1.0]}
    assert report.by_class["cat"].value == 0
    assert "cup" not in report.by_class  # none is annotated
    for figure in (
        report.figures["box_ap50"],
        report.figures["box_ar100"],
        report.by_size["medium"],
    ):
        low, high = figure.interval
        assert low <= figure.value <= high
    assert "mask_ap" not in figures
    assert "false_alarms" not in figures
    json.dumps(report.to_dict(), allow_nan=False)


def test_counts_at_a_threshold():
    report = evaluate_results(RESULTS, truth(), threshold=0.75, rounds=0)
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert figures["precision"] == pytest.approx(1 / 2)
    assert figures["recall"] == pytest.approx(1 / 3)
    assert figures["f1"] == pytest.approx(2 / 5)
    assert figures["boxes_per_picture"] == 1
    assert figures["top1"] == 1  # the dogs
    assert report.figures["f1"].interval is None
    assert 0.3 < report.best_threshold <= 0.7


def test_what_lies_on_a_crowd_is_neither_right_nor_wrong():
    crowded = truth()
    crowded["annotations"][0]["iscrowd"] = 1
    crowded["annotations"][0]["segmentation"] = {"size": [80, 100], "counts": [810, 40, 7150]}
    report = evaluate_results(RESULTS[:1], crowded, threshold=0.1, rounds=0)
    assert report.figures["precision"].value == 0
    assert report.figures["boxes_per_picture"].value == 0
    assert report.by_class["dog"].n == 1


def test_nothing_found_is_a_report_too():
    report = evaluate_results([], truth(), rounds=5)
    assert report.figures["box_ap50"].value == 0
    assert report.figures["top1"].value == 0
    assert report.figures["f1"].value == 0


def test_a_detector_and_a_segmenter_are_judged(pictures):
    seen = []
    report = evaluate_detection(
        Detector(),
        pictures,
        pictures / "annotations.json",
        segmenter=Segmenter(),
        points=True,
        rounds=10,
        progress=lambda: seen.append(1),
    )
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert set(figures) == set(TITLES)
    assert len(seen) == 2
    assert figures["box_ap50"] == pytest.approx(oracle(RESULTS)[1])
    assert figures["mask_miou"] == pytest.approx(0.5, abs=0.01)
    assert report.figures["mask_miou"].n == 3
    assert figures["point_miou"] == pytest.approx(
        (200 / 1600 + 200 / 900 + 200 / 2500) / 3, abs=0.01
    )
    assert figures["mask_ap"] == 0  # half a mask has an IoU of 0.5 at most
    assert 0 < figures["boundary_f"] < 1
    # Absent are cup in the first picture, cat and cup in the second; the cup scores 0.8.
    assert figures["false_alarms"] == 0.5
    assert figures["pictures_with_false_alarms"] == 0.5
    assert report.threshold == 0.5


def test_masks_in_results_are_judged():
    whole = [
        {**r, "segmentation": truth()["annotations"][n]["segmentation"]}
        for n, r in zip((0, 1, 2), RESULTS, strict=False)
    ]
    packed = COCO()
    packed.imgs = {i["id"]: i for i in truth()["images"]}
    for entry in whole:
        entry["segmentation"] = packed.annToRLE(entry)
    report = evaluate_results(whole, truth(), rounds=0)
    segments = [{k: v for k, v in r.items() if k != "bbox"} for r in whole]
    assert report.figures["mask_ap"].value == pytest.approx(oracle(segments, "segm")[0])
    alone = evaluate_results(segments, truth(), rounds=0)  # the boxes of the masks
    assert alone.figures["mask_ap"] == report.figures["mask_ap"]
    assert alone.figures["box_ap50"].value == pytest.approx(1 / 2)  # the dogs


def test_an_object_without_a_mask_does_not_count_for_masks(pictures):
    partly = truth()
    del partly["annotations"][1]["segmentation"]
    report = evaluate_detection(Detector(), pictures, partly, segmenter=Segmenter(), rounds=0)
    assert report.figures["mask_miou"].n == 2
    assert report.figures["mask_ap50"].value >= 0
    assert report.by_class["cat"].n == 1


def test_a_limit_leaves_out_pictures_and_their_objects(pictures):
    report = evaluate_detection(Detector(), pictures, truth(), limit=1, rounds=0)
    assert report.figures["box_ap50"].n == 1
    assert report.by_class["dog"].n == 1


def test_a_missing_picture_is_named(pictures):
    (pictures / "images" / "2.png").unlink()
    with pytest.raises(ImageNotFoundError, match=r"1 of 2 .*'2.png'"):
        evaluate_detection(Detector(), pictures, truth())


@pytest.mark.parametrize(
    "results, message",
    [
        ([result(9, DOG, 0, 0, 5, 5, 0.5)], "image_id 9"),
        ([result(1, 99, 0, 0, 5, 5, 0.5)], "category_id 99"),
        ([{"image_id": 1, "category_id": DOG, "bbox": [0, 0, 5, 5]}], "no 'score'"),
        ([result(1, DOG, 0, 0, 0, 5, 0.5)], "no area"),
        (
            [{"image_id": 1, "category_id": DOG, "score": 1, "segmentation": [[0, 0, 5, 0, 5, 5]]}],
            "compressed RLE",
        ),
    ],
)
def test_results_that_do_not_fit_are_refused(results, message):
    with pytest.raises(AnnotationsError, match=message):
        evaluate_results(results, truth())


@pytest.mark.parametrize("content, message", [("{", "no JSON"), ("{}", "list of results")])
def test_a_results_file_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(AnnotationsError, match=message):
        evaluate_results(tmp_path / "r.json", truth())


def test_resampled_figures_are_those_of_the_pictures_drawn():
    """A picture drawn twice is what pycocotools makes of two copies of it."""
    random = np.random.default_rng(4)
    boxes = [
        (i, random.choice([DOG, CAT]), *random.integers(0, 60, 2), *random.integers(9, 60, 2))
        for i in random.integers(1, 3, 30)
    ]
    boxes = [tuple(int(v) for v in box) for box in boxes]
    found = [
        result(i, c, x + int(random.integers(4)), y, w, h, float(random.random()))
        for i, c, x, y, w, h in boxes * 2
    ]
    for chosen, copies in (([0, 1], {1: [1], 2: [2]}), ([1, 1, 0], {1: [1], 2: [2, 3]})):
        many = [(copy, *box[1:]) for box in boxes for copy in copies[box[0]]]
        repeated = truth(many)
        repeated["images"].append({**repeated["images"][0], "id": 3})
        wanted = oracle(
            [{**r, "image_id": copy} for r in found for copy in copies[r["image_id"]]],
            known=repeated,
        )
        mine = Matches(truth(boxes), found).averages_of(np.array(chosen))
        assert (mine.ap, mine.ap50, mine.ar) == pytest.approx(tuple(wanted[[0, 1, 8]]))
        sizes = [v if v >= 0 else float("nan") for v in wanted[3:6]]
        assert mine.by_size == pytest.approx(tuple(sizes), nan_ok=True)
        assert Matches(truth(boxes), found).ap_of(np.array(chosen)) == (mine.ap, mine.ap50)


def test_nothing_to_measure_is_no_number():
    assert np.isnan(resampled(lambda chosen: float("nan"), 3, 5).value)


def test_an_outline_may_be_off_by_little():
    disc = np.hypot(*np.mgrid[-50:50, -50:50]) < 30
    moved, far = np.roll(disc, 1, 1), np.roll(disc, 12, 1)
    assert boundary_f(moved, disc) == pytest.approx(1.0)
    assert boundary_f(far, disc) < 0.4
    assert mask_iou(moved, disc) < 1
    assert boundary_f(disc & False, disc & False) == mask_iou(disc & False, disc & False) == 1


def command(*words):
    import argparse

    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return run(parser.parse_args(["detection", *map(str, words)]))


def test_the_command_judges_models(pictures, capsys):
    where = ["--images", pictures, "--annotations", pictures / "annotations.json"]
    fake = ["--detector", "fake", "--segmenter", "fake", "--rounds", 5]
    assert command(*where, *fake, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["figures"]) == set(TITLES) - {"point_miou"}
    assert command(*where, *fake, "--quiet", "--classes") == 0
    printed = capsys.readouterr().out
    assert "class-agnostic AP50" in printed
    assert "AP50 of dog" in printed


def test_the_command_judges_results(pictures, capsys):
    (pictures / "results.json").write_text(json.dumps(RESULTS))
    where = ["--annotations", pictures / "annotations.json"]
    assert command(*where, "--results", pictures / "results.json", "--rounds", 0, "--json") == 0
    assert json.loads(capsys.readouterr().out)["threshold"] == 0.5
    with pytest.raises(ValueError, match="--images"):
        command(*where)
