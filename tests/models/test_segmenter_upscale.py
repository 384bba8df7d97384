import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn import functional

from grounding_sdk.models.segmenters.upscale import resize_axis, upscale_masks


def blobs(count, size=256, seed=0):
    """Smooth logits, about half positive, with some noise and some islands."""
    rng = np.random.default_rng(seed)
    coarse = torch.tensor(rng.normal(0, 4, (count, 1, 9, 9)), dtype=torch.float32)
    smooth = functional.interpolate(coarse, size, mode="bicubic")[:, 0].numpy()
    return smooth + rng.normal(0, 0.3, smooth.shape).astype(np.float32)


def dense(logits, image_size, padded=None, kept=None):
    """The families' own post-processing; for SAM that of `Sam.postprocess_masks`."""
    values = torch.from_numpy(logits)[:, None]
    if padded:
        values = functional.interpolate(values, (padded, padded), mode="bilinear")
        values = values[..., : kept[0], : kept[1]]
    return functional.interpolate(values, image_size, mode="bilinear")[:, 0].numpy()


def assert_equal_but_for_ties(masks, full):
    assert masks.shape == full.shape
    wrong = masks.to_dense() != (full > 0)
    assert np.abs(full[wrong]).max(initial=0) < 1e-5


IMAGE_SIZES = [(480, 640), (1024, 1024), (1023, 700), (37, 53), (1, 1), (2, 300), (1, 5), (1500, 9)]


@pytest.mark.parametrize("size", IMAGE_SIZES)
def test_padded_and_cut_masks_equal_the_dense_ones(size):
    kept = tuple(max(1, int(side * 1024 / max(size) + 0.5)) for side in size)
    rows, columns = (
        resize_axis(256, (1024, keep), (side, side)) for keep, side in zip(kept, size, strict=True)
    )
    logits = blobs(3)
    masks = upscale_masks(logits, rows, columns)
    assert_equal_but_for_ties(masks, dense(logits, size, 1024, kept))


@pytest.mark.parametrize("size", IMAGE_SIZES)
@pytest.mark.parametrize("side", [256, 288, 16])
def test_stretched_masks_equal_the_dense_ones(size, side):
    logits = blobs(3, side)
    masks = upscale_masks(logits, *(resize_axis(side, (n, n)) for n in size))
    assert_equal_but_for_ties(masks, dense(logits, size))


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_empty_and_full_masks(value):
    logits = np.full((2, 16, 16), value, np.float32)
    masks = upscale_masks(logits, resize_axis(16, (500, 500)), resize_axis(16, (300, 300)))
    assert masks.to_dense().all() == (value > 0)
    assert masks.to_dense().any() == (value > 0)


def test_specks_holes_and_parts_are_kept():
    """What to make of them is for the refine stage to say."""
    logits = np.full((1, 16, 16), -1, np.float32)
    logits[0, 2:8, 2:8] = 1
    logits[0, 4, 4] = -20
    logits[0, 13, 13] = 20
    masks = upscale_masks(logits, *(resize_axis(16, (160, 160)),) * 2)
    assert_equal_but_for_ties(masks, dense(logits, (160, 160)))
    mask = masks.to_dense()[0]
    assert not mask[45, 45]
    assert mask[135, 135]


def test_a_small_object_costs_its_crop_only():
    logits = np.full((1, 256, 256), -1, np.float32)
    logits[0, 100:104, 50:58] = 1
    masks = upscale_masks(logits, resize_axis(256, (3000, 3000)), resize_axis(256, (4000, 4000)))
    height, width = masks.crop(0).shape
    assert height < 80
    assert width < 160


def test_no_logits_give_no_masks():
    masks = upscale_masks(
        np.empty((0, 16, 16), np.float32), resize_axis(16, (5, 5)), resize_axis(16, (7, 7))
    )
    assert masks.shape == (0, 5, 7)


def test_64_masks_on_12_megapixels_fit_in_memory():
    """Dense they are 768 MB, and their logits at image size 3 GB."""
    logits = blobs(64)
    inside = np.zeros_like(logits, bool)
    for i, (y, x) in enumerate(np.random.default_rng(0).integers(0, 156, (64, 2))):
        inside[i, y : y + 100, x : x + 100] = True
    inside[:2] = True  # two are as large as the image
    logits[~inside] = -1
    rows, columns = resize_axis(256, (3000, 3000)), resize_axis(256, (4000, 4000))
    tracemalloc.start()
    try:
        masks = upscale_masks(logits, rows, columns)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert masks.shape == (64, 3000, 4000)
    assert masks.area[:2].min() > 2e6
    assert masks.area[2:].mean() > 5e5
    assert peak < 150e6
