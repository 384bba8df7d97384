"""Pictures as the image processors of transformers want them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision.transforms.v2 import functional
from transformers import Owlv2ImageProcessor
from transformers.image_utils import SizeDict, pil_torch_interpolation_mapping

from grounding_sdk.detections import Size
from grounding_sdk.models.scaling import is_large, scale_in_bands


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Copies (H, W, 3) uint8 to (3, H, W), since torch warns about write-protected memory."""
    return torch.tensor(pixels).permute(2, 0, 1)


def scaled_if_large(processor: Any, pixels: np.ndarray) -> np.ndarray:
    """Scales a large picture as the processor would, in less memory; others stay as they are.

    Args:
        processor: One that does not begin with scaling by torchvision gets what it is given.
        pixels: (H, W, 3) uint8.
    """
    if not is_large(pixels) or not _begins_with_scaling(processor):
        return pixels
    interpolation = pil_torch_interpolation_mapping[processor.resample]

    def scale(part: np.ndarray, size: Size) -> np.ndarray:
        given = as_tensor(part)
        return functional.resize(given, list(size), interpolation).permute(1, 2, 0).numpy()

    return scale_in_bands(pixels, _size_for(processor, pixels.shape[0], pixels.shape[1]), scale)


def _begins_with_scaling(processor: Any) -> bool:
    pads_first = isinstance(processor, Owlv2ImageProcessor)
    scales = processor.do_resize and processor.resample is not None
    by_torchvision = getattr(processor, "backend", None) == "torchvision"
    return by_torchvision and scales and not pads_first


def _size_for(processor: Any, height: int, width: int) -> Size:
    """What size the processor scales to, found with a picture without pixels."""
    nothing = torch.empty((1, 3, height, width), dtype=torch.uint8, device="meta")
    size = SizeDict(**dict(processor.size))
    scaled = processor.resize(image=nothing, size=size, resample=processor.resample)
    return int(scaled.shape[2]), int(scaled.shape[3])
