"""What all SAM-like models share: the embedding, the choice of the best mask, the way to pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import PIL.Image
import supervision as sv
import torch

from grounding_sdk.detections import Size
from grounding_sdk.models.ports import MaskPrediction
from grounding_sdk.models.segmenters.folded_decoder import Wanted
from grounding_sdk.models.segmenters.prompts import Prompts, chunks
from grounding_sdk.models.segmenters.upscale import Axis, resize_axis, upscale_masks
from grounding_sdk.models.workers import share_out

PROMPTS_AT_ONCE = 32  # on other devices, where each takes part in every operation

# On a CPU, where tasks are shared out among cores. Prompts of a task share the work on their few
# tokens, but what is as large as an image has to stay in the cache. Tasks come in fours, for two or
# four cores to end at the same time; the number of cores has no say, lest rounding depend on it.
MOST_A_TASK, TASKS = 8, 4


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


# Gives (n, M, h, w) logits and (n, M) scores, M being 1 where not all masks are wanted. Of the
# logits at least those of the given size are needed, from the upper left.
Predict = Callable[[Prompts, Wanted, Size], tuple[torch.Tensor, torch.Tensor]]


def decode_prompts(
    prompts: Prompts,
    embedding: Embedding,
    predict: Predict,
    *,
    multimask: bool,
    logits: bool,
    masks_per_prompt: int,
    mask_size: Size,
    at_once: int,
    cores: int = 1,
) -> MaskPrediction:
    """Decodes any number of prompts, a few at a time, all the way to pixels.

    One mask for a prompt is the model's single-mask output, but for a single point, which may mean
    a part or the whole, the one of its several masks that scores best: what the docstring of
    segment-anything's `SamPredictor.predict` recommends.

    Args:
        prompts: In pixels of the image.
        embedding: Of the image.
        predict: Runs the model on prompts of one kind and number of points.
        multimask: Whether to give all of the masks that the model proposes for a prompt.
        logits: Whether to give those, too; if not, those of padding may be left out.
        masks_per_prompt: How many these are.
        mask_size: (h, w) of the model's logits.
        at_once: Prompts to hand to `predict` at a time.
        cores: How many of them to decode at the same time; results do not depend on it.
    """
    each = masks_per_prompt if multimask else 1
    all_logits = np.empty((len(prompts), each, *mask_size), np.float32) if logits else None
    scores = np.empty((len(prompts), each), np.float32)
    masks = np.empty(len(prompts), object)
    rows, columns = axes(embedding, mask_size)
    needed = mask_size if logits else (rows.n_logits, columns.n_logits)

    def decode(task: tuple[np.ndarray, Prompts]) -> None:
        members, chunk = task
        wanted = Wanted.BEST if chunk.ambiguous else Wanted.SINGLE
        predicted = predict(chunk, Wanted.ALL if multimask else wanted, needed)
        found, scores[members] = (value.cpu().numpy() for value in predicted)
        if all_logits is not None:
            all_logits[members] = found
        for member, own in zip(members, found, strict=True):  # while it is in the cache
            masks[member] = upscale_masks(own, rows, columns)

    share_out(decode, chunks(prompts, at_once), cores)
    nothing = upscale_masks(np.empty((0, *mask_size), np.float32), rows, columns)
    return MaskPrediction(sv.CompactMask.merge([nothing, *masks]), scores, all_logits)


def at_once_and_cores(device: torch.device, count: int) -> dict[str, int]:
    """The last arguments of `decode_prompts` for `count` prompts.

    >>> at_once_and_cores(torch.device("cpu"), 20)["at_once"]
    5
    >>> at_once_and_cores(torch.device("cpu"), 64)["at_once"]
    8
    """
    if device.type != "cpu":
        return {"at_once": PROMPTS_AT_ONCE}
    tasks = TASKS * max(1, math.ceil(count / (TASKS * MOST_A_TASK)))
    return {"at_once": max(1, math.ceil(count / tasks)), "cores": torch.get_num_threads()}


def axes(embedding: Embedding, mask_size: Size) -> tuple[Axis, Axis]:
    """How rows and columns of pixels are made of those of (h, w) logits."""
    padded = embedding.padded_size
    sides = zip(mask_size, embedding.input_size, embedding.image_size, strict=True)
    rows, columns = (_axis(padded, *side) for side in sides)
    return rows, columns


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
