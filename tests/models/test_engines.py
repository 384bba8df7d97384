from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from grounding_sdk import (
    ConfigError,
    Image,
    MissingExtraError,
    Query,
    load_detector,
    load_segmenter,
)
from grounding_sdk.benchmark.random_models import save_random

rng = np.random.default_rng(0)
PHOTO = Image(rng.integers(0, 256, (48, 64, 3), np.uint8))
BOXES = np.float32([[4, 4, 40, 30], [10, 12, 60, 44]])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def openvino():
    return pytest.importorskip("openvino")


@pytest.mark.parametrize("name", ["sam:vit-b", "segment-anything:vit-b"])
def test_sam_gives_the_same_masks_by_another_engine(openvino, tmp_path, name):
    path = save_random(name, "segmenter", tmp_path / "model", tiny=True)
    segmenter = load_segmenter(path, device="cpu")
    expected = segmenter.decode(segmenter.encode([PHOTO])[0], BOXES)
    segmenter.engine = "openvino"
    assert segmenter.engine == "openvino"
    (one,) = segmenter.encode([PHOTO])
    found = segmenter.decode(one, BOXES)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
    again = segmenter.encode([PHOTO, PHOTO])[1]
    assert torch.equal(again.features[0], one.features[0])
    segmenter.engine = "torch"
    back = segmenter.decode(segmenter.encode([PHOTO])[0], BOXES)
    np.testing.assert_array_equal(back.logits, expected.logits)


@pytest.mark.parametrize("name", ["owlv2:base", "owlvit:base-32"])
def test_owl_gives_the_same_boxes_by_another_engine(openvino, tmp_path, name):
    path = save_random(name, "detector", tmp_path / "model", tiny=True)
    detector = load_detector(path, device="cpu")
    query = Query.of("cat . dog")
    detector.default_threshold = 0.0
    (expected,) = detector.detect([PHOTO], [query])
    detector.engine = "openvino"
    (found,) = detector.detect([PHOTO], [query])
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    detector.engine = "torch"
    (back,) = detector.detect([PHOTO], [query])
    np.testing.assert_array_equal(back.xyxy, expected.xyxy)


def test_an_engine_that_does_not_exist_is_refused(tmp_path):
    path = save_random("sam:vit-b", "segmenter", tmp_path / "model", tiny=True)
    segmenter = load_segmenter(path, device="cpu")
    with pytest.raises(ConfigError, match="'torch' or 'openvino'"):
        segmenter.engine = "abacus"
    assert segmenter.engine == "torch"


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    path = save_random("sam:vit-b", "segmenter", tmp_path / "model", tiny=True)
    segmenter = load_segmenter(path, device="cpu")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="openvino"):
        segmenter.engine = "openvino"
    assert segmenter.engine == "torch"
