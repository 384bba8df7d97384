"""Large pictures are scaled in bands, and no pixel tells."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
from segment_anything.utils.transforms import ResizeLongestSide
from tiny_segmenters import official_sam
from transformers import (
    DetrImageProcessor,
    GroundingDinoImageProcessor,
    Owlv2ImageProcessor,
    OwlViTImageProcessor,
    Sam2ImageProcessor,
    Sam3ImageProcessor,
    SamImageProcessor,
    SamImageProcessorPil,
)

from grounding_sdk import Image
from grounding_sdk.models.mini.predictor import encoded_size, resized
from grounding_sdk.models.processors import as_tensor, scaled_if_large
from grounding_sdk.models.scaling import PIXELS_AT_ONCE, scale_in_bands
from grounding_sdk.models.segmenters.segment_anything import SegmentAnythingSegmenter

LARGE = [(1701, 2403), (2500, 1700), (300, 14000)]
PROCESSORS = [
    SamImageProcessor(),
    Sam2ImageProcessor(),
    Sam3ImageProcessor(),
    GroundingDinoImageProcessor(),
    OwlViTImageProcessor(),
    DetrImageProcessor(size={"height": 640, "width": 640}),
]


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def prepared(processor, pixels):
    given = [as_tensor(pixels)]
    inputs = processor(images=given, return_tensors="np", input_data_format="channels_first")
    return inputs["pixel_values"]


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("size", LARGE)
def test_a_processor_gets_what_it_would_have_made(processor, size):
    pixels = noise(*size)
    small = scaled_if_large(processor, pixels)
    assert small.size < pixels.size
    np.testing.assert_array_equal(prepared(processor, small), prepared(processor, pixels))


def test_other_pictures_stay_as_they_are():
    pixels = noise(480, 640)
    assert scaled_if_large(SamImageProcessor(), pixels) is pixels
    large = noise(*LARGE[0])
    for other in (
        SamImageProcessor(do_resize=False),
        Owlv2ImageProcessor(),  # which pads before it scales
        SamImageProcessorPil(),  # which scales otherwise
    ):
        assert scaled_if_large(other, large) is large


@pytest.mark.parametrize("size", LARGE)
def test_segment_anything_sees_what_its_own_code_makes(size):
    segmenter = SegmentAnythingSegmenter(official_sam())
    expected = ResizeLongestSide(segmenter._resize.target_length).apply_image(noise(*size))
    seen = segmenter._input(Image(noise(*size)))
    np.testing.assert_array_equal(seen.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("size", [*LARGE, (480, 640), (1, 1), (1, 3000), (333, 500), (895, 1793)])
def test_mini_sees_what_pillow_makes(size):
    image = Image(noise(*size))
    height, width = encoded_size(image.size, 448)
    pillow = PIL.Image.fromarray(image.pixels)
    expected = pillow.resize((width, height), PIL.Image.Resampling.BILINEAR, reducing_gap=2.0)
    np.testing.assert_array_equal(resized(image, (height, width)), np.asarray(expected))


@pytest.mark.parametrize("size", [(10_000, 10_000), (3, 40_000_000)])
def test_a_library_is_never_given_much(size):
    pixels = np.broadcast_to(np.zeros(1, np.uint8), (*size, 3))  # of which there is one in memory
    given = []

    def scale(part, to):
        given.append(part.shape[0] * part.shape[1])
        return np.broadcast_to(part[:1, :1], (*to, 3))

    assert scale_in_bands(pixels, (100, 100), scale).shape == (100, 100, 3)
    assert max(given) <= max(PIXELS_AT_ONCE, size[1])
