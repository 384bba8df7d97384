from __future__ import annotations

import PIL.Image
import pytest
import torch
from tiny_detectors import SIZES, assert_equal_results, assert_same, picture, save_owl
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from grounding_sdk import Image, Query
from grounding_sdk.models.detectors.owl import OwlDetector
from grounding_sdk.models.ports import Detector

EVERYTHING = Query.of("dog . a red car . cat").with_threshold(0.0)


@pytest.fixture(scope="module", params=[1, 2], ids=["owlvit", "owlv2"])
def directory(request, tmp_path_factory):
    return save_owl(tmp_path_factory.mktemp("owl"), request.param)


@pytest.fixture(scope="module")
def detector(directory):
    return OwlDetector.load(directory, name="tiny")


def reference(directory, image: Image, texts: list[str]):
    """Boxes, (M, K) scores, best score and label, by the path that transformers documents."""
    processor = AutoProcessor.from_pretrained(directory)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(directory).eval()
    inputs = processor(images=PIL.Image.fromarray(image.pixels), text=[texts], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    result = processor.post_process_grounded_object_detection(
        outputs, threshold=0.0, target_sizes=[image.size], text_labels=[texts]
    )[0]
    return result, outputs.logits[0].sigmoid()


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_the_reference(directory, detector, size):
    image = picture(*size)
    result, scores = reference(directory, image, list(EVERYTHING.texts))
    [found] = detector.detect([image], [EVERYTHING])
    assert_same(found, result["boxes"], scores, size)
    torch.testing.assert_close(result["scores"], scores.max(1).values)
    assert result["text_labels"] == [EVERYTHING.texts[i] for i in scores.argmax(1)]


def test_a_batch_gives_what_each_image_gives_alone(detector):
    sizes = [(48, 64), (97, 41), (7, 3), (60, 60)]
    images = [picture(*size, seed) for seed, size in enumerate(sizes)]
    queries = [
        Query.of(texts).with_threshold(0.0)
        for texts in ("dog", "red car . dog . cat . a very long phrase", "cat . dog", "dog")
    ]
    batch = detector.detect(images, queries)
    for image, query, found in zip(images, queries, batch, strict=True):
        assert_equal_results(found, detector.detect([image], [query])[0])


def test_large_vocabulary_keeps_class_ids_and_runs_the_image_tower_once(detector, monkeypatch):
    monkeypatch.setattr("grounding_sdk.models.detectors.owl.TEXTS_AT_ONCE", 7)
    words = [f"thing {index}" for index in range(40)]
    calls = []
    hook = detector._model.base_model.vision_model.register_forward_hook(lambda *_: calls.append(1))
    [found] = detector.detect([picture(48, 64)], [Query.of(words).with_threshold(0.0)])
    hook.remove()
    assert len(calls) == 1
    assert found["phrase_scores"].shape == (len(found), 40)
    [alone] = detector.detect([picture(48, 64)], [Query.of([words[33]]).with_threshold(0.0)])
    column = sorted(found["phrase_scores"][:, 33])
    assert column == pytest.approx(sorted(alone.confidence), abs=1e-4)


def test_thresholds_and_labels(detector):
    query = Query.of({"dog": "animal", "cat": "animal", "red car": "vehicle"})
    image = picture(48, 64)
    [everything] = detector.detect([image], [query.with_threshold(0.0)])
    bound = float(everything.confidence[len(everything) // 2])
    [half] = detector.detect([image], [query.with_threshold(bound)])
    assert len(half) == (everything.confidence >= bound).sum()
    assert set(everything["class_name"]) <= {"animal", "vehicle"}
    [nothing] = detector.detect([image], [query.with_threshold(1.0)])
    assert len(nothing) == 0
    assert nothing["phrase_scores"].shape == (0, 3)


@pytest.mark.parametrize(
    "phrase",
    ["x" * 1000, "狗和猫", "naïve café №5", "<|endoftext|> dog", "a\u0301\u0302 dog", "🐶 1"],
)
def test_any_phrase_is_taken(detector, phrase):
    [found] = detector.detect([picture(9, 9)], [Query.of([phrase]).with_threshold(0.0)])
    assert set(found["phrase"]) == {phrase}


def test_a_long_panorama_takes_little_time_and_memory(detector):
    [found] = detector.detect([picture(2, 30_000)], [EVERYTHING])
    assert found["phrase_scores"].shape[1] == 3


def test_fits_the_port(detector):
    assert isinstance(detector, Detector)
    assert (detector.name, detector.default_threshold) == ("tiny", 0.1)
    assert detector.detect([], []) == []
    assert not any(p.requires_grad for p in detector._model.parameters())
