"""What all SAM-like models share: the embedding, the choice of the best mask, the way to pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch

from grounding_sdk.detections import Size
from grounding_sdk.models.ports import MaskPrediction
from grounding_sdk.models.segmenters.prompts import Prompts, chunks
from grounding_sdk.models.segmenters.upscale import Axis, resize_axis, upscale_masks

# A prompt costs the decoder about 30 MB, and on a CPU more of them at once are no faster.
PROMPTS_AT_ONCE_ON_CPU = 4
PROMPTS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Embedding:
    """An encoded image: all that decoding needs of it.

    Attributes:
        image_size: (height, width) of the image.
        input_size: (height, width) of the image inside the encoder's input, padding left out.
        padded_size: Side of the square that the input was padded to, and to which logits are first
            upscaled; None where the image fills the input and logits go straight to its size.
        features: The encoder's outputs for this image, each (1, ...) float32.
    """

    image_size: Size
    input_size: Size
    padded_size: int | None
    features: tuple[torch.Tensor, ...]

    def to_input(self, xy: np.ndarray) -> np.ndarray:
        """Scales (..., 2) xy pixels of the image to those of the encoder's input."""
        height, width = self.image_size
        return xy * (self.input_size[1] / width, self.input_size[0] / height)


# Takes prompts and whether each gets several masks; gives (n, M, h, w) logits and (n, M) scores.
Predict = Callable[[Prompts, bool], tuple[torch.Tensor, torch.Tensor]]


def decode_prompts(
    prompts: Prompts,
    embedding: Embedding,
    predict: Predict,
    *,
    multimask: bool,
    masks_per_prompt: int,
    mask_size: Size,
) -> MaskPrediction:
    """Decodes any number of prompts, a few at a time.

    One mask for a prompt is the model's single-mask output, but for a single point, which may mean
    a part or the whole, the one of its several masks that scores best: what the docstring of
    segment-anything's `SamPredictor.predict` recommends.

    Args:
        prompts: In pixels of the image.
        embedding: Of the image.
        predict: Runs the model on prompts of one kind and number of points.
        multimask: Whether to give all of the masks that the model proposes for a prompt.
        masks_per_prompt: How many these are.
        mask_size: (h, w) of the model's logits.
    """
    shape = len(prompts), masks_per_prompt if multimask else 1
    logits = np.empty((*shape, *mask_size), np.float32)
    scores = np.empty(shape, np.float32)
    on_cpu = embedding.features[0].device.type == "cpu"
    at_once = PROMPTS_AT_ONCE_ON_CPU if on_cpu else PROMPTS_AT_ONCE
    for members, chunk in chunks(prompts, at_once):
        several = multimask or chunk.ambiguous
        chunk_logits, chunk_scores = (value.cpu().numpy() for value in predict(chunk, several))
        if several and not multimask:
            best = np.arange(len(members)), chunk_scores.argmax(axis=1)
            chunk_logits, chunk_scores = chunk_logits[best][:, None], chunk_scores[best][:, None]
        logits[members], scores[members] = chunk_logits, chunk_scores

    rows, columns = (
        _axis(embedding.padded_size, *sides)
        for sides in zip(mask_size, embedding.input_size, embedding.image_size, strict=True)
    )
    masks = upscale_masks(logits.reshape(-1, *mask_size), rows, columns)
    return MaskPrediction(masks, scores, logits)


def _axis(padded: int | None, n_logits: int, kept: int, n_pixels: int) -> Axis:
    if padded is None:
        return resize_axis(n_logits, (n_pixels, n_pixels))
    return resize_axis(n_logits, (padded, kept), (n_pixels, n_pixels))


def without_sliver(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Returns the image, or, where resizing would leave no pixel of its short side, it resized.

    The reference preprocessing fails on such images: more than twice `longest` long, 1 pixel wide.

    >>> without_sliver(np.zeros((1, 3000, 3), np.uint8), 1024).shape
    (1, 1024, 3)
    """
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if int(min(height, width) * scale + 0.5):
        return pixels
    size = max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BILINEAR))
