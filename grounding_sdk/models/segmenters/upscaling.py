"""Upscaling of an image that prompts changed: of each token 4 x 4 pixels of C / 8 numbers.

A transposed convolution whose stride is its kernel is a matrix product, with the pixels of each
token side by side. The first one is linear in the image, so that most of it is made once for all
prompts (see `changed_image`). The mean over channels that the norm between the two takes away is
taken from the weights instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from grounding_sdk.detections import Size
from grounding_sdk.models.segmenters.changed_image import (
    ChangedImage,
    Workspace,
    blocks,
    centred,
    normalised,
)
from grounding_sdk.models.segmenters.decoder_parts import DecoderParts


class Upscaling:
    """The two transposed convolutions and the norm between them."""

    def __init__(self, parts: DecoderParts, shift: Tensor, dtype: torch.dtype) -> None:
        """Takes the weights as they are now.

        Args:
            parts: Of the decoder.
            shift: (C,), added to the image by the norm before.
            dtype: To compute in.
        """
        self._grid = (parts.position.shape[2], parts.position.shape[3])
        self._dtype = dtype
        weight, bias = (each.unflatten(0, (4, -1)) for each in _as_linear(parts.upscale[0]))
        self._first = centred(weight, dim=1).flatten(0, 1)
        self._constant = centred(bias, dim=1).flatten() + self._first @ shift
        self._norm = parts.norm_upscale
        self._second = [each.to(dtype) for each in _as_linear(parts.upscale[1])]

    def of_tokens(self, tokens: Tensor) -> Tensor:
        """The first product of (N, C) tokens."""
        return tokens @ self._first.t()

    def arranged(self, finest: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Features of twice and four times the grid's side as what is added after the products."""
        fine, finest = (
            _side_by_side(each, steps, self._grid) for steps, each in enumerate((fine, finest), 1)
        )
        return centred(fine), finest.to(self._dtype)

    def __call__(
        self,
        image: ChangedImage,
        finer: tuple[Tensor, Tensor] | None,
        weights: Tensor,
        space: Workspace,
        kept: Size,
    ) -> Tensor:
        """Upscales an image to weighted sums over channels.

        Args:
            image: After all blocks.
            finer: From `arranged`.
            weights: (n, M, C / 8)
            space: Where to work.
            kept: How many (rows, columns) of the grid are upscaled, from the upper left.

        Returns:
            (n, M, 4 * rows, 4 * columns)
        """
        pixels = []
        for fine in self._parts(image, finer, space, kept):
            sums = [each @ own.t() for own, each in zip(fine, weights.to(fine), strict=True)]
            pixels.append(torch.stack(sums))
        return _in_place(torch.cat(pixels, dim=2).to(weights), kept)

    def pixels(self, image: ChangedImage, space: Workspace, kept: Size) -> Tensor:
        """Upscales an image that one prompt changed: (4 * rows, 4 * columns, C / 8)."""
        channels = len(self._second[1]) // 4
        pixels = image.rows.new_empty(16 * kept[0] * kept[1], channels)
        start = 0
        for fine in self._parts(image, None, space, kept):
            pixels[start : start + fine.shape[1]] = fine[0]
            start += fine.shape[1]
        pixels = pixels.view(*kept, 2, 2, 2, 2, channels).permute(0, 2, 4, 1, 3, 5, 6)
        return pixels.reshape(4 * kept[0], 4 * kept[1], channels)

    def _parts(
        self,
        image: ChangedImage,
        finer: tuple[Tensor, Tensor] | None,
        space: Workspace,
        kept: Size,
    ) -> Iterator[Tensor]:
        """Pixels of some tokens at a time; what was given is written over by the next."""
        columns = (image.columns @ self._first.t()).to(self._dtype)
        grid = torch.arange(image.rows.shape[-1], device=image.rows.device).view(self._grid)
        indices = grid[: kept[0], : kept[1]].flatten()
        for part in blocks(image.rows, len(indices)):
            # Whole rows of the grid lie side by side and need not be gathered.
            tokens = part if kept[1] == self._grid[1] else indices[part]
            yield self._fine(image, columns, finer, tokens, space)

    def _fine(
        self,
        image: ChangedImage,
        columns: Tensor,
        finer: tuple[Tensor, Tensor] | None,
        tokens: slice | Tensor,
        space: Workspace,
    ) -> Tensor:
        """(n, 16 * tokens, C / 8), the pixels of each token side by side."""
        shared, factor = image.shared.last[tokens], image.factor[..., tokens].mT
        count = len(factor)
        coarse = space.take("coarse", shared, count, *shared.shape)
        torch.addcmul(self._constant, shared, factor, out=coarse)
        rows = image.rows[..., tokens].mT
        if self._dtype is rows.dtype:
            coarse.baddbmm_(rows, columns)
        else:
            coarse += torch.bmm(rows.to(self._dtype), columns)
        coarse = coarse.view(count, -1, shared.shape[1] // 4)  # each token's 2 x 2 pixels
        if finer is not None:
            coarse += finer[0][tokens].flatten(0, 1)
        coarse = torch.ops.aten.gelu_(normalised(coarse, self._norm)).to(self._dtype)
        weight, bias = self._second
        fine = space.take("fine", weight, count * coarse.shape[1], len(bias))
        torch.addmm(bias, coarse.flatten(0, 1), weight.t(), out=fine)
        fine = fine.view(count, -1, len(bias) // 4)  # each pixel's 2 x 2 pixels
        if finer is not None:
            fine += finer[1][tokens].flatten(0, 1)
        return torch.ops.aten.gelu_(fine)


def _as_linear(upscaling: Any) -> tuple[Tensor, Tensor]:
    """Weight (4 * out, in) and bias that make the 2 x 2 pixels of a token side by side."""
    weight = upscaling.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return weight.contiguous(), upscaling.bias.repeat(4)


def _side_by_side(image: Tensor, doublings: int, grid: tuple[int, int]) -> Tensor:
    """(1, C, H, W) as the pixels that each token of the grid is upscaled to, (N, pixels, C).

    >>> image = torch.arange(16).view(1, 1, 4, 4)
    >>> _side_by_side(image, 1, (2, 2))[..., 0].tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    """
    twos = [2] * doublings
    split = image.unflatten(3, (grid[1], *twos)).unflatten(2, (grid[0], *twos))
    across = 3 + doublings
    order = [axis for step in range(1 + doublings) for axis in (2 + step, across + step)]
    tokens = split.permute(0, *order, 1).flatten(1, -2)
    return tokens.unflatten(1, (grid[0] * grid[1], -1))[0].contiguous()


def _in_place(pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    """(n, M, 16 h w), each token's 2 x 2 pixels of 2 x 2 side by side, as (n, M, 4 h, 4 w)."""
    height, width = grid
    # What is complex moves two at a time: those that are neighbours before and after.
    pairs = torch.view_as_complex(pixels.view(*pixels.shape[:2], height, width, 2, 2, 2, 2))
    pairs = pairs.permute(0, 1, 2, 4, 6, 3, 5).contiguous()
    return torch.view_as_real(pairs).view(*pixels.shape[:2], 4 * height, 4 * width)
