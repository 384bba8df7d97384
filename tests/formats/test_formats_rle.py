import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from grounding_sdk.detections import compact_masks
from grounding_sdk.formats import mask_rle

dense_masks = npst.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def encoded(mask):
    packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(packed["size"]), "counts": packed["counts"].decode()}


@given(dense_masks)
def test_equals_pycocotools(mask):
    assert mask_rle(mask[None], 0) == encoded(mask)


@given(dense_masks, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_equals_pycocotools_for_a_crop_somewhere_in_the_image(crop, left, right, above, below):
    mask = np.pad(crop, ((above, below), (left, right)))
    assert mask_rle(compact_masks([crop], [(left, above)], mask.shape), 0) == encoded(mask)


@pytest.mark.parametrize("fill", [False, True])
def test_empty_and_full_masks(fill):
    mask = np.full((3, 5), fill)
    assert mask_rle(compact_masks([mask], [(0, 0)], (3, 5)), 0) == encoded(mask)


def test_a_mask_on_a_huge_image_costs_what_its_crop_costs():
    side = 60_000  # 3.6 gigapixels: would not fit as a dense mask
    crop = np.ones((10, 20), bool)
    rle = mask_rle(compact_masks([crop], [(50_000, 40_000)], (side, side)), 0)
    assert coco_mask.area(rle) == 200
    assert coco_mask.toBbox(rle).tolist() == [50_000, 40_000, 20, 10]
