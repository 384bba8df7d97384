from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_threads import one_thread  # noqa: F401

from grounding_sdk import (
    ConfigError,
    Image,
    MissingExtraError,
    Query,
    load_detector,
    load_segmenter,
)
from grounding_sdk.benchmark.random_models import save_random
from grounding_sdk.models import engines
from grounding_sdk.models.engines import installed_engines
from grounding_sdk.models.mini.network import Regions
from grounding_sdk.models.mini.predictor import MiniDetector, MiniSegmenter, Network
from grounding_sdk.pipeline import Pipeline
from grounding_sdk.stages import Detect, Segment

rng = np.random.default_rng(0)
PHOTO = Image(rng.integers(0, 256, (48, 64, 3), np.uint8))
BOXES = np.float32([[4, 4, 40, 30], [10, 12, 60, 44]])


@pytest.fixture(params=["openvino", "onnxruntime"])
def engine(request):
    if request.param not in installed_engines():
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.mark.parametrize("name", ["sam:vit-b", "segment-anything:vit-b"])
def test_sam_gives_the_same_masks_by_another_engine(engine, tmp_path, name):
    path = save_random(name, "segmenter", tmp_path / "model", tiny=True)
    segmenter = load_segmenter(path, device="cpu")
    expected = segmenter.decode(segmenter.encode([PHOTO])[0], BOXES)
    segmenter.engine = engine
    assert segmenter.engine == engine
    (one,) = segmenter.encode([PHOTO])
    found = segmenter.decode(one, BOXES)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
    again = segmenter.encode([PHOTO, PHOTO])[1]
    assert torch.equal(again.features[0], one.features[0])
    segmenter.engine = "torch"
    back = segmenter.decode(segmenter.encode([PHOTO])[0], BOXES)
    np.testing.assert_array_equal(back.logits, expected.logits)


@pytest.mark.parametrize("name", ["owlv2:base", "owlvit:base-32"])
def test_owl_gives_the_same_boxes_by_another_engine(engine, tmp_path, name):
    path = save_random(name, "detector", tmp_path / "model", tiny=True)
    detector = load_detector(path, device="cpu")
    query = Query.of("cat . dog")
    detector.default_threshold = 0.0
    (expected,) = detector.detect([PHOTO], [query])
    detector.engine = engine
    (found,) = detector.detect([PHOTO], [query])
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    detector.engine = "torch"
    (back,) = detector.detect([PHOTO], [query])
    np.testing.assert_array_equal(back.xyxy, expected.xyxy)


@pytest.fixture(scope="module")
def network():
    """Mini's, of its own, looking at small pictures: other tests share the usual one."""
    network = Network(Path(__file__).parents[2] / "weights" / "mini", "cpu")
    network.side = 192
    return network


def drawn(height, width):
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, 0 * x + 90], -1).astype(np.uint8)
    pixels[np.hypot(x - width / 2, y - height / 2) < height / 4] = (250, 140, 20)
    return Image(pixels)


@pytest.mark.parametrize(
    ("engine", "size"),
    [("openvino", (120, 180)), ("openvino", (180, 60)), ("onnxruntime", (120, 180))],
    indirect=["engine"],
)
def test_mini_gives_the_same_scores_and_masks_by_another_engine(engine, network, size):
    detector, segmenter = MiniDetector(network), MiniSegmenter(network)
    query, image = Query.of("orange . ball . cat"), drawn(*size)
    boxes = np.float32([[10, 10, 50, 50], [0, 0, size[1], size[0]]])

    def run():
        (encoding,) = segmenter.encode([image])
        names, _, _ = network.model.detector.compare(
            Regions(*encoding.regions), network.phrases(query.texts)
        )
        return names, *detector.score(encoding, query), segmenter.decode(encoding, boxes)

    expected = run()
    detector.engine = engine
    try:
        assert segmenter.engine == engine, "both share what the network runs on"
        names, places, scores, masks = run()
    finally:
        segmenter.engine = "torch"
    torch.testing.assert_close(names, expected[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(places, expected[1], atol=1e-2, rtol=0)
    torch.testing.assert_close(scores, expected[2], atol=1e-4, rtol=0)
    np.testing.assert_allclose(masks.logits, expected[3].logits, atol=1e-3)
    assert torch.equal(run()[2], expected[2])


@pytest.mark.parametrize("engine", ["openvino"], indirect=True)
def test_a_stream_by_another_engine_gives_what_single_pictures_give(engine, network):
    detector, segmenter = MiniDetector(network), MiniSegmenter(network)
    pipeline = Pipeline([Detect(detector, 0.05), Segment(segmenter, cache=None)])
    pictures = [drawn(120, 180 + i) for i in range(6)]
    detector.engine = engine
    try:
        expected = [pipeline(picture, "ball . cat") for picture in pictures]
        network.encodings.clear()
        found = list(pipeline.stream(pictures, "ball . cat", batch_size=2, read_ahead=4))
    finally:
        detector.engine = "torch"
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.detections.xyxy, other.detections.xyxy, atol=1e-2)


@pytest.mark.parametrize("fast", ["torch", "openvino"])
def test_the_fastest_engine_is_taken_and_named(monkeypatch, tmp_path, fast):
    if "openvino" not in installed_engines():
        pytest.skip("openvino is not installed")
    path = save_random("sam:vit-b", "segmenter", tmp_path / "model", tiny=True)
    segmenter = load_segmenter(path, device="cpu")
    tried = []

    def measured(trials):
        tried.extend(trials)
        return {name: 1.0 if name == fast else 2.0 for name in trials}

    monkeypatch.setattr(engines, "milliseconds", measured)
    assert segmenter.timings == {}
    segmenter.engine = "fastest"
    assert segmenter.engine == fast
    assert tried == installed_engines() == list(segmenter.timings)
    assert len(segmenter.encode([PHOTO])) == 1


@pytest.mark.parametrize("missing", ["openvino", "onnxruntime"])
def test_the_fastest_engine_needs_none_to_be_installed(monkeypatch, tmp_path, missing):
    path = save_random("owlv2:base", "detector", tmp_path / "model", tiny=True)
    detector = load_detector(path, device="cpu")
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(engines, "_WRITERS", {})  # what is installed does not work
    detector.engine = "fastest"
    assert detector.engine == "torch"
    assert list(detector.timings) == ["torch"]


def test_engines_take_turns_and_the_middle_time_counts(monkeypatch):
    clock = iter([0.0, 1.0, 1.0, 1.5, 2.0, 12.0, 12.0, 12.25, 13.0, 15.0, 15.0, 16.0])
    monkeypatch.setattr(engines.time, "perf_counter", lambda: next(clock))
    order = []
    times = engines.milliseconds({"a": lambda: order.append("a"), "b": lambda: order.append("b")})
    assert order == ["a", "b"] * 3
    assert times == {"a": 2000.0, "b": 500.0}


def test_networks_for_the_last_shapes_are_kept():
    written = []

    def write(inputs):
        written.append(inputs[0].shape)
        return lambda: lambda x: (x + 1,)

    function = engines._Translated(write)
    for side in (1, 2, 1, *range(3, 3 + engines.SHAPES_KEPT), 1):
        assert function(torch.zeros(side))[0].shape == (side,)
    assert [shape[0] for shape in written] == [1, 2, *range(3, 3 + engines.SHAPES_KEPT), 1]


def test_an_engine_that_does_not_exist_is_refused(tmp_path):
    path = save_random("sam:vit-b", "segmenter", tmp_path / "model", tiny=True)
    segmenter = load_segmenter(path, device="cpu")
    with pytest.raises(ConfigError, match="'onnxruntime' or 'fastest'"):
        segmenter.engine = "abacus"
    assert segmenter.engine == "torch"


def test_openvino_reports_nothing_over_the_network():
    pytest.importorskip("openvino_telemetry")
    code = """
import sys, torch
from grounding_sdk.models.engines import translated
layer = torch.nn.Linear(3, 4).requires_grad_(False)
function = translated(lambda x: (layer(x),), layer, "openvino")
for count in (1, 5):
    x = torch.rand(count, 3)
    torch.testing.assert_close(function(x)[0], layer(x))
assert "openvino" in sys.modules and "openvino_telemetry" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    path = save_random("sam:vit-b", "segmenter", tmp_path / "model", tiny=True)
    segmenter = load_segmenter(path, device="cpu")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="openvino"):
        segmenter.engine = "openvino"
    assert segmenter.engine == "torch"
