"""SAM's mask decoder with less to do: what all prompts share is done once, the rest is folded.

A prompt is about 10 tokens of C = 256 numbers, an image N = 4,096 of them; the published code
copies the image for each prompt and projects the copy over and over. The same numbers, but for
rounding, come out of less (notation: x_n image token, p_n its position, t a prompt's token, h a
head, s the scale of attention):

- Tokens reading the image. The score q_t . (W_k (x_n + p_n) + b_k) s is (W_k' q_t s) . (x_n + p_n)
  plus a number that is the same for all n, which softmax forgets; and the sum of values
  sum_n a_n (W_v x_n + b_v) is W_v (sum_n a_n x_n) + b_v. No image token is projected.
- The image reading tokens. The score (W_q (x_n + p_n) + b_q) . k_t s is
  (x_n + p_n) . (W_q' k_t s) + b_q . k_t s, and the output W_o sum_t a_t v_t is
  sum_t a_t (W_o v_t): again the few tokens are projected, not the many. As the weights of a head
  sum to one, the output's bias is added to the values of one head and never to the image.
- So a block adds few rows to the image that all prompts begin with, in other proportions for each
  token, and normalises. No prompt has an image of its own: `changed_image` says how it is asked,
  `upscaling` how it becomes pixels.
- After the last block the image is read only by the tokens of which scores and masks are made.
- Masks that nobody asked for are not made. Where the best is asked for, the scores say which.

A prompt that brings a mask begins with an image of its own, and what others share is made for it.

The published networks: Segment Anything (https://arxiv.org/abs/2304.02643, section A) and SAM 2
(https://arxiv.org/abs/2408.00714), which adds finer features of the image while upscaling, a token
for whether there is an object, and a fallback for masks that are not stable. What SAM-HQ adds is in
`high_quality`.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from grounding_sdk.detections import Size
from grounding_sdk.models.segmenters.changed_image import (
    ChangedImage,
    ImageWeights,
    SharedTokens,
    Workspace,
)
from grounding_sdk.models.segmenters.decoder_parts import DecoderParts
from grounding_sdk.models.segmenters.high_quality import HighQuality
from grounding_sdk.models.segmenters.upscaling import Upscaling


class Wanted(Enum):
    """Which of the masks that the model can make for a prompt.

    Attributes:
        SINGLE: The one of the token for unambiguous prompts.
        BEST: The one of the others that scores best.
        ALL: All of the others.
    """

    SINGLE = "single"
    BEST = "best"
    ALL = "all"


@dataclass(frozen=True, eq=False)
class SharedImage:
    """What decoding needs of an image, whatever the prompt.

    Attributes:
        features: (1, N, C), the encoder's.
        tokens: What prompts that bring no mask share.
        finer: SAM 2's, what is added after each of the two upscalings, pixels of a token side by
            side: (N, 4, C / 4) and (N, 16, C / 8). None where the model has no such thing.
        high_quality: SAM-HQ's, what is added to the pixels of its own mask, (4 h, 4 w, C / 8).
    """

    features: Tensor
    tokens: SharedTokens
    finer: tuple[Tensor, Tensor] | None
    high_quality: Tensor | None


class FoldedDecoder:
    """Decodes prompts with the weights of a mask decoder; equal to it but for rounding."""

    @torch.no_grad()
    def __init__(self, parts: DecoderParts, dtype: torch.dtype = torch.float32) -> None:
        """Takes the weights as they are now, on the device where they are.

        Args:
            parts: Of the decoder.
            dtype: Of the upscaling; what decides on it stays as the parts are.
        """
        self.grid = (parts.position.shape[2], parts.position.shape[3])
        self._parts = parts
        self._weights = ImageWeights(parts)
        self._upscaling = Upscaling(parts, self._weights.shift, dtype)
        own = parts.high_quality
        self._high_quality = None if own is None else HighQuality(own, dtype)
        # One tuple, so that threads see an image and what belongs to it, or neither.
        self._latest: tuple[weakref.ref[Tensor], SharedImage] | None = None

    def share(self, features: Sequence[Tensor]) -> SharedImage:
        """Does what is to be done once for an image; what was done for the latest is kept.

        Args:
            features: The encoder's outputs: (1, C, h, w); before it SAM 2's finer ones,
                (1, C / 8, 4 h, 4 w) and (1, C / 4, 2 h, 2 w), or SAM-HQ's early one, (1, h, w, D).
        """
        latest = self._latest
        if latest is not None and latest[0]() is features[-1]:
            return latest[1]
        shared = self._share(features)
        self._latest = weakref.ref(features[-1]), shared
        return shared

    def _share(self, features: Sequence[Tensor]) -> SharedImage:
        tokens = _tokens(features[-1])
        finer = high_quality = None
        if self._high_quality is not None:
            high_quality = self._high_quality.share(*features)
        elif len(features) > 1:
            finer = self._upscaling.arranged(*features[:2])
        shared = self._share_tokens(tokens[0] + self._parts.no_mask)
        return SharedImage(tokens, shared, finer, high_quality)

    def _share_tokens(self, tokens: Tensor) -> SharedTokens:
        return self._weights.share(tokens, self._upscaling.of_tokens)

    def decode(
        self,
        image: SharedImage,
        sparse: Tensor,
        dense: Tensor | None = None,
        wanted: Wanted = Wanted.SINGLE,
        at_once: int | None = None,
        kept: Size | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decodes n prompts with the same number of tokens.

        Args:
            image: From `share`.
            sparse: (n, S, C) float32, the embedded points and boxes.
            dense: (n, C, h, w) float32, the embedded masks; None where there are none.
            wanted: Which masks.
            at_once: Prompts that go through each operation together: all, unless memory is short,
                5 MB each.
            kept: How many (rows, columns) of logits are needed, from the upper left: all, unless
                there is padding. Some more may be given.

        Returns:
            (n, M, 4 h, 4 w) float32 logits and (n, M) float32 scores; M is 1 but for all masks.
        """
        grid = self.grid
        if kept is not None and self._parts.stability is None:  # which is that of a whole mask
            grid = math.ceil(kept[0] / 4), math.ceil(kept[1] / 4)
        prompts = torch.cat(
            [self._parts.tokens.expand(len(sparse), -1, -1), sparse.to(self._parts.tokens)], dim=1
        )
        space = Workspace()
        if dense is not None:
            at_once = 1  # each has an image of its own
        at_once = at_once or max(1, len(prompts))
        results = []
        for start in range(0, len(prompts), at_once):
            tokens = image.tokens
            if dense is not None:
                tokens = self._share_tokens(
                    image.features[0] + _tokens(dense[start : start + 1])[0]
                )
            changed = ChangedImage(self._weights, tokens, space)
            results.append(
                self._decode(prompts[start : start + at_once], changed, image, wanted, space, grid)
            )
        if not results:
            masks = len(self._parts.to_mask) - 1 if wanted is Wanted.ALL else 1
            height, width = grid
            empty = sparse.new_empty(0, masks, 4 * height, 4 * width)
            return empty, sparse.new_empty(0, masks)
        logits, scores = zip(*results, strict=True)
        return torch.cat(logits), torch.cat(scores)

    def _decode(
        self,
        prompts: Tensor,
        image: ChangedImage,
        shared: SharedImage,
        wanted: Wanted,
        space: Workspace,
        grid: Size,
    ) -> tuple[Tensor, Tensor]:
        tokens = prompts
        for index, block in enumerate(self._parts.blocks):
            asked = tokens + prompts if index else prompts
            attended = block.attend_self(asked, asked, tokens)
            tokens = block.norm_self(tokens + attended if index else attended)
            tokens = block.norm_read(tokens + image.read(tokens + prompts))
            tokens = block.norm_network(tokens + block.network(tokens))
            image.write(tokens + prompts, tokens)
        masks = self._masks_for(wanted)
        if self._high_quality is not None:
            masks = [len(self._parts.to_mask)]  # whose token comes after the others
        needed = slice(0, 1 + max(masks) + 1)
        tokens, prompts = tokens[:, needed], prompts[:, needed]
        tokens = self._parts.norm(tokens + image.read(tokens + prompts))

        def upscale(weights: Tensor) -> Tensor:
            if self._high_quality is None:
                return self._upscaling(image, shared.finer, weights, space, grid)
            return self._upscale_twice(image, shared, weights, tokens[:, -1], space, grid)

        return self._masks(tokens, upscale, wanted)

    def _upscale_twice(
        self,
        image: ChangedImage,
        shared: SharedImage,
        weights: Tensor,
        own: Tensor,
        space: Workspace,
        grid: Size,
    ) -> Tensor:
        """SAM's masks, to each of which SAM-HQ's own is added, for that prompt's own token (n, C).

        Prompts take turns: of one alone all numbers of the upscaled image are in memory.
        """
        assert self._high_quality is not None
        assert shared.high_quality is not None
        # One row and column of tokens more, which the convolutions see, unless there are none.
        height, width = (min(side + 1, all_) for side, all_ in zip(grid, self.grid, strict=True))
        finer = shared.high_quality[: 4 * height, : 4 * width]
        own = self._high_quality.weights(own)
        logits = weights.new_empty(*weights.shape[:2], 4 * grid[0], 4 * grid[1])
        for index, found in enumerate(logits):
            pixels = self._upscaling.pixels(image.of_prompt(index), space, (height, width))
            added = self._high_quality(pixels, finer, own[index])
            every = (pixels @ weights[index].t()).permute(2, 0, 1) + added
            found[:] = every[:, : found.shape[1], : found.shape[2]]
        return logits

    def _masks_for(self, wanted: Wanted) -> list[int]:
        """The masks from which those that are wanted are chosen."""
        every = len(self._parts.to_mask)
        if wanted is Wanted.SINGLE:
            return list(range(every)) if self._parts.stability else [0]
        return list(range(1, every))

    def _masks(
        self, tokens: Tensor, upscale: Callable[[Tensor], Tensor], wanted: Wanted
    ) -> tuple[Tensor, Tensor]:
        """Logits and scores of n prompts, from their tokens and what gives weights' logits."""
        scores = self._parts.to_scores(tokens[:, 0])
        masks = self._masks_for(wanted)
        chosen = torch.tensor(masks, device=scores.device).expand(len(tokens), -1)
        if wanted is not Wanted.ALL and len(masks) > 1:
            best = 1 + scores[:, 1:].argmax(dim=1, keepdim=True)
            chosen = best if wanted is Wanted.BEST else torch.cat([chosen[:, :1], best], dim=1)
        elif wanted is Wanted.ALL and self._high_quality is not None:  # which orders them
            chosen = 1 + scores[:, 1:].argsort(dim=1, descending=True)
        logits = upscale(self._mask_weights(tokens, chosen))
        scores = scores.gather(1, chosen)
        if wanted is Wanted.SINGLE and self._parts.stability:
            single = ~_is_stable(logits[:, 0], *self._parts.stability)
            rows = torch.arange(len(single), device=single.device)
            logits, scores = logits[rows, single.long()], scores[rows, single.long()]
            return logits[:, None], scores[:, None]
        return logits, scores

    def _mask_weights(self, tokens: Tensor, chosen: Tensor) -> Tensor:
        """The weights over channels (n, M, C / 8) of the chosen (n, M) masks."""
        needed = chosen.unique().tolist()
        made = torch.stack([self._parts.to_mask[i](tokens[:, 1 + i]) for i in needed], dim=1)
        places = torch.searchsorted(chosen.new_tensor(needed), chosen.contiguous())
        return made.gather(1, places[..., None].expand(-1, -1, made.shape[-1]))


def _is_stable(logits: Tensor, delta: float, threshold: float) -> Tensor:
    """Whether masks (n, h, w) hardly depend on where they are cut: SAM 2's rule, (n,) bool."""
    areas = [(logits > cut).sum(dim=(1, 2)).float() for cut in (delta, -delta)]
    return torch.where(areas[1] > 0, areas[0] / areas[1], 1.0) >= threshold


def _tokens(image: Tensor) -> Tensor:
    """(n, C, h, w) -> (n, h * w, C)."""
    return image.flatten(2).transpose(1, 2).contiguous()
