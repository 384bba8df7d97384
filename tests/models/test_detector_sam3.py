from __future__ import annotations

import json
import shutil

import numpy as np
import PIL.Image
import pytest
import supervision as sv
import torch
from safetensors.torch import load_file, save_file
from tiny_detectors import SIZES, assert_equal_results, picture, save_sam3
from transformers import AutoProcessor, Sam3Model

from grounding_sdk import Image, Query
from grounding_sdk.models.detectors.sam3 import Sam3Detector
from grounding_sdk.models.ports import Detector

TEXTS = ["dog", "a red car", "cat"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return save_sam3(tmp_path_factory.mktemp("sam3"))


@pytest.fixture(scope="module")
def detector(directory):
    return Sam3Detector.load(directory, name="tiny")


@pytest.fixture(scope="module")
def reference(directory):
    """Boxes, scores and dense masks of one phrase, by the documented path."""
    processor = AutoProcessor.from_pretrained(directory)
    model = Sam3Model.from_pretrained(directory).eval()

    def run(image: Image, text: str):
        picture = PIL.Image.fromarray(image.pixels)
        inputs = processor(images=picture, text=text, return_tensors="pt")
        inputs.pop("original_sizes")
        with torch.no_grad():
            outputs = model(**inputs)
        [result] = processor.post_process_instance_segmentation(
            outputs, threshold=0.0, target_sizes=[image.size]
        )
        return {name: value.numpy() for name, value in result.items()}

    return run


def everything(*texts: str) -> Query:
    return Query.of(texts).with_threshold(0.0)


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_the_reference(detector, reference, size):
    image = picture(*size)
    height, width = size
    [found] = detector.detect([image], [everything(*TEXTS)])
    assert isinstance(found.mask, sv.CompactMask)
    total = 0
    for index, text in enumerate(TEXTS):
        result = reference(image, text)
        order = np.argsort(-result["scores"], kind="stable")
        boxes = result["boxes"][order].clip(0, [width, height, width, height])
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        ours = found[found["phrase_id"] == index]
        np.testing.assert_allclose(ours.xyxy, boxes[inside], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(ours.confidence, result["scores"][order][inside], atol=1e-4)
        np.testing.assert_array_equal(ours["phrase_scores"][:, index], ours.confidence)
        np.testing.assert_array_equal(
            ours.mask.to_dense(), result["masks"][order][inside].astype(bool)
        )
        total += len(ours)
    assert total == len(found)


def test_a_batch_gives_what_each_image_gives_alone(detector):
    images = [
        picture(*size, seed) for seed, size in enumerate([(48, 64), (97, 41), (7, 3), (9, 9)])
    ]
    queries = [everything(*texts) for texts in (["cat"], TEXTS, ["sky", "cat"], ["dog"])]
    batch = detector.detect(images, queries)
    for image, query, found in zip(images, queries, batch, strict=True):
        [alone] = detector.detect([image], [query])
        assert_equal_results(found, alone)
        np.testing.assert_array_equal(found.mask.to_dense(), alone.mask.to_dense())


def test_the_image_is_encoded_once_for_all_phrases(detector):
    encoded = []
    hook = detector._model.vision_encoder.backbone.register_forward_hook(
        lambda *_: encoded.append(1)
    )
    detector.detect([picture(48, 64)], [everything(*TEXTS)])
    hook.remove()
    assert len(encoded) == 1


@pytest.mark.parametrize("per_pass", [2, 3, 100])
def test_how_many_phrases_are_decoded_at_a_time_changes_nothing(detector, monkeypatch, per_pass):
    query = everything(*TEXTS, "a tree", "lamp")
    image = picture(48, 64)
    [one_by_one] = detector.detect([image], [query])
    monkeypatch.setattr(detector, "phrases_per_pass", per_pass)
    [found] = detector.detect([image], [query])
    assert_equal_results(found, one_by_one)
    np.testing.assert_array_equal(found.mask.to_dense(), one_by_one.mask.to_dense())


def test_a_vocabulary_as_large_as_that_of_lvis(directory):
    detector = Sam3Detector.load(directory, name="tiny")
    detector.phrases_per_pass = 100
    words = [f"thing {index}" for index in range(1203)]
    encoded, texts, passes = [], [], []
    model = detector._model
    model.vision_encoder.backbone.register_forward_hook(lambda *_: encoded.append(1))
    model.text_encoder.register_forward_hook(lambda _, __, out: texts.append(len(out[0])))
    model.detr_decoder.register_forward_hook(
        lambda _, __, given, ___: passes.append(len(given["text_features"])), with_kwargs=True
    )
    image = picture(9, 9)
    [everywhere] = detector.detect([image], [everything(*words[:100])])
    bound = float(np.sort(everywhere.confidence)[-20])
    [found] = detector.detect([image], [Query.of(words).with_threshold(bound)])
    assert len(encoded) == 2  # once in each call
    assert sum(texts) == 1203
    assert passes == [100] * 13 + [3]
    assert len(found) >= 20
    assert found["phrase_scores"].shape == (len(found), 1203)
    assert (found.class_id == found["phrase_id"]).all()
    assert found["class_name"].tolist() == [words[index] for index in found.class_id]
    best = words[int(found.class_id[0])]
    [alone] = detector.detect([image], [everything(best)])
    np.testing.assert_allclose(found.confidence[0], alone.confidence[0], rtol=1e-4)


def test_masks_are_made_only_of_what_is_kept_and_nothing_found_has_every_column(detector):
    [nothing] = detector.detect([picture(48, 64)], [Query.of(TEXTS).with_threshold(1.0)])
    assert len(nothing) == 0
    assert nothing.mask.shape == (0, 48, 64)
    assert nothing["phrase_scores"].shape == (0, 3)


def test_large_pictures_cost_no_dense_masks(detector):
    [found] = detector.detect([picture(1200, 1600)], [everything(*TEXTS)])
    assert found.mask.shape == (len(found), 1200, 1600)
    assert isinstance(found.mask, sv.CompactMask)


def test_the_published_layout_of_the_video_model_is_read(directory, detector, tmp_path):
    copy = shutil.copytree(directory, tmp_path / "video")
    config = json.loads((copy / "config.json").read_text())
    config = {"model_type": "sam3_video", "detector_config": config}
    (copy / "config.json").write_text(json.dumps(config))
    weights = load_file(copy / "model.safetensors")
    renamed = {f"detector_model.{name}": value for name, value in weights.items()}
    renamed["tracker_model.unused"] = torch.zeros(1)
    save_file(renamed, copy / "model.safetensors", metadata={"format": "pt"})
    video = Sam3Detector.load(copy, name="video")
    image = picture(48, 64)
    assert_equal_results(
        video.detect([image], [everything(*TEXTS)])[0],
        detector.detect([image], [everything(*TEXTS)])[0],
    )


@pytest.mark.parametrize("phrase", ["x" * 1000, "狗", "dog, cat", "<|endoftext|> dog", "🐶 1"])
def test_any_phrase_is_taken(detector, phrase):
    [found] = detector.detect([picture(9, 9)], [everything(phrase)])
    assert set(found["phrase"]) <= {phrase}


def test_fits_the_port(detector):
    assert isinstance(detector, Detector)
    assert (detector.name, detector.default_threshold) == ("tiny", 0.5)
    assert detector.detect([], []) == []
