from __future__ import annotations

import gc
import threading
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_segmenters import boxes_in, picture, save_hf

from grounding_sdk import (
    ConfigError,
    Detect,
    FakeDetector,
    FakeSegmenter,
    Grounding,
    Pipeline,
    Segment,
    load_segmenter,
)
from grounding_sdk.models.cache import EmbeddingCache, open_cache, shared_cache, tensor_bytes
from grounding_sdk.models.cache_disk import pack_bytes, unpack_bytes
from grounding_sdk.models.ports import MaskPrediction


class CountingSegmenter:
    """Embeds a picture as 1000 bytes and counts."""

    name = "counting"

    def __init__(self, weights_id=None):
        self.encoded = []
        self.precision = "exact"
        if weights_id:
            self.weights_id = weights_id

    def encode(self, images):
        self.encoded += [int(image.pixels[0, 0, 0]) for image in images]
        return [
            {"size": image.size, "features": np.full(250, image.pixels[0, 0, 0], np.float32)}
            for image in images
        ]

    def decode(self, embedding, boxes=None, **prompts) -> MaskPrediction:
        return FakeSegmenter().decode(embedding["size"], boxes, **prompts)


def gray(value):
    return Grounding.ask(np.full((8, 12, 3), value, np.uint8), "dog").image


def values(embeddings):
    return [int(embedding["features"][0]) for embedding in embeddings]


def test_a_second_query_on_a_picture_runs_no_encoder():
    segmenter, cache = CountingSegmenter(), EmbeddingCache()
    pipeline = Pipeline([Detect(FakeDetector()), Segment(segmenter, cache)])
    plain = Pipeline([Detect(FakeDetector()), Segment(CountingSegmenter(), None)])
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for words in ("dog", "cat . car", "dog"):
        found, expected = pipeline(pixels.copy(), words), plain(pixels, words)
        assert found.detections == expected.detections
    assert len(segmenter.encoded) == 1
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.entries, stats.bytes) == (2, 1, 1, 1000)


def test_only_new_pictures_of_a_batch_are_encoded_and_each_once():
    segmenter, cache = CountingSegmenter(), EmbeddingCache()
    assert values(cache.encode(segmenter, [gray(1), gray(2), gray(1)])) == [1, 2, 1]
    assert values(cache.encode(segmenter, [gray(3), gray(2)])) == [3, 2]
    assert segmenter.encoded == [1, 2, 3]
    assert cache.encode(segmenter, []) == []


def test_what_was_not_used_for_longest_goes_first():
    segmenter, cache = CountingSegmenter(), EmbeddingCache(max_bytes=2500)
    for value in (1, 2, 1, 3, 1, 2):  # 3 takes the place of 2, and 2 then that of 3
        cache.encode(segmenter, [gray(value)])
    assert segmenter.encoded == [1, 2, 3, 2]
    assert (cache.stats().entries, cache.stats().bytes) == (2, 2000)


def test_what_is_too_large_is_handed_out_and_not_kept():
    segmenter, cache = CountingSegmenter(), EmbeddingCache(max_bytes=999)
    for _ in range(2):
        assert values(cache.encode(segmenter, [gray(1), gray(2)])) == [1, 2]
    assert segmenter.encoded == [1, 2, 1, 2]
    assert cache.stats().entries == 0


def test_clearing_forgets_everything():
    segmenter, cache = CountingSegmenter(), EmbeddingCache()
    cache.encode(segmenter, [gray(1)])
    cache.clear()
    assert (cache.stats().entries, cache.stats().bytes, cache.stats().misses) == (0, 0, 0)
    cache.encode(segmenter, [gray(1)])
    assert segmenter.encoded == [1, 1]


def test_models_and_precisions_are_told_apart_and_equal_weights_are_not():
    cache = EmbeddingCache()
    one, other = CountingSegmenter(), CountingSegmenter()
    cache.encode(one, [gray(1)])
    cache.encode(other, [gray(1)])
    assert (one.encoded, other.encoded) == ([1], [1])
    one.precision = "fast"
    cache.encode(one, [gray(1)])
    assert one.encoded == [1, 1]
    same, again = CountingSegmenter("abc cpu"), CountingSegmenter("abc cpu")
    cache.encode(same, [gray(1)])
    cache.encode(again, [gray(1)])
    assert (same.encoded, again.encoded) == ([1], [])


@pytest.mark.parametrize("place", [id, lambda model: 1])  # in memory: any, or all at the same
def test_a_model_that_is_gone_leaves_nothing_behind(place, monkeypatch):
    monkeypatch.setattr("grounding_sdk.models.cache.id", place, raising=False)
    cache = EmbeddingCache()
    for _ in range(3):
        cache.encode(CountingSegmenter(), [gray(1)])
        gc.collect()
    assert cache.stats().misses == 3
    assert cache.stats().entries == 1


def test_a_model_without_identity_is_not_cached():
    class Slotted:
        __slots__ = ()
        name, encode, decode = "slotted", FakeSegmenter.encode, FakeSegmenter.decode

    cache = EmbeddingCache()
    assert cache.encode(Slotted(), [gray(1)]) == [(8, 12)]
    assert cache.stats().entries == 0


class WaitingSegmenter(CountingSegmenter):
    """Encodes only when it is let."""

    def __init__(self):
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def encode(self, images):
        self.entered.set()
        assert self.go.wait(30)
        return super().encode(images)


def test_threads_that_ask_for_the_same_picture_encode_it_once():
    segmenter, cache = WaitingSegmenter(), EmbeddingCache()
    results = [None] * 8

    def ask(index):
        results[index] = values(cache.encode(segmenter, [gray(5), gray(6)]))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    assert segmenter.entered.wait(30)
    segmenter.go.set()
    for thread in threads:
        thread.join(30)
    assert results == [[5, 6]] * 8
    assert segmenter.encoded == [5, 6]
    assert cache.stats().misses == 2


def test_many_threads_and_a_small_cache_keep_count():
    segmenter, cache = CountingSegmenter(), EmbeddingCache(max_bytes=3500)
    wrong = []

    def ask(seed):
        for value in np.random.default_rng(seed).integers(0, 10, 100):
            if values(cache.encode(segmenter, [gray(value)])) != [value]:
                wrong.append(value)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stats = cache.stats()
    assert not wrong
    assert stats.hits + stats.misses == 400
    assert stats.misses == len(segmenter.encoded)
    assert (stats.entries, stats.bytes) == (3, 3000)


def test_an_error_is_raised_and_not_remembered():
    class Fussy(CountingSegmenter):
        def encode(self, images):
            if any(image.pixels[0, 0, 0] == 9 for image in images) and not self.encoded:
                self.encoded.append(-1)
                raise ZeroDivisionError("too dark")
            return super().encode(images)

    segmenter, cache = Fussy(), EmbeddingCache()
    with pytest.raises(ZeroDivisionError):
        cache.encode(segmenter, [gray(8), gray(9)])
    assert values(cache.encode(segmenter, [gray(8), gray(9)])) == [8, 9]


def test_another_threads_error_is_not_ones_own():
    class Failing(WaitingSegmenter):
        def encode(self, images):
            super().encode(images)
            if len(images) > 1:
                raise ZeroDivisionError
            return CountingSegmenter.encode(self, images)

    segmenter, cache = Failing(), EmbeddingCache()
    raised, found = [], []

    def both():
        try:
            cache.encode(segmenter, [gray(1), gray(2)])
        except ZeroDivisionError as error:
            raised.append(error)

    first = threading.Thread(target=both)
    first.start()
    assert segmenter.entered.wait(30)
    second = threading.Thread(target=lambda: found.extend(cache.encode(segmenter, [gray(2)])))
    second.start()
    segmenter.go.set()
    first.join(30)
    second.join(30)
    assert len(raised) == 1
    assert values(found) == [2]


# ---- sizes


@dataclass
class Held:
    a: object
    b: object


Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    "value, expected",
    [
        (np.zeros(10, np.float32), 40),
        (torch.zeros(4, 5), 80),
        (torch.zeros(4, 5, dtype=torch.bfloat16), 40),
        (torch.zeros(100, 5)[:1], 2000),  # a view keeps all of it alive
        (Held((torch.zeros(3),), {"k": [np.zeros(2, np.uint8)]}), 14),
        (Pair(torch.zeros(2), None), 8),
        (SimpleNamespace(hidden=torch.zeros(5)), 20),
        ((shared := torch.zeros(5), shared, shared[1:]), 20),
    ],
)
def test_the_size_is_that_of_the_tensors(value, expected):
    assert tensor_bytes(value) == expected


def test_what_holds_no_tensor_still_has_a_size():
    assert tensor_bytes((3, 4)) > 0
    assert tensor_bytes(None) > 0


def test_a_segmenter_may_tell_the_size_itself():
    class Telling(CountingSegmenter):
        def embedding_bytes(self, embedding):
            return 7

    cache = EmbeddingCache()
    cache.encode(Telling(), [gray(1)])
    assert cache.stats().bytes == 7


# ---- on disk


def test_another_process_finds_what_one_kept(tmp_path):
    one, other = CountingSegmenter("abc cpu"), CountingSegmenter("abc cpu")
    EmbeddingCache(folder=tmp_path).encode(one, [gray(1)])
    cache = EmbeddingCache(folder=tmp_path)
    assert values(cache.encode(other, [gray(1), gray(2)])) == [1, 2]
    assert values(cache.encode(other, [gray(1)])) == [1]
    assert other.encoded == [2]
    stats = cache.stats()
    assert (stats.hits, stats.disk_hits, stats.misses) == (1, 1, 1)
    assert stats.disk_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    other.precision = "fast"
    cache.encode(other, [gray(1)])
    assert other.encoded == [2, 1]
    cache.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "noise", "structure"])
def test_broken_files_are_dropped_and_made_again(tmp_path, damage):
    segmenter = CountingSegmenter("abc cpu")
    EmbeddingCache(folder=tmp_path).encode(segmenter, [gray(1)])
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    path.write_bytes(
        {
            "cut": good[:-10],
            "bit": good[:-1] + bytes([good[-1] ^ 1]),
            "empty": b"",
            "noise": b"\xff" * 500,
            "structure": good.replace(b"size", b"sise"),
        }[damage]
    )
    assert values(EmbeddingCache(folder=tmp_path).encode(segmenter, [gray(1)])) == [1]
    assert segmenter.encoded == [1, 1]
    EmbeddingCache(folder=tmp_path).encode(segmenter, [gray(1)])
    assert segmenter.encoded == [1, 1]  # the new file is good


def test_the_folder_is_bounded_and_leaves_other_files_alone(tmp_path):
    (tmp_path / "notes.safetensors").write_bytes(b"mine")
    segmenter = CountingSegmenter("abc cpu")
    cache = EmbeddingCache(0, tmp_path, max_disk_bytes=4000)
    for value in range(6):
        cache.encode(segmenter, [gray(value)])
    assert 1000 < cache.stats().disk_bytes <= 4000
    cache.encode(segmenter, [gray(5)])
    assert segmenter.encoded == [0, 1, 2, 3, 4, 5]
    cache.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.safetensors"]


def test_unknown_types_and_unknown_models_stay_in_memory(tmp_path):
    class Strange(CountingSegmenter):
        def encode(self, images):
            return [Held(embedding, 0) for embedding in super().encode(images)]

    for segmenter in (Strange("abc cpu"), CountingSegmenter()):
        cache = EmbeddingCache(folder=tmp_path)
        cache.encode(segmenter, [gray(1)])
        cache.encode(segmenter, [gray(1)])
        assert segmenter.encoded == [1]
    assert list(tmp_path.iterdir()) == []


def test_a_segmenter_may_pack_its_own_types(tmp_path):
    class Packing(CountingSegmenter):
        def encode(self, images):
            return [Held(embedding, "x") for embedding in super().encode(images)]

        def pack(self, embedding):
            return [embedding.a, embedding.b]

        def unpack(self, packed):
            return Held(*packed)

    segmenter = Packing("abc cpu")
    EmbeddingCache(folder=tmp_path).encode(segmenter, [gray(1)])
    (found,) = EmbeddingCache(folder=tmp_path).encode(segmenter, [gray(1)])
    assert segmenter.encoded == [1]
    assert (values([found.a]), found.b) == ([1], "x")


def test_a_folder_that_cannot_be_written_costs_no_result(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = EmbeddingCache(folder=tmp_path / "file")
    assert values(cache.encode(CountingSegmenter("abc cpu"), [gray(1)])) == [1]


def test_plain_values_and_tensors_of_every_type_come_back():
    value = {
        "a": [torch.arange(6).reshape(2, 3), torch.zeros(0, 4), torch.tensor(True)],
        "b": (torch.randn(3, dtype=torch.bfloat16), None, 1.5, "x", -3, False),
        "c": torch.randn(4, 5).T,
    }
    again = unpack_bytes(pack_bytes(value))
    for old, new in zip([*value["a"], value["c"]], [*again["a"], again["c"]], strict=True):
        assert torch.equal(old, new)
        assert old.dtype == new.dtype
    assert torch.equal(value["b"][0], again["b"][0])
    assert value["b"][1:] == again["b"][1:]


# ---- with models


@pytest.mark.parametrize("model_type", ["sam", "sam2"])
def test_results_are_the_same_with_and_without_and_from_disk(tmp_path, model_type):
    folder = save_hf(model_type, tmp_path / "model")
    image = picture(50, 70)
    boxes = boxes_in(image, 3)

    def decoded(segmenter, cache):
        (embedding,) = cache.encode(segmenter, [image]) if cache else segmenter.encode([image])
        return segmenter.decode(embedding, boxes)

    one, other = (load_segmenter(folder, device="cpu") for _ in range(2))
    expected = decoded(one, None)
    cache = EmbeddingCache(folder=tmp_path / "kept")
    fresh = EmbeddingCache(folder=tmp_path / "kept")
    for found in (decoded(one, cache), decoded(other, cache), decoded(other, fresh)):
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.logits, expected.logits)
    assert (cache.stats().hits, cache.stats().misses) == (1, 1)
    assert (fresh.stats().disk_hits, fresh.stats().misses) == (1, 0)


def test_other_weights_in_the_same_place_are_another_model(tmp_path):
    folder = save_hf("sam", tmp_path / "model")
    before = load_segmenter(folder, device="cpu").weights_id
    assert load_segmenter(folder, device="cpu").weights_id == before
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert load_segmenter(folder, device="cpu").weights_id != before


# ---- the stage


def test_pipelines_share_the_cache_in_memory():
    assert open_cache("memory") is shared_cache()
    segmenter = CountingSegmenter()
    for _ in range(2):
        Pipeline([Detect(FakeDetector()), Segment(segmenter)])(np.full((9, 9, 3), 77), "dog")
    assert segmenter.encoded == [77]


def test_a_stage_is_saved_with_the_name_of_its_cache(tmp_path):
    for cache, expected in (("memory", None), (None, None), (tmp_path / "kept", tmp_path / "kept")):
        pipeline = Pipeline([Segment(FakeSegmenter(), cache)], given=("xyxy",))
        pipeline.save(tmp_path / "pipeline.yaml")
        again = Pipeline.load(tmp_path / "pipeline.yaml")
        assert again.to_config() == pipeline.to_config()
        stage = pipeline.to_config()["stages"][0]
        assert ("cache" in stage) == (cache != "memory")
        assert stage.get("cache") == (str(expected) if expected else None)


@pytest.mark.parametrize("make", [lambda: EmbeddingCache(-1), lambda: Segment("fake", cache=3)])
def test_caches_that_cannot_be_are_refused(make):
    with pytest.raises(ConfigError):
        make()
