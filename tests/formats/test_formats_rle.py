import pickle

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from grounding_sdk.detections import compact_masks
from grounding_sdk.formats import FormatError, Mask, Object, mask_rle
from grounding_sdk.formats import rle as rle_module
from grounding_sdk.formats.rle import rle_mask, rle_of

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


@given(dense_masks)
def test_decodes_what_pycocotools_encodes(mask):
    assert rle_mask(encoded(mask)) == Mask(mask)


@given(dense_masks)
def test_decodes_lists_of_counts(mask):
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
    counts = np.diff([0, *edges, flat.size]).tolist()
    assert rle_mask({"size": list(mask.shape), "counts": counts}) == Mask(mask)


def test_decoding_from_a_huge_image_costs_what_the_columns_cost():
    side = 60_000
    mask = Mask(np.ones((10, 20), bool), 50_000, 40_000)
    assert rle_mask(rle_of(mask, (side, side))) == mask


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [2, 2], "counts": [1, 2]},  # too few
        {"size": [2, 2], "counts": [5, 2]},  # too many
        {"size": [2, 2], "counts": [9, -5]},
        {"size": [2, 2], "counts": "2222222"},
        {"size": [2, 2], "counts": "z"},
        {"size": [2, 2], "counts": "oooooooooooooooo0"},
        {"size": [2, 2], "counts": ""},
        {"size": [2, 2], "counts": "é"},
        {"size": [2, 2], "counts": [[1], [3]]},
        {"size": [-2, -2], "counts": [4]},
        {"size": [100_000, 100_000], "counts": [0, 100_000**2]},  # 10 GB
        {"size": [2], "counts": [4]},
        {"counts": [4]},
        "22",
    ],
)
def test_damaged_rle_is_refused(rle):
    with pytest.raises(FormatError, match=r"RLE|runs|at most"):
        rle_mask(rle)


@given(dense_masks)
def test_area_and_box_come_from_the_runs(mask):
    read, drawn = rle_mask(encoded(mask)), Mask(mask)
    assert (read.area, read.box) == (drawn.area, drawn.box)


def test_what_is_only_written_again_is_never_decoded(monkeypatch):
    monkeypatch.setattr(rle_module, "runs_mask", None)
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    read = rle_mask(encoded(mask))
    assert rle_of(read, (2, 3)) == encoded(mask)
    assert rle_of(pickle.loads(pickle.dumps(read)), (2, 3)) == encoded(mask)
    assert Object("dog", read.box, read).has_pixels


@pytest.mark.parametrize(
    "counts", [[1, 2, 0, 1, 2], [1, 3, 2, 0], [0, 0, 1, 3, 2], [1, 3, 1, 0, 1], "Q032", "132M"]
)
def test_runs_that_are_spelt_oddly_are_written_as_pycocotools_does(counts):
    read = rle_mask({"size": [2, 3], "counts": counts})
    assert rle_of(read, (2, 3)) == encoded(read.dense((2, 3)))


def test_runs_of_a_picture_of_another_size_are_counted_anew():
    square = np.ones((2, 2), bool)
    assert rle_of(rle_mask(encoded(square)), (4, 4)) == encoded(np.pad(square, (0, 2)))
