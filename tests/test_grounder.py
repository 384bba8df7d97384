"""The front door, with the embedded model and with fakes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from grounding_sdk import FakeDetector, FakeSegmenter, Grounder, UnknownModelError
from grounding_sdk.models.cache import EmbeddingCache, shared_cache
from grounding_sdk.models.mini.predictor import Network
from grounding_sdk.sources import find_images

IMAGES = Path(__file__).parent.parent / "demos" / "images"


@pytest.fixture(scope="module")
def ground():
    return Grounder()


def test_finds_and_segments_things_in_real_photos_out_of_the_box(ground):
    cat = ground(IMAGES / "cat.jpg", "cat")
    assert cat.counts["cat"] >= 1
    assert cat.detections.mask.area[0] > 0.2 * 300 * 451
    cup = ground(IMAGES / "coffee.jpg", "cup")
    x1, y1, x2, y2 = cup.detections.xyxy[0]
    assert x1 < 290 < x2, "the cup's middle lies in the best box"
    assert y1 < 130 < y2


def test_many_gives_what_each_gives_alone_and_skips_what_is_no_picture(ground, tmp_path):
    for name in ("cat", "coffee"):
        PIL.Image.open(IMAGES / f"{name}.jpg").save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    failures = []
    many = list(ground.many(tmp_path, ["cat", "cup"], on_error=failures.append))
    assert [Path(r.image.source).name for r in many] == ["cat.png", "coffee.png"]
    assert len(failures) == 1
    for result in many:
        alone = ground(result.image, ["cat", "cup"])
        np.testing.assert_allclose(result.detections.xyxy, alone.detections.xyxy, atol=1e-2)
        np.testing.assert_allclose(
            result.detections["phrase_scores"], alone.detections["phrase_scores"], atol=1e-4
        )


def test_boxes_alone_and_thresholds():
    boxes = Grounder(FakeDetector({"dog": [((0, 0, 9, 9), 0.4)]}), None)
    picture = np.zeros((20, 20, 3), np.uint8)
    assert boxes(picture, "dog").detections.mask is None
    assert (
        len(Grounder(boxes.pipeline.stages[1].detector, None, threshold=0.5)(picture, "dog")) == 0
    )


def test_a_misspelt_model_is_told_at_once():
    with pytest.raises(UnknownModelError, match="owlv2"):
        Grounder(detector="owl2:base")
    with pytest.raises(UnknownModelError, match="is a segmenter"):
        Grounder(detector="sam:vit-b")


def test_stages_that_are_not_wanted_are_left_out():
    fakes = FakeDetector(), FakeSegmenter()
    names = [s.name for s in Grounder(*fakes, merge=None, refine=None).pipeline.stages]
    assert names == ["parse", "detect", "relate", "segment"]


def test_folders_patterns_and_lists_name_pictures(tmp_path):
    for name in ("b.jpg", "a.PNG", "sub/c.webp", ".hidden/d.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    expected = [str(tmp_path / name) for name in ("a.PNG", "b.jpg", "sub/c.webp")]
    assert list(find_images(tmp_path)) == expected
    assert list(find_images(str(tmp_path / "*.jpg"))) == expected[1:2]
    assert list(find_images([tmp_path / "notes.txt", tmp_path / "sub"])) == [
        str(tmp_path / "notes.txt"),
        expected[2],
    ]
    array = np.zeros((4, 4, 3), np.uint8)
    assert next(find_images([array])) is array
    assert next(find_images(array)) is array


def test_large_pictures_can_be_looked_at_in_tiles():
    ground = Grounder(FakeDetector(), FakeSegmenter(), tile=64)
    result = ground(np.zeros((100, 150, 3), np.uint8), "dog")
    assert [step.stage for step in result.trace][:3] == ["parse", "tile", "merge"]
    assert len(result) > 0


class CountingSegmenter(FakeSegmenter):
    def __init__(self):
        super().__init__()
        self.encoded = 0

    def encode(self, images):
        self.encoded += len(images)
        return super().encode(images)


def test_queries_on_a_picture_share_its_embedding_in_threads_and_streams_too():
    segmenter, cache = CountingSegmenter(), EmbeddingCache()
    ground = Grounder(FakeDetector(), segmenter, cache=cache)
    picture = np.full((20, 20, 3), 5, np.uint8)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda text: ground(picture, text), ["dog", "cat"] * 8))
    results += ground.many([picture] * 8, "dog")
    assert all(len(result.detections.mask) > 0 for result in results)
    assert segmenter.encoded == 1
    assert ground.cache is cache
    assert (cache.stats().misses, cache.stats().entries) == (1, 1)
    ground.cache.clear()
    ground(picture, "dog")
    assert segmenter.encoded == 2


def test_where_embeddings_are_kept_can_be_chosen(tmp_path):
    fakes = FakeDetector(), FakeSegmenter()
    assert Grounder(*fakes).cache is shared_cache()
    assert Grounder(*fakes, cache=None).cache is None
    assert Grounder(fakes[0], None).cache is shared_cache()
    assert Grounder(fakes[0], None, tile=64).cache is None  # tiles would leave no room for others
    assert Grounder(*fakes, cache=tmp_path).cache.name == str(tmp_path)


def test_a_second_query_runs_no_encoder_of_mini_at_all(ground, monkeypatch):
    ground(IMAGES / "cat.jpg", "cat")
    monkeypatch.setattr(Network, "encode_alike", None)
    assert ground(IMAGES / "cat.jpg", "cat . sofa").counts["cat"] >= 1
