from __future__ import annotations

import json
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from torch_threads import one_thread  # noqa: F401
from weights_on_disk import isolate

from grounding_sdk import FakeDetector, FakeSegmenter, register_detector, register_segmenter
from grounding_sdk.benchmark import random_models
from grounding_sdk.benchmark.random_models import BUILDERS
from grounding_sdk.cli import main
from grounding_sdk.models import catalog
from grounding_sdk.models.catalog import lookup


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)


def bench(capsys, detector, segmenter, *more):
    words = ["bench", "--detector", detector, "--segmenter", segmenter, "--rounds", "2"]
    words += ["--size", "96x64", "--phrases", "3", "--boxes", "4", *more]
    assert main([*words, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line)


STAGES = ["detect", "encode", "decode", "segment", "second_query", "total"]


@pytest.mark.parametrize(
    "detector, segmenter, says",
    [
        ("owlv2:base", "sam:vit-b", ("zero-shot-object-detection", "post_process_masks")),
        ("owlvit:base-32", "segment-anything:vit-b", ("zero-shot", "SamPredictor")),
    ],
)
def test_both_paths_give_the_same_and_every_figure_is_there(capsys, detector, segmenter, says):
    report = bench(capsys, detector, segmenter, "--random-weights", "--tiny")
    assert list(report["stages"]) == STAGES
    assert report["speedup"] == report["stages"]["total"] > 0
    assert all(part in text for part, text in zip(says, report["reference"].values(), strict=True))
    assert report["weights"] == {"detector": "random", "segmenter": "random"}
    parity = report["parity"]
    assert parity["detections"] == 4
    assert parity["without_counterpart"] == 0
    assert parity["score_max_difference"] < 1e-3
    assert parity["box_max_difference_pixels"] <= 1.01  # the pipeline truncates
    assert parity["mask_pixels_different"] <= 1e-3 * parity["mask_pixels"]
    assert parity["logit_max_difference"] < 1e-3
    for stage in STAGES:
        both = report["milliseconds"][stage]
        assert min(both["ours"], both["reference"]) > 0
    if sys.platform == "linux":
        assert set(report["peak_mb"]) == {"ours", "reference"}


def test_grounding_dino_is_asked_as_its_documentation_says(capsys):
    report = bench(capsys, "grounding-dino:tiny", "sam:vit-b", "--tiny")
    assert "GroundingDino" in report["reference"]["detector"]
    assert report["parity"]["score_max_difference"] is None
    assert report["parity"]["box_max_difference_pixels"] < 0.1


@pytest.mark.parametrize(
    "detector, segmenter, weights",
    [
        ("mini", "mini", "checkpoint"),
        ("mm-grounding-dino:base", "sam2:tiny", "random"),
        ("llmdet:tiny", "sam2:large", "random"),
    ],
)
def test_models_without_a_usual_path_are_asked_piece_by_piece(capsys, detector, segmenter, weights):
    report = bench(capsys, detector, segmenter, "--tiny")
    assert report["weights"] == {"detector": weights, "segmenter": weights}
    assert "one phrase at a time" in report["reference"]["detector"]
    assert "one box at a time" in report["reference"]["segmenter"]
    assert report["parity"]["mask_iou_min"] > 0.99


def test_sam_hq_is_compared_with_its_masks_as_they_were_published(capsys):
    report = bench(capsys, "owlvit:base-32", "sam-hq:vit-b", "--tiny", "--stages", "segment")
    assert "SamHQModel, mended" in report["reference"]["segmenter"]
    assert report["parity"]["mask_iou_min"] > 0.99
    assert report["parity"]["logit_max_difference"] < 1e-4


@pytest.mark.parametrize(
    "part, stages, end",
    [
        ("detect", ["detect"], "detect"),
        ("segment", ["encode", "decode", "second_query", "segment"], "segment"),
        ("decode", ["decode"], "decode"),
    ],
)
def test_one_part_can_be_measured_alone(capsys, part, stages, end):
    report = bench(capsys, "owlvit:base-32", "sam:vit-b", "--tiny", "--stages", part)
    assert list(report["stages"]) == list(report["milliseconds"]) == stages
    assert report["speedup"] == report["stages"][end]
    assert ("detections" in report["parity"]) == (part == "detect")
    assert ("mask_iou_min" in report["parity"]) == (part != "detect")


def test_each_step_is_told_on_standard_error(capsys):
    words = ["bench", "--detector", "fake", "--segmenter", "fake", "--size", "96x64"]
    assert main([*words, "--rounds", "2", "--json"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    for step in ("warm-up, ours", "warm-up, reference", "round 1 of 2, ours", "round 2 of 2, ref"):
        assert f"{step}" in shown.err


def interrupting(times: int) -> type[FakeDetector]:
    """A detector that is interrupted when it is asked once more than this many times."""

    class Interrupted(FakeDetector):
        left = times

        def detect(self, images, queries):
            type(self).left -= 1
            if type(self).left < 0:
                raise KeyboardInterrupt
            return super().detect(images, queries)

    return Interrupted


def test_interrupted_it_reports_the_rounds_that_were_done(capsys):
    words = ["bench", "--detector", "tired", "--segmenter", "fake", "--size", "96x64"]
    words += ["--phrases", "1", "--json"]
    tired = interrupting(2 * (1 + 2) + 1)  # both paths: a warm-up, two rounds, and half of a third
    register_detector("tired", lambda device: tired(), replace=True)
    assert main([*words, "--rounds", "5"]) == 130
    report = json.loads(capsys.readouterr().out)
    assert report["rounds"] == 2
    assert report["work"]["rounds"] == 5
    assert report["speedup"] > 0

    tired = interrupting(1)
    assert main([*words, "--rounds", "5"]) == 130  # too early for a report
    assert capsys.readouterr().out == ""


class Settable:
    """Fakes that can be set to a precision."""

    precision = "exact"


class SettableDetector(Settable, FakeDetector):
    pass


class SettableSegmenter(Settable, FakeSegmenter):
    pass


def test_the_precision_is_set_where_there_is_one(capsys):
    register_detector("settable", lambda device: SettableDetector(), replace=True)
    register_segmenter("settable", lambda device: SettableSegmenter(), replace=True)
    report = bench(capsys, "settable", "fake", "--precision", "fast")
    assert report["applied_precision"] == {"detector": "fast", "segmenter": None}
    assert report["applied_engine"] == {"detector": None, "segmenter": None}
    report = bench(capsys, "fake", "settable")
    assert report["applied_precision"] == {"detector": None, "segmenter": "exact"}
    assert report["parity"]["mask_iou_min"] == 1


def test_a_table_is_printed_and_says_what_is_compared(capsys, tmp_path):
    photo = tmp_path / "photo.png"
    PIL.Image.fromarray(np.zeros((30, 50, 3), np.uint8)).save(photo)
    words = ["bench", "--detector", "fake", "--segmenter", "sam:vit-b", "--tiny", "--rounds", "1"]
    assert main([*words, "--image", str(photo), "--boxes", "2"]) == 0
    shown = capsys.readouterr().out
    assert "random weights of a tiny model" in shown
    assert "SamModel" in shown
    assert all(f"\n{stage.replace('_', ' ')}  " in shown for stage in STAGES)
    assert "peak memory, ours" in shown
    assert "mask iou min: 1" in shown


def test_what_cannot_be_measured_is_refused(capsys):
    assert main(["bench", "--rounds", "0"]) == 2
    assert main(["bench", "--detector", "owlv2:base", "--offline"]) == 2  # no weights are there
    assert main(["bench", "--detector", "sam3", "--random-weights", "--offline"]) == 2
    assert "no random weights can be made" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bench", "--size", "large"])


def test_random_models_are_ones_of_the_catalog():
    for kind, builders in BUILDERS.items():
        assert all(lookup(name, kind).name == name for name in builders)
        left_out = {info.name for info in catalog.models(kind)} - set(builders)
        assert left_out < {"mini", "omdet-turbo:tiny", "sam3", "edgetam", "sam3-tracker"}


@pytest.mark.parametrize(
    "kind, name, more",
    [
        ("detector", "mm-grounding-dino:large", 0),
        ("segmenter", "sam-hq:vit-h", 0),
        # Besides, the checkpoints have what videos need.
        *[("segmenter", f"sam2:{size}", 30) for size in ("tiny", "small", "base-plus", "large")],
    ],
)
def test_random_models_are_as_large_as_published_ones(monkeypatch, tmp_path, kind, name, more):
    made = []

    def stop(model):
        made.append(sum(parameter.numel() for parameter in model.parameters()))
        raise InterruptedError

    monkeypatch.setattr(random_models, "_randomized", stop)
    with pytest.raises(InterruptedError), torch.device("meta"):
        BUILDERS[kind][name](tmp_path, False)
    published = lookup(name, kind).megabytes
    assert 4 * made[0] / 1e6 + more == pytest.approx(published, rel=0.01)
