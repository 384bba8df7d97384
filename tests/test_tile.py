from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
import pytest

from grounding_sdk import (
    ConfigError,
    Detect,
    FakeDetector,
    FakeSegmenter,
    Grounding,
    Image,
    Phrase,
    Pipeline,
    Query,
    Segment,
)
from grounding_sdk.detections import compact_masks, detections_from_scores, mask_crop
from grounding_sdk.stages import Tile
from grounding_sdk.stages.seams import merge_views
from grounding_sdk.stages.tile import shrunk, tile_windows

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@dataclass
class ColorDetector:
    """Finds what hangs together of one color, as far as the picture that it is shown goes."""

    masks: bool = False
    shown: list[tuple[int, int]] = field(default_factory=list)
    name: str = "color"
    default_threshold: float = 0.5

    def detect(self, images, queries):
        self.shown += [image.size for image in images]
        return [self._detect(*each) for each in zip(images, queries, strict=True)]

    def _detect(self, image, query):
        boxes, scores, crops = [], [], []
        for row, text in enumerate(query.texts):
            of_color = (image.pixels == COLORS[text]).all(axis=2).astype(np.uint8)
            _, parts, stats, _ = cv2.connectedComponentsWithStats(of_color)
            for index, (x, y, w, h, area) in enumerate(stats[1:], start=1):
                boxes.append([x, y, x + w, y + h])
                scores.append(np.eye(len(query))[row] * (0.6 + 0.4 * area / image.pixels.size))
                crops.append(parts[y : y + h, x : x + w] == index)
        offsets = [(int(box[0]), int(box[1])) for box in boxes]
        masks = compact_masks(crops, offsets, image.size) if self.masks else None
        boxes, scores = np.array(boxes).reshape(-1, 4), np.array(scores).reshape(-1, len(query))
        return detections_from_scores(image.size, query, boxes, scores, 0.5, masks)


def scene(seed, size=(500, 700), shapes=14, longest=230):
    """Rectangles and crosses of three colors on black, none near to another."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((*size, 3), np.uint8)
    taken = np.zeros(size, bool)
    for _ in range(10 * shapes):
        w, h = rng.integers(12, longest, 2)
        x, y = rng.integers(0, size[1] - w), rng.integers(0, size[0] - h)
        around = slice(max(0, y - 6), y + h + 6), slice(max(0, x - 6), x + w + 6)
        if taken[around].any():
            continue
        taken[around] = True
        color = COLORS[("red", "green", "blue")[rng.integers(3)]]
        pixels[y : y + h, x : x + w] = color
        if rng.random() < 0.5:  # a cross has a mask of its own
            for corner in ((slice(h // 4), slice(w // 4)), (slice(3 * h // 4, h), slice(w // 4))):
                pixels[y : y + h, x : x + w][corner] = 0
    return pixels


def as_rows(item):
    found = item.detections
    return sorted(
        (label, *map(float, box))
        for label, box in zip(found["class_name"], found.xyxy, strict=True)
    )


def assert_equal(found, other):
    """As `==`, but NaN is equal to itself."""
    assert sorted(found.data) == sorted(other.data)
    for column in found.data:
        np.testing.assert_array_equal(found[column], other[column])
    for column in ("xyxy", "confidence", "class_id"):
        np.testing.assert_array_equal(getattr(found, column), getattr(other, column))
    assert (found.mask is None) == (other.mask is None)
    if found.mask is not None:
        np.testing.assert_array_equal(found.mask.to_dense(), other.mask.to_dense())


def masks_by_row(item):
    found = item.detections
    rows = zip(found["class_name"], found.xyxy.tolist(), range(len(found)), strict=True)
    return [found.mask[[i]].to_dense()[0] for _, _, i in sorted(rows)]


@pytest.mark.parametrize("full_view", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_tiles_find_what_one_look_at_the_whole_finds(seed, full_view):
    item = Grounding.ask(scene(seed), list(COLORS))
    plain = Detect(ColorDetector(masks=True))([item])[0]
    tiled = Tile(ColorDetector(masks=True), tile=200, full_view=full_view)([item])[0]
    assert len(plain) >= 4
    if not full_view:  # a view that is not shrunk finds the same boxes; one that is, about
        assert as_rows(tiled) == as_rows(plain)
        for mask, expected in zip(masks_by_row(tiled), masks_by_row(plain), strict=True):
            np.testing.assert_array_equal(mask, expected)
    assert len(tiled) == len(plain)
    assert (np.diff(tiled.detections.confidence) <= 0).all()
    assert np.isnan(tiled.detections["mask_score"]).all()


def test_what_is_larger_than_any_tile_is_put_together_with_its_mask():
    pixels = np.zeros((300, 900, 3), np.uint8)
    pixels[20:280, 30:870] = COLORS["red"]
    pixels[100:200, 400:500] = 0  # a hole
    item = Grounding.ask(pixels, "red")
    found = Tile(ColorDetector(masks=True), tile=128, full_view=False)([item])[0].detections
    assert found.xyxy.tolist() == [[30, 20, 870, 280]]
    np.testing.assert_array_equal(found.mask.to_dense()[0], pixels[:, :, 0] > 0)
    assert found["phrase_scores"].shape == (1, 1)


def test_a_picture_no_larger_than_a_tile_is_detected_as_ever():
    pixels = np.random.default_rng(0).integers(0, 256, (100, 128, 3), np.uint8)
    query = Query((Phrase("dog"), Phrase("cat"), Phrase("toy dog", "dog", role="exclude")))
    item = Grounding.ask(pixels, query)
    tiled = Tile(FakeDetector(), tile=128)([item])[0]
    assert_equal(tiled.detections, Detect(FakeDetector())([item])[0].detections)
    detector = ColorDetector()
    Tile(detector, tile=128)([Grounding.ask(pixels, "red")])
    assert detector.shown == [(100, 128)]


def test_small_and_large_pictures_of_a_batch_keep_their_places():
    items = [Grounding.ask(scene(1), ["red"]), Grounding.ask(scene(2, (90, 120), 3, 40), ["blue"])]
    stage = Tile(ColorDetector(), tile=128)
    for together, item in zip(stage([*items, items[0]]), [*items, items[0]], strict=True):
        assert_equal(together.detections, stage([item])[0].detections)


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_results_do_not_depend_on_the_batch_size(batch_size):
    item = Grounding.ask(scene(3), list(COLORS))
    one = Tile(ColorDetector(masks=True), tile=150)([item])[0].detections
    other = Tile(ColorDetector(masks=True), tile=150, batch_size=batch_size)([item])[0].detections
    assert_equal(one, other)


def view(boxes, query=("red",), scores=None, size=(100, 300)):
    scores = np.array(scores if scores is not None else [[0.8] * len(query)] * len(boxes))
    return detections_from_scores(size, Query.of(query), np.array(boxes), scores, 0.0)


LEFT, RIGHT = (0, 0, 120, 100), (80, 0, 200, 100)


@pytest.mark.parametrize(
    "left, right, expected",
    [
        # Halves; each was cut at the other's side of the seam.
        ([[50, 10, 120, 60]], [[80, 10, 150, 60]], [[50, 10, 150, 60]]),
        # A half, and the whole of it in the other tile.
        ([[90, 10, 120, 60]], [[90, 10, 150, 60]], [[90, 10, 150, 60]]),
        # An arm that reaches into the next tile is less tall than whom it belongs to.
        ([[20, 10, 110, 90]], [[80, 40, 108, 50]], [[20, 10, 110, 90]]),
        # A whole one whose end one tile sees too early, and the piece that the other sees.
        ([[42, 10, 101, 60]], [[80, 8, 112, 58]], [[42, 10, 101, 60]]),
        # The same whole thing, seen twice.
        ([[85, 10, 110, 60]], [[86, 10, 111, 60]], [[85, 10, 110, 60]]),
        # Two that lie side by side at the seam stay two.
        (
            [[50, 10, 120, 40], [50, 50, 120, 90]],
            [[80, 10, 150, 40], [80, 50, 150, 90]],
            [[50, 10, 150, 40], [50, 50, 150, 90]],
        ),
        # A small whole one in front of a large one that is cut.
        ([[10, 0, 120, 100]], [[90, 40, 110, 60]], [[10, 0, 120, 100], [90, 40, 110, 60]]),
        # A piece with no other half is better than nothing.
        ([[60, 10, 120, 60]], [], [[60, 10, 120, 60]]),
        # One view's boxes are not compared with each other: that is the merge stage's part.
        ([[10, 10, 50, 50], [11, 10, 50, 50]], [], [[10, 10, 50, 50], [11, 10, 50, 50]]),
    ],
)
def test_seams(left, right, expected):
    found = [view(left) if left else view([], scores=[]), view(right) if right else view([])]
    merged = merge_views(found, [LEFT, RIGHT], (100, 200), seam=2)
    assert sorted(merged.xyxy.tolist()) == sorted(expected)


def test_labels_are_not_mixed_at_seams():
    both = ("red", "blue")
    left = view([[50, 10, 120, 60]], both, [[0.8, 0.1]])
    right = view([[80, 10, 150, 60]], both, [[0.1, 0.7]])
    merged = merge_views([left, right], [LEFT, RIGHT], (100, 200), seam=2)
    assert merged["class_name"].tolist() == ["red", "blue"]


def test_the_better_score_stays():
    left, right = view([[50, 10, 120, 60]], scores=[[0.6]]), view([[80, 10, 150, 60]])
    merged = merge_views([left, right], [LEFT, RIGHT], (100, 200), seam=2)
    np.testing.assert_allclose(merged["phrase_scores"], [[0.8]])


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_tiles_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    views = tile_windows((200, 300), 100, 0.3)
    found = []
    for x1, y1, x2, y2 in views:
        corners = np.sort(rng.integers(0, 101, (6, 2, 2)), axis=1) + np.array([x1, y1])
        boxes = corners.reshape(-1, 4).clip([x1, y1] * 2, [x2, y2] * 2)
        found.append(view(boxes, scores=rng.choice([0.5, 0.6, 0.7], (6, 1)), size=(200, 300)))
    merged = merge_views(found, views, (200, 300), seam=3)
    shuffled = rng.permutation(len(views))
    again = merge_views(
        [found[i] for i in shuffled], [views[i] for i in shuffled], (200, 300), seam=3
    )
    assert_equal(merged, again)


def test_excluded_phrases_compete_in_tiles_as_in_whole_pictures():
    pixels = scene(4)
    query = Query((Phrase("red"), Phrase("blue"), Phrase("green", role="exclude")))
    item = Grounding.ask(pixels, query)
    plain = Detect(ColorDetector())([item])[0]
    tiled = Tile(ColorDetector(), tile=200, full_view=False)([item])[0]
    assert as_rows(tiled) == as_rows(plain)
    assert set(tiled.detections["class_name"]) <= {"red", "blue"}
    assert tiled.detections["phrase_scores"].shape[1] == 3


def test_nothing_found_has_every_column():
    item = Grounding.ask(np.zeros((300, 400, 3), np.uint8), "red")
    found = Tile(ColorDetector(), tile=128)([item])[0].detections
    assert len(found) == 0
    assert found["phrase_scores"].shape == (0, 1)


@pytest.mark.parametrize("size", [(1, 1), (999, 40), (100, 101), (1024, 3000)])
@pytest.mark.parametrize("overlap", [0.1, 0.25, 0.75])
def test_tiles_cover_every_pixel_and_overlap_enough(size, overlap):
    covered = np.zeros(size, int)
    windows = tile_windows(size, 100, overlap)
    for x1, y1, x2, y2 in windows:
        covered[y1:y2, x1:x2] += 1
        assert (x2 - x1, y2 - y1) == (min(100, size[1]), min(100, size[0]))
    assert covered.all()
    starts = sorted({x1 for x1, *_ in windows})
    assert all(b - a <= 100 * (1 - overlap) for a, b in pairwise(starts))


def test_masks_of_the_shrunk_view_fit_the_picture():
    pixels = np.zeros((400, 1000, 3), np.uint8)
    pixels[100:300, 200:900] = COLORS["red"]
    item = Grounding.ask(pixels, "red")
    found = Tile(ColorDetector(masks=True), tile=100)([item])[0].detections
    assert shrunk(item.image, 200).size == (80, 200)
    assert found.mask.shape == (1, 400, 1000)
    crop, x, y = mask_crop(found.mask, 0)
    assert (x, y, *crop.shape, crop.all()) == (200, 100, 200, 700, True)


def test_a_tile_stage_is_saved_with_its_options(tmp_path):
    pipeline = Pipeline([Tile("fake", 0.4, tile=512, overlap=0.5, full_view=False)])
    pipeline.save(tmp_path / "pipeline.yaml")
    again = Pipeline.load(tmp_path / "pipeline.yaml")
    assert again.to_config() == pipeline.to_config()
    assert again.stages[0].tile == 512
    assert pipeline.to_config()["stages"][0]["stage"] == "tile"


@pytest.mark.parametrize(
    "options", [{"tile": 8}, {"tile": 99.5}, {"overlap": 0}, {"overlap": 1}, {"batch_size": 0}]
)
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(ConfigError):
        Tile(FakeDetector(), **options)


@pytest.fixture(scope="module")
def huge():
    """100 megapixels, owned and write-protected, so that no copy is made of them."""
    pixels = np.zeros((10_000, 10_000, 3), np.uint8)
    pixels.flags.writeable = False
    return Image(pixels)


def peak_megabytes(function):
    tracemalloc.start()
    try:
        result = function()
        return result, tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_picture(huge):
    detector = FakeDetector({"dog": [((300, 300, 700, 800), 0.8)]})
    item = Grounding.ask(huge, "dog")
    result, megabytes = peak_megabytes(lambda: Tile(detector)([item])[0])
    assert len(result) > 100
    assert megabytes < 60  # the picture has 300
    assert result.detections.xyxy.max() > 9000


def test_masks_of_a_huge_picture_are_crops(huge):
    corners = np.random.default_rng(0).uniform(0, 9500, (50, 2))
    boxes = np.hstack([corners, corners + 500])
    item = Grounding.ask(huge, "dog")
    found = detections_from_scores(huge.size, item.query, boxes, np.full((50, 1), 0.9), 0.3)
    item = Grounding(item.image, item.query, found)
    result, megabytes = peak_megabytes(lambda: Segment(FakeSegmenter())([item])[0])
    assert result.detections.mask.shape == (50, 10_000, 10_000)
    assert megabytes < 60  # one dense mask has 100
