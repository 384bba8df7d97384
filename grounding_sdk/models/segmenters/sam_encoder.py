"""SAM's image encoder, faster and in less memory, with the weights of either package.

The network is a vision transformer (https://arxiv.org/abs/2304.02643; the relative positions are of
https://arxiv.org/abs/2112.01526): most blocks attend within windows, a few to the whole grid of 64
x 64 tokens. What is done otherwise than in the published code, with the same numbers but for
rounding:

- Attention between all 4,096 tokens has 12 x 4,096 x 4,096 scores, 800 MB. On a CPU in float32
  each core makes those of a head of its own, in slabs of at most `SCORES_AT_ONCE` in one piece of
  memory that stays in the cache. Within windows the kernel of torch is faster, with the term that
  depends on relative position, q . R_h[y - y'] + q . R_w[x - x'], as its mask.
- In bfloat16 and on a GPU, where attention is one kernel, that term is part of the product of
  q' = (q s, q . R_h[y - .], q . R_w[x - .]) with k' = (k, one-hot(y'), one-hot(x')), so that plain
  attention gives it, with h + w more numbers for each query and key.
- The bias of the keys is left out, as it adds one number to all scores of a query, and that of the
  values comes after the projection, as weights sum to one. So keys and values of the padding of
  windows that reach beyond the grid are zero, and padding needs no product.
- On a CPU windows are taken a line at a time, and the perceptron some tokens; see `perceptron`.
- The tokens stay contiguous. The published code goes on with a permuted view of the patches, and
  every later sum and normalisation pays for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from grounding_sdk.models.engines import PictureSide
from grounding_sdk.models.perceptron import TOKENS_AT_ONCE, Perceptron, gelu
from grounding_sdk.models.workers import share_out

SCORES_AT_ONCE = 2**20  # 4 MB
LOG2_E = math.log2(math.e)

Linear = tuple[Tensor, Tensor | None]


@dataclass(frozen=True, eq=False)
class _Block:
    norm_attention: Any
    query_key_value: Linear  # its bias is that of the queries; see `sam_encoder`
    heads: int
    rows: Tensor  # (h, h, d): the relative position of each row to each
    columns: Tensor  # (w, w, d)
    projection: Linear
    norm_network: Any
    network: tuple[Linear, Any, Linear]
    perceptron: Perceptron  # the same, for float32 on a CPU
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
        in_slabs = self._dtype != torch.bfloat16 and tokens.device.type == "cpu"
        for block in self._blocks:
            if self._plain:
                tokens = tokens + self._attention(block, tokens)
                tokens = tokens + _network(block, tokens, self._dtype)
                continue
            if in_slabs:
                for image in tokens.split(1):
                    for part in image.split(block.window or image.shape[1], dim=1):
                        _add_attention(block, part)
                block.perceptron.add_to(tokens.flatten(0, 2))
            else:
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
        projected = functional.linear(seen, *block.query_key_value)
        if block.window:
            projected = _windows(projected, block.window)
        projected = projected.unflatten(-1, (3, block.heads, -1))
        attended = attend_with_positions(projected, block.rows, block.columns)
        if block.window:
            attended = _without_windows(attended, height, width)
        return functional.linear(attended, *block.projection)


def _add_attention(block: _Block, tokens: Tensor) -> None:
    """Adds to tokens (B, h, w, C) what they attend to, in place, without passes for biases."""
    _, height, width, channels = tokens.shape
    weight, bias = block.query_key_value
    projected = functional.linear(block.norm_attention(tokens), weight)
    if bias is not None:
        projected[..., :channels] += bias[:channels]
    if block.window:
        projected = _windows(projected, block.window)
    attend = attend_with_mask if block.window else attend_in_slabs
    attended = attend(projected.unflatten(-1, (3, block.heads, -1)), block.rows, block.columns)
    if block.window:
        attended = _without_windows(attended, height, width)
    weight, bias = block.projection
    tokens.view(-1, channels).addmm_(attended.view(-1, channels), weight.T)
    if bias is not None:
        tokens += bias


def is_known(encoder: Any) -> bool:
    """Whether `SamEncoder` can take it: not MobileSAM's, nor one set up without positions.

    Told by its parts, as importing the packages' classes would load both packages.
    """
    return getattr(encoder, "pos_embed", None) is not None and all(
        hasattr(getattr(layer, "attn", None), "rel_pos_h") for layer in _layers(encoder)
    )


def attend_in_slabs(projected: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Attends with relative positions, each core to a head, a bounded number of scores at a time.

    Args:
        projected: (B, h, w, 3, heads, d), queries, keys and values.
        rows: (h, h, d), the relative position of each row to each.
        columns: (w, w, d)

    Returns:
        (B, h, w, heads * d)
    """
    batch, height, width, _, heads, depth = projected.shape
    attended = projected.new_empty(batch, height, width, heads, depth)
    lines = min(height, max(1, SCORES_AT_ONCE // (width * height * width)))

    def attend(task: tuple[int, int]) -> None:
        image, head = task
        memory = projected.new_empty(lines * width, height, width)
        query, key, value = projected[image, ..., head, :].unbind(2)
        query = query * LOG2_E  # 2^x is faster than e^x
        key, value = (part.reshape(-1, depth).contiguous() for part in (key, value))
        by_row = torch.einsum("hwc,hkc->hwk", query, rows)
        by_column = torch.einsum("hwc,wkc->hwk", query, columns)
        parts = query, by_row, by_column, attended[image, :, :, head]
        for slab in zip(*(part.split(lines) for part in parts), strict=True):
            asked, to_rows, to_columns = (part.flatten(0, 1) for part in slab[:3])
            scores = memory[: len(asked)]
            torch.add(to_rows[..., None], to_columns[:, None], out=scores)
            scores = scores.flatten(1)
            scores.addmm_(asked, key.T, alpha=depth**-0.5)
            scores -= scores.amax(dim=1, keepdim=True)
            scores.exp2_()
            answer = (scores @ value).div_(scores.sum(dim=1, keepdim=True))
            slab[3].copy_(answer.view_as(slab[3]))

    share_out(attend, product(range(batch), range(heads)), torch.get_num_threads())
    return attended.flatten(3)


def attend_with_mask(projected: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same with positions as the mask of a kernel, for all scores at once."""
    query, key, value = projected.permute(3, 0, 4, 1, 2, 5)  # each (B, heads, h, w, d)
    by_row, by_column = _by_position(query, rows, columns)
    mask = query.new_empty(*query.shape[:-1], *query.shape[2:4])  # contiguous, as a sum is not
    torch.add(by_row[..., :, None], by_column[..., None, :], out=mask)
    mask = mask.flatten(4).flatten(2, 3)
    query, key, value = (part.flatten(2, 3) for part in (query, key, value))
    attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attended.unflatten(2, projected.shape[1:3]).permute(0, 2, 3, 1, 4).flatten(3)


def attend_with_positions(projected: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same with positions as further numbers of queries and keys; see `sam_encoder`."""
    _, height, width, _, _, depth = projected.shape
    query, key, value = projected.permute(3, 0, 4, 1, 2, 5)  # each (B, heads, h, w, d)
    by_row, by_column = _by_position(query, rows, columns)
    asked = torch.cat([query * depth**-0.5, by_row, by_column], dim=-1).flatten(2, 3)
    row_of, column_of = (torch.eye(n, dtype=key.dtype, device=key.device) for n in (height, width))
    places = torch.cat([row_of.repeat_interleave(width, 0), column_of.repeat(height, 1)], dim=-1)
    keys = key.flatten(2, 3)
    keys = torch.cat([keys, places.expand(*keys.shape[:2], -1, -1)], dim=-1)
    values = functional.pad(value.flatten(2, 3), (0, height + width))  # the kernels want one depth
    attended = functional.scaled_dot_product_attention(asked, keys, values, scale=1.0)
    attended = attended[..., :depth].unflatten(2, (height, width))
    return attended.permute(0, 2, 3, 1, 4).flatten(3)


def _by_position(query: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """What each query (B, heads, h, w, d) adds for each row of keys and for each column."""
    by_row = torch.einsum("bnhwc,hkc->bnhwk", query, rows)
    return by_row, torch.einsum("bnhwc,wkc->bnhwk", query, columns)


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
    norm_network = layer.norm2 if ours else layer.layer_norm2
    span = layer.window_size or side
    into, out_of = attention.qkv, attention.proj
    query_bias, projection_bias = into.bias, out_of.bias
    if query_bias is not None:
        of_queries, of_keys, of_values = query_bias.chunk(3)
        query_bias = torch.cat([of_queries, of_keys * 0, of_values * 0])
        projection_bias = out_of(of_values)
    return _Block(
        norm_attention=layer.norm1 if ours else layer.layer_norm1,
        query_key_value=_linear(into, query_bias, dtype),
        heads=attention.num_heads if ours else attention.num_attention_heads,
        rows=_relative(attention.rel_pos_h, span).to(dtype),
        columns=_relative(attention.rel_pos_w, span).to(dtype),
        projection=_linear(out_of, projection_bias, dtype),
        norm_network=norm_network,
        network=(
            _linear(network.lin1, network.lin1.bias, dtype),
            network.act,
            _linear(network.lin2, network.lin2.bias, dtype),
        ),
        perceptron=Perceptron(norm_network, network.lin1, network.lin2, gelu(network.act)),
        window=layer.window_size,
    )


def _linear(module: Any, bias: Tensor | None, dtype: torch.dtype) -> Linear:
    return module.weight.detach().to(dtype), None if bias is None else bias.detach().to(dtype)


def _relative(table: Tensor, span: int) -> Tensor:
    """(2 * span - 1, d), by distance, as (span, span, d), by query and key.

    >>> _relative(torch.arange(5.0)[:, None], 3)[..., 0].tolist()
    [[2.0, 1.0, 0.0], [3.0, 2.0, 1.0], [4.0, 3.0, 2.0]]
    """
    places = torch.arange(span, device=table.device)
    return table.detach()[places[:, None] - places + span - 1]
