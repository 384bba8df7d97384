from __future__ import annotations

import numpy as np
import pytest

from grounding_sdk.detections import empty_detections
from grounding_sdk.errors import PromptError
from grounding_sdk.image import Image
from grounding_sdk.models.fakes import FakeDetector, FakeSegmenter
from grounding_sdk.models.ports import Detector, Segmenter
from grounding_sdk.query import Phrase, Query

QUERY = Query.of("dog . red car")


def picture(height=48, width=64, value=0):
    return Image(np.full((height, width, 3), value, np.uint8))


def test_they_satisfy_the_ports():
    assert isinstance(FakeDetector(), Detector)
    assert isinstance(FakeSegmenter(), Segmenter)


def test_the_same_question_has_the_same_answer_alone_and_in_a_batch():
    detector, images = FakeDetector(), [picture(value=value) for value in (0, 1, 2)]
    batch = detector.detect(images, [QUERY, Query.of("dog"), QUERY])
    for image, query, found in zip(images, [QUERY, Query.of("dog"), QUERY], batch, strict=True):
        alone = FakeDetector().detect([image], [query])[0]
        np.testing.assert_array_equal(alone.xyxy, found.xyxy)
        np.testing.assert_array_equal(alone["phrase_scores"], found["phrase_scores"])
    assert batch[0].xyxy.tolist() != batch[2].xyxy.tolist()


@pytest.mark.parametrize("height, width", [(48, 64), (1, 1), (3, 2000)])
def test_drawn_boxes_lie_in_the_image_and_have_all_columns(height, width):
    found = FakeDetector().detect([picture(height, width)], [QUERY])[0]
    assert len(found) >= 2
    assert set(found.data) == set(empty_detections(QUERY).data)
    assert set(found["phrase"]) == {"dog", "red car"}
    assert (found.xyxy >= 0).all()
    assert (found.xyxy[:, [0, 2]] <= width).all()
    assert (found.xyxy[:, [1, 3]] <= height).all()
    assert (found.confidence >= 0.4).all()


def test_a_table_says_what_is_found_and_thresholds_hold():
    table = {"dog": [((0, 0, 9, 9), 0.9), ((1, 1, 5, 5), 0.35)], "cat": [((0, 0, 4, 4), 0.99)]}
    query = Query((Phrase("dog", threshold=0.5), Phrase("bird")))
    found = FakeDetector(table).detect([picture()], [query])[0]
    assert found.xyxy.tolist() == [[0, 0, 9, 9]]
    found = FakeDetector(table).detect([picture()], [Query.of("bird . dog")])[0]
    assert found["class_name"].tolist() == ["dog", "dog"]
    np.testing.assert_allclose(found["phrase_scores"], [[0, 0.9], [0, 0.35]], rtol=1e-6)


def test_nothing_found_is_a_complete_result():
    found = FakeDetector({}).detect([picture()], [QUERY])[0]
    assert len(found) == 0
    assert found["phrase_scores"].shape == (0, 2)


def decode(size=(40, 60), **prompts):
    segmenter = FakeSegmenter()
    return segmenter.decode(segmenter.encode([picture(*size)])[0], **prompts)


def test_a_box_gives_the_ellipse_that_touches_its_sides():
    boxes = [[10, 10, 30, 30], [5, 0, 55, 40]]
    predicted = decode(boxes=boxes)
    dense = predicted.masks.to_dense()
    assert dense.shape == (2, 40, 60)
    for mask, (left, top, right, bottom) in zip(dense, boxes, strict=True):
        rows, columns = np.nonzero(mask)
        assert (rows.min(), rows.max() + 1) == (top, bottom)
        assert (columns.min(), columns.max() + 1) == (left, right)
        area = np.pi / 4 * (right - left) * (bottom - top)
        assert mask.sum() == pytest.approx(area, rel=0.02)
    assert predicted.scores.shape == (2, 1)


def test_boxes_over_the_edge_and_beside_the_image():
    dense = decode(boxes=[[-20, -20, 20, 20], [100, 100, 120, 120], [5, 5, 5, 5]]).masks.to_dense()
    assert dense[0, 0, 0]
    assert dense[1:].sum() == 0


def test_points_add_and_cut_discs():
    on = decode(points=[[[30, 20]]]).masks.to_dense()[0]
    assert on.sum() == pytest.approx(np.pi * 4**2, rel=0.1)
    assert on[20, 30]
    cut = decode(points=[[[30, 20], [33, 20], [0, 0]]], point_labels=[[1, 0, -1]])
    assert 0 < cut.masks.area[0] < on.sum()
    alone = decode(points=[[[30, 20]]], point_labels=[[0]])
    assert alone.masks.area.tolist() == [0]


def test_several_masks_are_ordered_by_prompt_then_score():
    predicted = decode(boxes=[[0, 0, 20, 20], [0, 0, 40, 40]], multimask=True)
    assert predicted.scores.shape == (2, 3)
    assert predicted.logits.shape == (2, 3, 64, 64)
    areas = np.array(predicted.masks.area).reshape(2, 3)
    assert (np.diff(areas, axis=1) < 0).all()
    assert (areas[1] > areas[0]).all()


def test_logits_come_back_as_a_mask_prompt():
    first = decode(boxes=[[10, 10, 50, 30]])
    again = decode(masks=first.logits[:, 0])
    both = first.masks.to_dense() & again.masks.to_dense()
    either = first.masks.to_dense() | again.masks.to_dense()
    assert both.sum() / either.sum() > 0.9


def test_logits_are_left_out_for_who_does_not_want_them():
    assert decode(boxes=[[10, 10, 50, 30]], logits=False).logits is None


def test_no_prompts_make_no_masks_and_no_prompt_is_an_error():
    predicted = decode(boxes=np.zeros((0, 4)))
    assert len(predicted.masks) == 0
    assert predicted.scores.shape == (0, 1)
    with pytest.raises(PromptError, match="no prompt"):
        decode()
