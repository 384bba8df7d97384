from __future__ import annotations

import json
import shutil

import numpy as np
import PIL.Image
import pytest
import torch
from tiny_detectors import SIZES, assert_equal_results, assert_same, picture, save_omdet_turbo
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor
from transformers.utils.import_utils import BACKENDS_MAPPING

from grounding_sdk import Image, Query
from grounding_sdk.errors import MissingExtraError
from grounding_sdk.models.detectors.omdet_turbo import OmDetTurboDetector
from grounding_sdk.models.ports import Detector


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return save_omdet_turbo(tmp_path_factory.mktemp("omdet"))


@pytest.fixture(scope="module")
def detector(directory):
    return OmDetTurboDetector.load(directory, name="tiny")


@pytest.fixture(scope="module")
def reference(directory):
    """The result of the documented path, and raw boxes (M, 4) and scores (M, K)."""
    processor = AutoProcessor.from_pretrained(directory)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(directory).eval()

    def run(image: Image, texts: list[str]):
        picture = PIL.Image.fromarray(image.pixels)
        inputs = processor(images=picture, text=[texts], return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        [result] = processor.post_process_grounded_object_detection(
            outputs, threshold=0.0, nms_threshold=1.0, target_sizes=[image.size]
        )
        x, y, w, h = outputs.decoder_coord_logits[0].unbind(1)
        boxes = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=1).numpy()
        boxes *= np.array([image.width, image.height] * 2)
        return result, boxes, outputs.decoder_class_logits[0].sigmoid().numpy()

    return run


def everything(*texts: str) -> Query:
    return Query.of(texts).with_threshold(0.0)


@pytest.mark.parametrize("size", SIZES)
def test_one_phrase_agrees_with_the_reference(detector, reference, size):
    image = picture(*size)
    result, _, _ = reference(image, ["cat"])
    [found] = detector.detect([image], [everything("cat")])
    assert_same(found, result["boxes"], result["scores"][:, None], size)


@pytest.mark.parametrize("size", SIZES)
def test_several_phrases_agree_with_the_reference(detector, reference, size):
    texts = ["dog", "a red car", "cat"]
    image = picture(*size)
    _, boxes, scores = reference(image, texts)
    [found] = detector.detect([image], [everything(*texts)])
    assert_same(found, boxes, scores, size)


def test_a_batch_gives_what_each_image_gives_alone(detector):
    images = [
        picture(*size, seed) for seed, size in enumerate([(48, 64), (97, 41), (7, 3), (9, 9)])
    ]
    queries = [
        everything(*texts)
        for texts in (["cat"], ["dog", "a red car", "tree", "lamp"], ["q"], ["sky"])
    ]
    batch = detector.detect(images, queries)
    for image, query, found in zip(images, queries, batch, strict=True):
        assert_equal_results(found, detector.detect([image], [query])[0])


def test_long_task_is_split_and_the_image_encoded_once(detector, reference):
    texts = [f"thing number {index}" for index in range(20)]
    image = picture(48, 64)
    encoded = []
    hook = detector._model.vision_backbone.register_forward_hook(lambda *_: encoded.append(1))
    [found] = detector.detect([image], [everything(*texts)])
    hook.remove()
    assert len(encoded) == 1

    boxes, rows = [], []
    for phrases in detector._tasks(everything(*texts)):
        part = [texts[index] for index in phrases]
        task = detector._saved.tokenizer(f"Detect {', '.join(part)}.")["input_ids"]
        assert len(task) <= 77
        _, part_boxes, part_scores = reference(image, part)
        wide = np.zeros((len(part_boxes), len(texts)), np.float32)
        wide[:, phrases] = part_scores
        boxes.append(part_boxes)
        rows.append(wide)
    assert len(rows) > 2
    assert_same(found, np.concatenate(boxes), np.concatenate(rows), image.size)
    assert found["phrase"].tolist() == [texts[i] for i in found["phrase_id"]]


def test_a_vocabulary_as_large_as_that_of_lvis(directory):
    detector = OmDetTurboDetector.load(directory, name="tiny")
    words = [f"car {index}" for index in range(1203)]
    query = everything(*words)
    tasks, encoded, texts = detector._tasks(query), [], []
    model = detector._model
    model.vision_backbone.register_forward_hook(lambda *_: encoded.append(1))
    model.language_backbone.register_forward_hook(
        lambda _, given, __: texts.append(tuple(given[0].shape))
    )
    [found] = detector.detect([picture(48, 64)], [query])
    assert len(encoded) == 1
    assert [index for task in tasks for index in task] == list(range(1203))
    assert all(rows <= max(map(len, tasks)) and tokens == 77 for rows, tokens in texts)
    assert sum(rows for rows, _ in texts) == len(words) + len(tasks)
    assert found["phrase_scores"].shape == (len(found), 1203)
    assert (found.class_id == found["phrase_id"]).all()
    assert found["class_name"].tolist() == [words[index] for index in found.class_id]

    first = tasks[1]  # a task gives what it gives alone
    [alone] = detector.detect([picture(48, 64)], [everything(*(words[index] for index in first))])
    of_it = found[np.isin(found["phrase_id"], first)]
    np.testing.assert_allclose(of_it.confidence, alone.confidence, rtol=1e-4)
    np.testing.assert_allclose(
        of_it["phrase_scores"][:, first], alone["phrase_scores"], rtol=1e-4, atol=1e-5
    )


def test_tasks_name_no_more_phrases_than_is_said(detector, monkeypatch):
    monkeypatch.setattr(detector, "phrases_per_pass", 2)
    assert detector._tasks(everything("dog", "cat", "red", "car", "a")) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("phrase", ["x" * 1000, "狗", "dog, cat", "<|endoftext|> dog", "🐶 1"])
def test_any_phrase_is_taken(detector, phrase):
    [found] = detector.detect([picture(9, 9)], [everything(phrase, "dog")])
    assert set(found["phrase"]) <= {phrase, "dog"}
    assert np.isfinite(found["phrase_scores"]).all()


def test_without_timm_the_error_says_what_to_install(directory, tmp_path, monkeypatch):
    copy = shutil.copytree(directory, tmp_path / "with_timm")
    config = json.loads((copy / "config.json").read_text())
    config["backbone_config"] = {
        "model_type": "timm_backbone",
        "backbone": "swin_tiny",
        "out_indices": [1],
    }
    (copy / "config.json").write_text(json.dumps(config))
    monkeypatch.setitem(BACKENDS_MAPPING, "timm", (lambda: False, "{0} needs timm"))
    with pytest.raises(MissingExtraError, match=r"pip install 'grounding_sdk\[timm\]'"):
        OmDetTurboDetector.load(copy, name="x")


def test_fits_the_port(detector):
    assert isinstance(detector, Detector)
    assert (detector.name, detector.default_threshold) == ("tiny", 0.3)
    assert detector.detect([], []) == []
