"""Pairs of copies, judged on detectors that know or do not know colours."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from grounding_sdk.detections import detections_from_scores
from grounding_sdk.models.mini.attributes import colour_of
from grounding_sdk.models.mini.pairs import Pair, judge_pairs, make_pairs
from grounding_sdk.models.mini.sources import Files


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    (tmp_path / "images").mkdir()
    pixels = np.full((90, 120, 3), 200, np.uint8)
    cv2.circle(pixels, (60, 45), 30, (90, 90, 90), -1)
    cv2.imwrite(str(tmp_path / "images" / "a.png"), pixels)
    corners = [30, 15, 90, 15, 90, 75, 30, 75]
    objects = [
        {"image_id": 1, "category_id": i, "bbox": [30, 15, 60, 60], "segmentation": [corners]}
        for i in (1, 2)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": objects,
        "categories": [{"id": 1, "name": "ball"}, {"id": 2, "name": "person"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return list(make_pairs(Files(tmp_path), 4, seed=1))


class Knowing:
    """Knows the truth; may be blind to colour, or see one copy only."""

    name, default_threshold = "stub", 0.5

    def __init__(self, pairs: Iterable[Pair], *, blind: bool = False, boxes: int = 2) -> None:
        self.known = {pair.image.sha256: pair for pair in pairs}
        self.blind, self.boxes = blind, boxes

    def detect(self, images, queries):
        image, query = images[0], queries[0]
        pair = self.known[image.sha256]
        scores = np.array([[0.9, 0.2], [0.9, 0.2] if self.blind else [0.3, 0.8]])
        kept = slice(self.boxes)
        return [detections_from_scores(image.size, query, pair.boxes[kept], scores[kept], 0.5)]


def test_each_copy_has_its_colour_and_no_person_is_dyed(pairs: list[Pair]) -> None:
    for pair in pairs:
        for phrase, (x0, y0, x1, y1) in zip(pair.phrases, pair.boxes.astype(int), strict=True):
            colour, name = phrase.split()
            assert name == "ball"
            inside = pair.image.pixels[y0 + 5 : y1 - 5, x0 + 5 : x1 - 5]
            assert colour_of(inside, np.ones(inside.shape[:2], bool)) == colour


def test_judging(pairs: list[Pair]) -> None:
    right = judge_pairs(Knowing(pairs), pairs)
    assert (right.copies, right.found, right.told_apart, right.grounded) == (8, 1, 1, 1)
    blind = judge_pairs(Knowing(pairs, blind=True), pairs)
    assert (blind.found, blind.told_apart, blind.grounded) == (1, 0.5, 0.5)
    half = judge_pairs(Knowing(pairs, boxes=1), pairs)
    assert (half.found, half.told_apart, half.grounded) == (0.5, 1, 0.5)
