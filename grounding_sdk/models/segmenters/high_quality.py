"""SAM-HQ's second mask for every prompt, which is added to SAM's (https://arxiv.org/abs/2306.01567).

Its pixels are those of the upscaled image after two convolutions of 3 x 3, and finer features of
the image, which all prompts share. The first convolution is what a prompt costs. The second is
linear, as is the sum over channels that follows, so that with the weights of the sum folded into
its own it makes one channel of them, not C / 8. As in `upscaling`, the mean over channels that the
norm between the two takes away is taken from the weights.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from grounding_sdk.models.segmenters.changed_image import centred, normalised
from grounding_sdk.models.segmenters.decoder_parts import HighQualityParts


class HighQuality:
    """What SAM-HQ's decoder adds to SAM's."""

    def __init__(self, parts: HighQualityParts, dtype: torch.dtype) -> None:
        """Takes the weights as they are now.

        Args:
            parts: Of the decoder.
            dtype: Of the convolution that each prompt needs.
        """
        self._parts = parts
        self._dtype = dtype
        weight, bias = (centred(each, dim=0) for each in parts.refine[0].parameters())
        self._first = weight.to(dtype, memory_format=torch.channels_last), bias.to(dtype)

    def share(self, early: Tensor, features: Tensor) -> Tensor:
        """The finer features of an image, (H, W, C / 8).

        Args:
            early: (1, h, w, D), the encoder's after its first global block.
            features: (1, C, h, w), the encoder's.
        """
        finer = self._parts.of_image(features) + self._parts.of_early(early.permute(0, 3, 1, 2))
        return finer[0].permute(1, 2, 0).contiguous()

    def weights(self, token: Tensor) -> Tensor:
        """The weights over channels (n, C / 8) of each prompt's own token (n, C)."""
        return self._parts.to_mask(token)

    def __call__(self, pixels: Tensor, shared: Tensor, weights: Tensor) -> Tensor:
        """The logits of one prompt, (H, W), to be added to those of SAM.

        Args:
            pixels: (H, W, C / 8), the upscaled image.
            shared: From `share`, of the same pixels.
            weights: (C / 8), of the prompt.
        """
        size = pixels.shape[:2]
        _, norm, second = self._parts.refine
        weight, bias = second.parameters()
        seen = pixels.permute(2, 0, 1)[None].to(self._dtype)
        seen = functional.conv2d(seen, *self._first, padding=1)
        seen = seen[0].permute(1, 2, 0).to(pixels).contiguous()
        seen = torch.ops.aten.gelu_(normalised(seen, norm)).flatten(0, 1)
        # What a pixel gives to each of its nine neighbours; `fold` sums what each pixel gets.
        folded = torch.tensordot(weights, weight, 1).flip(1, 2).flatten(1)
        sums = functional.fold((folded.t() @ seen.t())[None], size, kernel_size=3, padding=1)[0, 0]
        return sums + shared @ weights + bias @ weights
