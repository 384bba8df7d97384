"""JSON lines keep what other formats have no place for."""

from __future__ import annotations

import numpy as np
import pytest

from grounding_sdk import Grounding, Image, Query
from grounding_sdk.detections import detections_from_scores
from grounding_sdk.formats import annotated, read_jsonl, write_jsonl


def test_a_row_tells_how_far_each_label_is_ahead_of_the_others(tmp_path):
    query = Query.of({"dog": "pet", "cat": "pet", "fox": "wild"})
    scores = np.array([[0.9, 0.8, 0.3], [0.2, 0.1, 0.5], [0.6, 0, 0]], float)
    boxes = np.array([[0, 0, 9, 9], [10, 0, 19, 9], [20, 0, 29, 9]], float)
    found = detections_from_scores((40, 40), query, boxes, scores, 0.1)
    row = annotated(Grounding(Image(np.zeros((40, 40, 3), np.uint8)), query, found), "a.jpg")
    assert [each.label for each in row.objects] == ["pet", "pet", "wild"]
    assert [each.margin for each in row.objects] == [pytest.approx(0.6), None, pytest.approx(0.3)]
    write_jsonl([row], tmp_path)
    assert list(read_jsonl(tmp_path)) == [row]
