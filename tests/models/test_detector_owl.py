from __future__ import annotations

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
from tiny_detectors import SIZES, assert_equal_results, assert_same, picture, save_owl
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from grounding_sdk import (
    ConfigError,
    Image,
    Phrase,
    Query,
)
from grounding_sdk.models.detectors.owl import OwlDetector
from grounding_sdk.models.ports import Detector
from grounding_sdk.text.templates import CLIP_7

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


@pytest.mark.parametrize("per_pass", [1, 2, 7, 256])
def test_templates_are_averaged_as_the_published_evaluation_does(
    directory, detector, monkeypatch, per_pass
):
    """The logits are averaged, then the sigmoid is taken; the reference asks one at a time."""
    monkeypatch.setattr(detector, "phrases_per_pass", per_pass)
    templates = ("a photo of a {}", "{}", "itap of a {}")
    image = picture(48, 64)
    logits = []
    for template in templates:
        texts = [template.format(text) for text in EVERYTHING.texts]
        result, scores = reference(directory, image, texts)
        logits.append(scores.double().logit())
    [found] = detector.detect([image], [replace(EVERYTHING, templates=templates)])
    assert_same(found, result["boxes"], torch.stack(logits).mean(0).sigmoid(), image.size)
    assert set(found["phrase"]) <= set(EVERYTHING.texts)
    [plain] = detector.detect([image], [EVERYTHING])
    assert not np.allclose(plain["phrase_scores"], found["phrase_scores"], atol=1e-3)


def test_queries_with_and_without_templates_share_a_batch_and_a_pass_of_the_image(detector):
    image = picture(48, 64)
    queries = [EVERYTHING, replace(EVERYTHING, templates=CLIP_7), Query.of("dog")]
    calls = []
    hook = detector._model.base_model.vision_model.register_forward_hook(lambda *_: calls.append(1))
    batch = detector.detect([image] * 3, queries)
    hook.remove()
    assert len(calls) == 1
    for query, found in zip(queries, batch, strict=True):
        assert_equal_results(found, detector.detect([image], [query])[0])


def test_braces_in_a_phrase_are_no_placeholder(detector):
    query = Query((Phrase("dog {} {0}"), Phrase("{x}")), templates=("a {}",)).with_threshold(0.0)
    [found] = detector.detect([picture(9, 9)], [query])
    assert found["phrase_scores"].shape[1] == 2


@pytest.mark.parametrize("per_pass", [50, 256, 5000])
def test_a_vocabulary_as_large_as_that_of_lvis(directory, per_pass):
    words = [f"thing {index}" for index in range(1203)]
    detector = OwlDetector.load(directory, name="tiny")
    detector.phrases_per_pass = per_pass
    images, texts = [], []
    towers = detector._model.base_model
    towers.vision_model.register_forward_hook(lambda *_: images.append(1))
    towers.text_model.register_forward_hook(lambda _, given, out: texts.append(len(out[0])))
    query = Query.of(words).with_threshold(0.0)
    [found] = detector.detect([picture(48, 64)], [query])
    assert len(images) == 1
    assert sum(texts) == len(words)
    assert max(texts) <= per_pass
    assert found["phrase_scores"].shape == (len(found), len(words))
    assert (found.class_id == found["phrase_id"]).all()
    assert found["class_name"].tolist() == [words[i] for i in found.class_id]

    [alone] = detector.detect([picture(48, 64)], [Query.of([words[233]]).with_threshold(0.0)])
    column = sorted(found["phrase_scores"][:, 233])
    assert column == pytest.approx(sorted(alone.confidence), abs=1e-4)
    detector.detect([picture(48, 64)], [query])
    assert sum(texts) == len(words)  # the texts are not encoded again


def test_texts_are_remembered_up_to_a_bound(directory, monkeypatch):
    monkeypatch.setattr("grounding_sdk.models.detectors.owl.TEXTS_KEPT", 2)
    detector = OwlDetector.load(directory, name="tiny")
    [found] = detector.detect([picture(9, 9)], [EVERYTHING])
    assert detector.texts.stats().entries == 2
    assert_equal_results(
        found, OwlDetector.load(directory, name="x").detect([picture(9, 9)], [EVERYTHING])[0]
    )


@pytest.mark.parametrize("value", [0, -1, 2.5, None, True])
def test_a_pass_takes_a_whole_number_of_phrases(detector, monkeypatch, value):
    monkeypatch.setattr(detector, "phrases_per_pass", value)
    with pytest.raises(ConfigError, match="phrases_per_pass as a whole number from 1"):
        detector.detect([picture(9, 9)], [EVERYTHING])


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
