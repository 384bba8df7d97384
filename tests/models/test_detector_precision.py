"""Precision of the detectors, what they remember, and that neither it nor threads tell."""

from __future__ import annotations

import operator
import threading

import numpy as np
import pytest
import torch
from tiny_detectors import (
    assert_equal_results,
    picture,
    save_grounding_dino,
    save_omdet_turbo,
    save_owl,
    save_sam3,
)
from torch_threads import torch_threads

from grounding_sdk import ConfigError, Detect, Grounder, Grounding, Query, load_detector
from grounding_sdk.models.cache import EmbeddingCache
from grounding_sdk.models.precision import check_precision, dtype_of

EVERYTHING = Query.of("dog . a red car . cat").with_threshold(0.0)
SAVE = {
    "owlvit": lambda folder: save_owl(folder, 1),
    "owlv2": lambda folder: save_owl(folder, 2),
    "grounding-dino": save_grounding_dino,
    "mm-grounding-dino": lambda folder: save_grounding_dino(folder, mm=True),
    "omdet-turbo": save_omdet_turbo,
    "sam3": save_sam3,
}
IMAGE_ENCODERS = {
    "owlvit": "base_model.vision_model",
    "owlv2": "base_model.vision_model",
    "grounding-dino": "model.backbone.conv_encoder",
    "mm-grounding-dino": "model.backbone.conv_encoder",
    "omdet-turbo": "vision_backbone",
    "sam3": "vision_encoder.backbone",
}
REMEMBER = ["owlvit", "owlv2", "grounding-dino", "omdet-turbo", "sam3"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(family):
        if family not in made:
            made[family] = SAVE[family](tmp_path_factory.mktemp(family))
        return made[family]

    return folder


@pytest.fixture
def bfloat16(monkeypatch):
    """As if the processor multiplied it."""
    monkeypatch.setattr("grounding_sdk.models.precision.is_fast_faster", lambda device: True)


@pytest.mark.parametrize("family", SAVE)
def test_fast_is_close_and_exact_comes_back(folders, bfloat16, family):
    detector = load_detector(folders(family))
    before = {name: value.clone() for name, value in detector._model.state_dict().items()}
    results = []
    for precision in ("exact", "fast", "exact"):
        detector.precision = precision
        assert detector.precision == precision
        [found] = detector.detect([picture(48, 64)], [EVERYTHING])
        assert found.xyxy.dtype == found["phrase_scores"].dtype == np.float32
        assert len(found) > 0
        results.append(found)
    exact, fast, again = results
    np.testing.assert_array_equal(exact.xyxy, again.xyxy)
    np.testing.assert_array_equal(exact["phrase_scores"], again["phrase_scores"])
    assert abs(len(fast) - len(exact)) <= 3  # a box at the edge may lose its area
    best = [found["phrase_scores"].max(axis=0) for found in (exact, fast)]
    np.testing.assert_allclose(best[0], best[1], atol=0.1)
    assert not np.array_equal(best[0], best[1])
    after = detector._model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_what_decides_on_boxes_is_not_rounded(folders, bfloat16):
    for family in SAVE:
        detector = load_detector(folders(family), precision="fast")
        rounded = {n for n, m in detector._model.named_modules() if "forward" in vars(m)}
        linear = {n for n, m in detector._model.named_modules() if isinstance(m, torch.nn.Linear)}
        assert rounded & linear
        for part in ("bbox", "box_head", "class_head", "sampling_offsets", "attention_weights"):
            assert not any(part in name for name in rounded & linear)


@pytest.mark.parametrize("family", ["owlv2", "grounding-dino"])
def test_fast_is_exact_where_bfloat16_would_be_slower(folders, monkeypatch, family):
    monkeypatch.setattr("grounding_sdk.models.precision.is_fast_faster", lambda device: False)
    results = [
        load_detector(folders(family), precision=precision).detect([picture(48, 64)], [EVERYTHING])
        for precision in ("exact", "fast")
    ]
    np.testing.assert_array_equal(*(found["phrase_scores"] for [found] in results))


def test_precision_is_asked_for_in_the_same_way_everywhere(folders):
    folder = folders("owlvit")
    assert load_detector(folder).precision == "exact"
    assert load_detector(folder, precision="fast").precision == "fast"
    grounder = Grounder(folder, "fake", precision="fast")  # the fake has no such choice
    assert grounder.pipeline.stages[1].model.precision == "fast"
    own = load_detector(folder)
    assert Grounder(own, None, precision="fast").pipeline.stages[1].model.precision == "exact"


@pytest.mark.parametrize("detector", ["fake", "folder"])
def test_an_unknown_precision_says_which_there_are(folders, detector):
    model = folders("owlvit") if detector == "folder" else detector
    with pytest.raises(ConfigError, match="'exact' or 'fast' as precision, got 'half'"):
        load_detector(model, precision="half")


def test_types_of_precisions():
    assert dtype_of("exact", "cpu") == torch.float32
    for name in ("exact", "fast"):
        check_precision(name)
    with pytest.raises(ConfigError, match="'exact' or 'fast'"):
        check_precision("bf16")


# ---- results do not depend on threads or on what is remembered


@pytest.mark.parametrize("family", SAVE)
def test_results_do_not_depend_on_the_number_of_threads(folders, family):
    detector, results = load_detector(folders(family)), []
    images = [picture(48, 64), picture(97, 41, seed=1)]
    for threads in (1, 3):
        with torch_threads(threads):
            results.append(detector.detect(images, [EVERYTHING] * 2))
    for one, other in zip(*results, strict=True):
        assert_equal_results(one, other)


@pytest.mark.parametrize("family", REMEMBER)
def test_what_is_remembered_is_seen_and_changes_nothing(folders, family):
    detector, image = load_detector(folders(family)), picture(48, 64)
    [first] = detector.detect([image], [EVERYTHING])
    stats = detector.texts.stats()
    assert stats.misses == stats.entries > 0
    assert stats.bytes > 0
    assert stats.hits == stats.disk_hits == stats.disk_bytes == 0
    [second] = detector.detect([image], [EVERYTHING])
    assert detector.texts.stats().misses == stats.misses
    assert detector.texts.stats().hits > 0
    detector.texts.clear()
    stats = detector.texts.stats()
    assert (stats.hits, stats.misses, stats.entries, stats.bytes) == (0, 0, 0, 0)
    [third] = detector.detect([image], [EVERYTHING])
    assert detector.texts.stats().misses > 0
    for found in (second, third):
        np.testing.assert_array_equal(found["phrase_scores"], first["phrase_scores"])
        np.testing.assert_array_equal(found.xyxy, first.xyxy)


@pytest.mark.parametrize("family", SAVE)
def test_a_second_query_on_an_image_runs_no_image_encoder(folders, family, tmp_path):
    images = [picture(48, 64), picture(97, 41, seed=1)]
    seen = []

    def ask(texts, cache):
        detector = load_detector(folders(family))  # another each time: the weights count
        encoder = operator.attrgetter(IMAGE_ENCODERS[family])(detector._model)
        hook = encoder.register_forward_hook(
            lambda _, given, named, __: seen.append(len([*given, *named.values()][0])),
            with_kwargs=True,
        )
        query = Query.of(texts).with_threshold(0.0)
        results = Detect(detector, cache=cache)([Grounding.ask(im, query) for im in images])
        hook.remove()
        for result, alone in zip(results, detector.detect(images, [query] * 2), strict=True):
            assert_equal_results(result.detections, alone)
        return detector

    cache = EmbeddingCache(folder=tmp_path)
    ask("dog . cat", cache)
    assert sum(seen) == 2
    ask("red car", cache)  # from memory
    detector = ask("bird", EmbeddingCache(folder=tmp_path))  # from disk
    assert sum(seen) == 2
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.entries) == (2, 2, 2)
    # No more than what is kept: an image of a batch does not hold the others.
    assert stats.bytes == sum(tensor.nbytes for tensor in tensors(detector.encode(images)))
    ask("dog", None)
    assert sum(seen) == 4


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in tensors(part)]


@pytest.mark.parametrize("family", REMEMBER)
def test_threads_share_a_detector(folders, family):
    detector = load_detector(folders(family))
    images = [picture(48, 64, seed) for seed in range(3)]
    expected = [detector.detect([image], [EVERYTHING])[0] for image in images]
    detector.texts.clear()
    found = [None] * len(images)

    def run(index):
        [found[index]] = detector.detect([images[index]], [EVERYTHING])

    threads = [threading.Thread(target=run, args=[index]) for index in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        assert_equal_results(one, other)


def test_threads_share_a_tokenizer_whatever_they_ask_of_it(folders):
    saved = load_detector(folders("omdet-turbo"))._saved
    texts = ["dog", "a red car"]
    expected = saved.token_ids(texts), saved.padded_tokens(texts, 16)["input_ids"].tolist()
    found = []

    def run():
        for _ in range(100):
            found.append(
                (saved.token_ids(texts), saved.padded_tokens(texts, 16)["input_ids"].tolist())
            )

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 400
