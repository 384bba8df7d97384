from __future__ import annotations

import numpy as np
import pytest
import supervision as sv
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grounding_sdk import Phrase, Query
from grounding_sdk.detections import (
    compact_masks,
    detections_from_scores,
    empty_detections,
    mask_crop,
)

SIZE = (100, 200)
COLUMNS = {"class_name", "phrase", "phrase_id", "mask_score", "phrase_scores"}


def detect(query, boxes, scores, threshold=0.5):
    return detections_from_scores(
        SIZE, Query.of(query), np.array(boxes), np.array(scores), threshold
    )


def test_the_best_phrase_names_the_box_and_the_row_of_scores_is_kept():
    found = detect("cat . dog", [[0, 0, 10, 10]], [[0.6, 0.9]])
    assert found["phrase"].tolist() == ["dog"]
    assert found["phrase_id"].tolist() == [1]
    np.testing.assert_allclose(found["phrase_scores"], [[0.6, 0.9]], rtol=1e-6)
    assert np.isnan(found["mask_score"]).all()


def test_phrases_that_share_a_label_share_its_class_id():
    asked = {"cat": "pet", "truck": "truck", "dog": "pet"}
    found = detect(asked, [[0, 0, 9, 9], [0, 0, 8, 8]], [[0.1, 0.2, 0.9], [0.1, 0.8, 0.2]])
    assert found["class_name"].tolist() == ["pet", "truck"]
    assert found.class_id.tolist() == [0, 1]


def test_rows_come_best_first_and_below_the_phrases_threshold_not_at_all():
    query = [Phrase("cat", threshold=0.2), "dog"]
    boxes = [[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]]
    found = detect(query, boxes, [[0.3, 0], [0, 0.4], [0, 0.6]])
    assert found.xyxy[:, 2].tolist() == [3, 1]


@pytest.mark.parametrize(
    "box, expected",
    [
        ([-5, -5, 10, 10], [[0, 0, 10, 10]]),
        ([190, 90, 300, 300], [[190, 90, 200, 100]]),
        ([5, 5, 5, 9], []),  # no width
        ([300, 300, 310, 310], []),  # off the image
        ([9, 9, 3, 3], []),  # inverted
        ([np.nan, 0, 9, 9], []),
        ([0, 0, np.inf, 9], []),
    ],
)
def test_boxes_stay_inside_the_image(box, expected):
    assert detect("dog", [box], [[0.9]]).xyxy.tolist() == expected


def test_nothing_found_keeps_every_column_and_shape():
    found = empty_detections(Query.of("cat . dog"))
    assert set(found.data) == COLUMNS
    assert found.xyxy.shape == (0, 4)
    assert found["phrase_scores"].shape == (0, 2)
    assert found.class_id.shape == found.confidence.shape == (0,)
    assert found["class_name"].tolist() == []
    merged = sv.Detections.merge([found, detect("cat . dog", [[0, 0, 9, 9]], [[0.9, 0]])])
    assert len(merged) == 1


@settings(max_examples=50, deadline=None)
@given(
    crop=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    x=st.integers(0, 5),
    y=st.integers(0, 5),
)
def test_compact_masks_are_the_masks(crop, x, y):
    dense = np.zeros((14, 15), bool)
    dense[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    packed = compact_masks([crop], [(x, y)], (14, 15))
    np.testing.assert_array_equal(packed.to_dense()[0], dense)
    assert packed.area.tolist() == [dense.sum()]
    for masks in (packed, dense[None]):
        tight, left, top = mask_crop(masks, 0)
        again = np.zeros_like(dense)
        again[top : top + tight.shape[0], left : left + tight.shape[1]] = tight
        np.testing.assert_array_equal(again, dense)


def test_no_masks_pack_into_an_empty_set():
    assert compact_masks([], [], SIZE).shape == (0, *SIZE)


def test_64_objects_on_12_megapixels_cost_megabytes():
    crop = np.zeros((1500, 1500), bool)
    crop[100:-100, 100:-100] = True
    packed = compact_masks([crop] * 64, [(i, i) for i in range(64)], (3000, 4000))
    assert sum(rle.nbytes for rle in packed._rles) < 2**20  # dense: 768 MB
