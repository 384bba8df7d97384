"""SAM's image encoder, faster and in less memory, with the weights of either package.

The network is a vision transformer (https://arxiv.org/abs/2304.02643; the relative positions are of
https://arxiv.org/abs/2112.01526): most blocks attend within windows, a few to the whole grid of 64
x 64 tokens. What is done otherwise than in the published code, with the same numbers but for
rounding:

- Attention between all 4,096 tokens has 12 x 4,096 x 4,096 scores, 800 MB. Here they come and go in
  slabs of at most `SCORES_AT_ONCE`, which stay in the cache; or never exist: the term that depends
  on relative position, q . R_h[y - y'] + q . R_w[x - x'], is part of the product of
  q' = (q s, q . R_h[y - .], q . R_w[x - .]) with k' = (k, one-hot(y'), one-hot(x')), so that plain
  attention gives it, with h + w more numbers for each query and key. The first is for a CPU in
  float32, the second where attention is one kernel: in bfloat16 and on a GPU.
- The tokens stay contiguous. The published code goes on with a permuted view of the patches, and
  every later sum and normalisation pays for that.
- Windows that reach beyond the grid are padded as published, but what is attended for the padding
  is dropped before the projection.
- The perceptron takes `TOKENS_AT_ONCE`, not all with four times their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from grounding_sdk.models.engines import PictureSide

SCORES_AT_ONCE = 2**20  # 4 MB
TOKENS_AT_ONCE = 1024

Linear = tuple[Tensor, Tensor | None]


@dataclass(frozen=True, eq=False)
class _Block:
    norm_attention: Any
    query_key_value: Linear
    heads: int
    rows: Tensor  # (h, h, d): the relative position of each row to each
    columns: Tensor  # (w, w, d)
    projection: Linear
    norm_network: Any
    network: tuple[Linear, Any, Linear]
    window: int  # tokens a side; 0 for all


@dataclass(frozen=True, eq=False)
class EngineEncoder:
    """A `SamEncoder` by another engine, without early features; see `engines`."""

    encode: Callable[[Tensor], Tensor]

    def __call__(self, pixels: Tensor) -> tuple[Tensor, None]:
        """Encodes preprocessed images (B, 3, side, side)."""
        return self.encode(pixels), None


def picture_side(encoder: Any) -> PictureSide:
    """An encoder of either package in the operations that other engines know."""
    patches = getattr(encoder.patch_embed, "projection", None) or encoder.patch_embed.proj
    side = encoder.pos_embed.shape[1] * patches.kernel_size[0]
    plain = SamEncoder(encoder, plain=True)
    return PictureSide(lambda pixels: plain(pixels)[:1], encoder, (side, side))


class SamEncoder:
    """Encodes with the weights of segment-anything's or transformers' encoder (SAM, SAM-HQ)."""

    def __init__(
        self, encoder: Any, dtype: torch.dtype = torch.float32, *, plain: bool = False
    ) -> None:
        """Takes the weights as they are now, on the device where they are.

        Args:
            encoder: An `ImageEncoderViT`, `SamVisionEncoder` or `SamHQVisionEncoder`.
            dtype: Of the large products; bfloat16 keeps copies of their weights. What is summed up
                over the blocks stays float32.
            plain: Whether to use no more than operations that other engines know, in one pass.
        """
        self._encoder = encoder
        self._official = hasattr(encoder, "blocks")
        side = encoder.pos_embed.shape[1]
        self._blocks = [_block(layer, side, dtype) for layer in _layers(encoder)]
        self._dtype = dtype
        self._plain = plain

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Encodes preprocessed images.

        Args:
            pixels: (B, 3, side, side) float32.

        Returns:
            The embedding (B, C, h, w), and the tokens (B, h, w, width) after the first block that
            attends to the whole grid (SAM-HQ's early features); None if there is no such block.
        """
        tokens = (self._encoder.patch_embed(pixels) + self._encoder.pos_embed).contiguous()
        early = None
        for block in self._blocks:
            if self._plain:
                tokens = tokens + self._attention(block, tokens)
                tokens = tokens + _network(block, tokens, self._dtype)
                continue
            tokens += self._attention(block, tokens)
            for part in tokens.flatten(0, 2).split(TOKENS_AT_ONCE):
                part += _network(block, part, self._dtype)
            if early is None and not block.window:
                early = tokens.clone()
        # transformers' neck moves the axis itself.
        return self._encoder.neck(tokens.permute(0, 3, 1, 2) if self._official else tokens), early

    def _attention(self, block: _Block, tokens: Tensor) -> Tensor:
        height, width = tokens.shape[1:3]
        seen = block.norm_attention(tokens).to(self._dtype)
        if block.window:
            seen = _windows(seen, block.window)
        projected = functional.linear(seen, *block.query_key_value)
        projected = projected.unflatten(-1, (3, block.heads, -1))
        in_slabs = self._dtype != torch.bfloat16 and tokens.device.type == "cpu"
        attend = attend_in_slabs if in_slabs and not self._plain else attend_with_positions
        attended = attend(projected, block.rows, block.columns)
        if block.window:
            attended = _without_windows(attended, height, width)
        return functional.linear(attended, *block.projection)


def is_known(encoder: Any) -> bool:
    """Whether `SamEncoder` can take it: not MobileSAM's, nor one set up without positions.

    Told by its parts, as importing the packages' classes would load both packages.
    """
    return getattr(encoder, "pos_embed", None) is not None and all(
        hasattr(getattr(layer, "attn", None), "rel_pos_h") for layer in _layers(encoder)
    )


def attend_in_slabs(projected: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Attends with relative positions, a bounded number of scores at a time.

    Args:
        projected: (B, h, w, 3, heads, d), queries, keys and values.
        rows: (h, h, d), the relative position of each row to each.
        columns: (w, w, d)

    Returns:
        (B, h, w, heads * d)
    """
    batch, height, width, _, heads, depth = projected.shape
    attended = projected.new_empty(batch, height, width, heads, depth)
    for head in range(heads):
        query, key, value = projected[..., head, :].unbind(3)
        by_row = torch.einsum("bhwc,hkc->bhwk", query, rows)
        by_column = torch.einsum("bhwc,wkc->bhwk", query, columns)
        for grids, lines in _slabs(batch, height, width):
            scores = by_row[grids, lines, :, :, None] + by_column[grids, lines, :, None, :]
            scores = scores.flatten(3).flatten(1, 2)
            asked, keys, values = (
                part.flatten(1, 2) for part in (query[grids, lines], key[grids], value[grids])
            )
            scores.baddbmm_(asked, keys.transpose(1, 2), alpha=depth**-0.5)
            answer = torch.bmm(scores.softmax(dim=-1), values)
            attended[grids, lines, :, head] = answer.unflatten(1, (-1, width))
    return attended.flatten(3)


def attend_with_positions(projected: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same with positions as further numbers of queries and keys; see `sam_encoder`."""
    _, height, width, _, _, depth = projected.shape
    query, key, value = projected.permute(3, 0, 4, 1, 2, 5)  # each (B, heads, h, w, d)
    by_row = torch.einsum("bnhwc,hkc->bnhwk", query, rows)
    by_column = torch.einsum("bnhwc,wkc->bnhwk", query, columns)
    asked = torch.cat([query * depth**-0.5, by_row, by_column], dim=-1).flatten(2, 3)
    row_of, column_of = (torch.eye(n, dtype=key.dtype, device=key.device) for n in (height, width))
    places = torch.cat([row_of.repeat_interleave(width, 0), column_of.repeat(height, 1)], dim=-1)
    keys = key.flatten(2, 3)
    keys = torch.cat([keys, places.expand(*keys.shape[:2], -1, -1)], dim=-1)
    values = functional.pad(value.flatten(2, 3), (0, height + width))  # the kernels want one depth
    attended = functional.scaled_dot_product_attention(asked, keys, values, scale=1.0)
    attended = attended[..., :depth].unflatten(2, (height, width))
    return attended.permute(0, 2, 3, 1, 4).flatten(3)


def _slabs(batch: int, height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Grids, and lines of them, whose scores fit; whole grids if one does.

    >>> list(_slabs(1, 64, 64))[:2]
    [(slice(0, 1, None), slice(0, 4, None)), (slice(0, 1, None), slice(4, 8, None))]
    >>> list(_slabs(50, 14, 14))
    [(slice(0, 27, None), slice(0, 14, None)), (slice(27, 54, None), slice(0, 14, None))]
    """
    line = width * height * width
    lines = min(height, max(1, SCORES_AT_ONCE // line))
    grids = max(1, SCORES_AT_ONCE // (lines * line)) if lines == height else 1
    for first in range(0, batch, grids):
        for top in range(0, height, lines):
            yield slice(first, first + grids), slice(top, top + lines)


def _network(block: _Block, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    """What the perceptron makes of tokens (..., C)."""
    into, activation, out_of = block.network
    hidden = activation(functional.linear(block.norm_network(tokens).to(dtype), *into))
    return functional.linear(hidden, *out_of)


def _windows(tokens: Tensor, side: int) -> Tensor:
    """(B, h, w, C) -> (B * windows, side, side, C), padded with zeros at bottom and right."""
    height, width = tokens.shape[1:3]
    tokens = functional.pad(tokens, (0, 0, 0, -width % side, 0, -height % side))
    split = tokens.unflatten(2, (-1, side)).unflatten(1, (-1, side))
    return split.transpose(2, 3).flatten(0, 2)


def _without_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """The reverse of `_windows`.

    >>> tokens = torch.arange(12).view(1, 3, 4, 1)
    >>> torch.equal(_without_windows(_windows(tokens, 2), 3, 4), tokens)
    True
    """
    side = windows.shape[1]
    split = windows.unflatten(0, (-1, -(-height // side), -(-width // side)))
    return split.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, :height, :width].contiguous()


# ---- where the packages keep the weights


def _layers(encoder: Any) -> Any:
    return encoder.blocks if hasattr(encoder, "blocks") else encoder.layers


def _block(layer: Any, side: int, dtype: torch.dtype) -> _Block:
    attention, network = layer.attn, layer.mlp
    ours = hasattr(layer, "norm1")  # segment-anything's names
    span = layer.window_size or side
    return _Block(
        norm_attention=layer.norm1 if ours else layer.layer_norm1,
        query_key_value=_linear(attention.qkv, dtype),
        heads=attention.num_heads if ours else attention.num_attention_heads,
        rows=_relative(attention.rel_pos_h, span).to(dtype),
        columns=_relative(attention.rel_pos_w, span).to(dtype),
        projection=_linear(attention.proj, dtype),
        norm_network=layer.norm2 if ours else layer.layer_norm2,
        network=(_linear(network.lin1, dtype), network.act, _linear(network.lin2, dtype)),
        window=layer.window_size,
    )


def _linear(module: Any, dtype: torch.dtype) -> Linear:
    bias = module.bias
    return module.weight.detach().to(dtype), None if bias is None else bias.detach().to(dtype)


def _relative(table: Tensor, span: int) -> Tensor:
    """(2 * span - 1, d), by distance, as (span, span, d), by query and key.

    >>> _relative(torch.arange(5.0)[:, None], 3)[..., 0].tolist()
    [[2.0, 1.0, 0.0], [3.0, 2.0, 1.0], [4.0, 3.0, 2.0]]
    """
    places = torch.arange(span, device=table.device)
    return table.detach()[places[:, None] - places + span - 1]
