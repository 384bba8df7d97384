"""SAM's mask decoder with less to do: what all prompts share is done once, the rest is folded.

A prompt is about 10 tokens of C = 256 numbers, an image N = 4,096 of them; the published code
copies the image for each prompt and projects the copy over and over. The same numbers, but for
rounding, come out of less (notation: x_n image token, p_n its position, t a prompt's token, h a
head, s the scale of attention):

- Before the first block the image is the same for all prompts that bring no mask. Its queries, keys
  and values there are made once for an image, and the tokens of all prompts read it in one pass.
- Tokens reading the image. The score q_t . (W_k (x_n + p_n) + b_k) s is (W_k' q_t s) . (x_n + p_n)
  plus a number that is the same for all n, which softmax forgets; and the sum of values
  sum_n a_n (W_v x_n + b_v) is W_v (sum_n a_n x_n) + b_v. No image token is projected.
- The image reading tokens. The score (W_q (x_n + p_n) + b_q) . k_t s is
  (x_n + p_n) . (W_q' k_t s) + b_q . k_t s, and the output W_o sum_t a_t v_t is
  sum_t a_t (W_o v_t): again the few tokens are projected, not the many. As the weights of a head
  sum to one, the output's bias is added to the values of one head and never to the image.
- A transposed convolution whose stride is its kernel is a matrix product, the pixels of each token
  side by side; they are put in their places at the end, when there is one number for each.
- Masks that nobody asked for are not made. Where the best is asked for, the scores say which.

The published networks: Segment Anything (https://arxiv.org/abs/2304.02643, section A) and SAM 2
(https://arxiv.org/abs/2408.00714), which adds finer features of the image while upscaling, a token
for whether there is an object, and a fallback for masks that are not stable.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Network = Callable[[Tensor], Tensor]  # a multi-layer perceptron on (..., C)


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
class Attention:
    """Four projections of the same number of heads; see `folded_decoder`."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear
    heads: int

    @property
    def scale(self) -> float:
        """What scores are multiplied by."""
        return (self.query.out_features // self.heads) ** -0.5

    def split(self, projected: Tensor) -> Tensor:
        """(..., T, heads * d) -> (..., heads, T, d)."""
        return projected.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attends as usual: (n, T, C) of each."""
        return self.merge(
            functional.scaled_dot_product_attention(
                self.split(self.query(query)),
                self.split(self.key(key)),
                self.split(self.value(value)),
            )
        )

    def merge(self, attended: Tensor) -> Tensor:
        """(n, heads, T, d) -> (n, T, C), projected."""
        return self.output(attended.transpose(-2, -3).flatten(-2))


@dataclass(frozen=True, eq=False)
class Block:
    """A block of the two-way transformer."""

    attend_self: Attention
    norm_self: nn.LayerNorm
    read_image: Attention
    norm_read: nn.LayerNorm
    network: Network
    norm_network: nn.LayerNorm
    write_image: Attention
    norm_write: nn.LayerNorm


@dataclass(frozen=True, eq=False)
class DecoderParts:
    """A mask decoder, whichever package its weights come from; `decoder_parts` makes it.

    Attributes:
        tokens: (1 + M + extra, C): for the scores, the M masks, and whatever else is attended to.
            (Attention does not know the order of tokens, so it need not be the package's.)
        blocks: Of the transformer.
        read_image: The last attention.
        norm: After it.
        upscale: The two transposed convolutions, with their kernel 2 and stride 2.
        norm_upscale: The normalisation over channels between them.
        to_mask: For each of the M masks the network from its token to weights over channels.
        to_scores: The network from the first token to M scores.
        no_mask: (1, C), added to the image where a prompt brings no mask.
        position: (1, C, h, w), of the image's tokens.
        stability: SAM 2's fallback from the single mask to the best: delta and threshold of
            stability; None where there is none.
    """

    tokens: Tensor
    blocks: Sequence[Block]
    read_image: Attention
    norm: nn.LayerNorm
    upscale: tuple[nn.ConvTranspose2d, nn.ConvTranspose2d]
    norm_upscale: Any
    to_mask: Sequence[Network]
    to_scores: Network
    no_mask: Tensor
    position: Tensor
    stability: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class SharedImage:
    """What decoding needs of an image, whatever the prompt.

    Attributes:
        features: (1, N, C), the encoder's.
        tokens: The same plus `no_mask`.
        placed: The same plus `position`.
        query: (1, heads, d, N) of `placed`, scaled: what the image asks in the first block.
        key: (1, heads, N, d), what the first block reads.
        value: (1, heads, N, d)
        finer: What is added after each of the two upscalings, pixels of a token side by side:
            (1, 4 * N, C / 4) and (1, 16 * N, C / 8). None where the model has no such thing.
    """

    features: Tensor
    tokens: Tensor
    placed: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    finer: tuple[Tensor, Tensor] | None


class FoldedDecoder:
    """Decodes prompts with the weights of a mask decoder; equal to it but for rounding."""

    @torch.no_grad()
    def __init__(self, parts: DecoderParts, dtype: torch.dtype = torch.float32) -> None:
        """Takes the weights as they are now, on the device where they are.

        Args:
            parts: Of the decoder.
            dtype: Of everything as large as the image; the few tokens stay float32.
        """
        self.grid = (parts.position.shape[2], parts.position.shape[3])
        self._parts = parts
        self._dtype = dtype
        self._position = _tokens(parts.position)
        self._norms = [_as_norm(block.norm_write, dtype) for block in parts.blocks]
        self._upscale = [_as_linear(convolution, dtype) for convolution in parts.upscale]
        self._norm_upscale = _as_norm(parts.norm_upscale, dtype)
        # One tuple, so that threads see an image and what belongs to it, or neither.
        self._latest: tuple[weakref.ref[Tensor], SharedImage] | None = None

    def share(self, features: Sequence[Tensor]) -> SharedImage:
        """Does what is to be done once for an image; what was done for the latest is kept.

        Args:
            features: The encoder's outputs: (1, C, h, w); where the model has finer ones, before
                it (1, C / 8, 4 h, 4 w) and (1, C / 4, 2 h, 2 w).
        """
        latest = self._latest
        if latest is not None and latest[0]() is features[-1]:
            return latest[1]
        shared = self._share(features)
        self._latest = weakref.ref(features[-1]), shared
        return shared

    def _share(self, features: Sequence[Tensor]) -> SharedImage:
        parts, block = self._parts, self._parts.blocks[0]
        read, write = block.read_image, block.write_image
        tokens = _tokens(features[-1]) + parts.no_mask
        placed = tokens + self._position
        finer = None
        if len(features) > 1:
            finest, fine = (feature.to(self._dtype) for feature in features[:2])
            finer = _side_by_side(fine, 1, self.grid), _side_by_side(finest, 2, self.grid)
        query = write.split(write.query(placed)).transpose(-1, -2) * write.scale
        return SharedImage(
            features=_tokens(features[-1]),
            tokens=tokens.to(self._dtype),
            placed=placed.to(self._dtype),
            query=query.to(self._dtype).contiguous(),
            key=read.split(read.key(placed)).contiguous(),
            value=read.split(read.value(tokens)).contiguous(),
            finer=finer,
        )

    def decode(
        self,
        image: SharedImage,
        sparse: Tensor,
        dense: Tensor | None = None,
        wanted: Wanted = Wanted.SINGLE,
        at_once: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """Decodes n prompts with the same number of tokens.

        Args:
            image: From `share`.
            sparse: (n, S, C) float32, the embedded points and boxes.
            dense: (n, C, h, w) float32, the embedded masks; None where there are none.
            wanted: Which masks.
            at_once: Prompts whose image is in memory at a time; one is fastest on a CPU, where its
                4 MB stay in the cache.

        Returns:
            (n, M, 4 h, 4 w) float32 logits and (n, M) float32 scores; M is 1 but for all masks.
        """
        prompts = torch.cat(
            [self._parts.tokens.expand(len(sparse), -1, -1), sparse.to(self._parts.tokens)], dim=1
        )
        tokens = self._first_attention(prompts)
        if dense is None:
            tokens = self._first_read(tokens, prompts, image)
        results = []
        for start in range(0, len(prompts), at_once):
            rows = slice(start, start + at_once)
            if dense is None:
                keys = self._first_write(tokens[rows], prompts[rows], image)
                after = self._rest(tokens[rows], prompts[rows], keys, done=1)
            else:
                keys = (image.features + _tokens(dense[rows])).to(self._dtype)
                after = self._rest(tokens[rows], prompts[rows], keys, done=0)
            results.append(self._masks(*after, image, wanted))
        if not results:
            masks = len(self._parts.to_mask) - 1 if wanted is Wanted.ALL else 1
            height, width = self.grid
            empty = sparse.new_empty(0, masks, 4 * height, 4 * width)
            return empty, sparse.new_empty(0, masks)
        logits, scores = zip(*results, strict=True)
        return torch.cat(logits), torch.cat(scores)

    # ---- the first block, where the image is the same for all prompts

    def _first_attention(self, prompts: Tensor) -> Tensor:
        block = self._parts.blocks[0]
        return block.norm_self(block.attend_self(prompts, prompts, prompts))

    def _first_read(self, tokens: Tensor, prompts: Tensor, image: SharedImage) -> Tensor:
        """All prompts' tokens read the image in one pass, as if they were of one prompt."""
        block = self._parts.blocks[0]
        attention = block.read_image
        asked = attention.split(attention.query((tokens + prompts).flatten(0, 1)))[None]
        answer = functional.scaled_dot_product_attention(asked, image.key, image.value)
        answer = attention.merge(answer)[0].view_as(tokens)
        return _after_read(block, tokens, answer)

    def _first_write(self, tokens: Tensor, prompts: Tensor, image: SharedImage) -> Tensor:
        attention = self._parts.blocks[0].write_image
        keys = attention.split(attention.key(tokens + prompts)).to(self._dtype)
        scores = torch.matmul(keys, image.query)  # (n, heads, T, N)
        return self._write(0, scores, tokens, image.tokens)

    # ---- the others

    def _rest(
        self, tokens: Tensor, prompts: Tensor, keys: Tensor, done: int
    ) -> tuple[Tensor, Tensor]:
        """Blocks in which each prompt has an image of its own, `keys` (n, N, C)."""
        position = self._position.to(self._dtype)
        placed = keys + position
        for index, block in enumerate(self._parts.blocks[done:], start=done):
            if index:
                asked = tokens + prompts
                tokens = block.norm_self(tokens + block.attend_self(asked, asked, tokens))
            answer = self._read(block.read_image, tokens + prompts, keys, placed)
            tokens = _after_read(block, tokens, answer)
            keys = self._write(index, self._scores(block, tokens + prompts, placed), tokens, keys)
            placed = keys + position
        answer = self._read(self._parts.read_image, tokens + prompts, keys, placed)
        return self._parts.norm(tokens + answer), keys

    def _read(self, attention: Attention, asking: Tensor, keys: Tensor, placed: Tensor) -> Tensor:
        """What tokens (n, T, C) read from the image."""
        queries = attention.split(attention.query(asking)) * attention.scale
        heads, tokens = queries.shape[1:3]
        folded = torch.matmul(queries, _rows_by_head(attention.key, heads)).flatten(1, 2)
        scores = torch.bmm(folded.to(self._dtype), placed.transpose(1, 2))
        means = torch.bmm(scores.softmax(dim=-1), keys).to(asking).unflatten(1, (heads, tokens))
        values = torch.matmul(means, _rows_by_head(attention.value, heads).transpose(-1, -2))
        return attention.merge(values + attention.value.bias.view(heads, 1, -1))

    def _scores(self, block: Block, asked: Tensor, placed: Tensor) -> Tensor:
        """How much the image attends to tokens (n, T, C): (n, heads, T, N) before softmax."""
        attention = block.write_image
        keys = attention.split(attention.key(asked)) * attention.scale
        heads, tokens = keys.shape[1:3]
        folded = torch.matmul(keys, _rows_by_head(attention.query, heads)).flatten(1, 2)
        constant = torch.matmul(keys, attention.query.bias.view(heads, -1, 1)).flatten(1, 2)
        scores = torch.baddbmm(
            constant.to(self._dtype), folded.to(self._dtype), placed.transpose(1, 2)
        )
        return scores.unflatten(1, (heads, tokens))

    def _write(self, index: int, scores: Tensor, tokens: Tensor, keys: Tensor) -> Tensor:
        """The image after it read `tokens` with these scores; `keys` may be of all prompts."""
        attention = self._parts.blocks[index].write_image
        weight = attention.output.weight.t().unflatten(0, (attention.heads, -1))  # heads, d, C
        values = torch.matmul(attention.split(attention.value(tokens)), weight)
        values[:, 0] += attention.output.bias  # once, as the weights of a head sum to one
        keys = torch.baddbmm(
            keys.expand(len(tokens), -1, -1),
            scores.softmax(dim=2).flatten(1, 2).transpose(1, 2),
            values.flatten(1, 2).to(self._dtype),
        )
        return _normalise(keys, self._norms[index])

    # ---- masks

    def _masks(
        self, tokens: Tensor, keys: Tensor, image: SharedImage, wanted: Wanted
    ) -> tuple[Tensor, Tensor]:
        every = len(self._parts.to_mask)
        scores = self._parts.to_scores(tokens[:, 0])
        best = 1 + scores[:, 1:].argmax(dim=1, keepdim=True)
        if wanted is Wanted.ALL:
            chosen = torch.arange(1, every, device=best.device).expand(len(tokens), -1)
        elif wanted is Wanted.BEST:
            chosen = best
        elif self._parts.stability:
            chosen = torch.cat([torch.zeros_like(best), best], dim=1)
        else:
            chosen = torch.zeros_like(best)
        logits = self._logits(self._weights(tokens, chosen), keys, image)
        scores = scores.gather(1, chosen)
        if wanted is Wanted.SINGLE and self._parts.stability:
            single = ~_is_stable(logits[:, 0], *self._parts.stability)
            rows = torch.arange(len(single), device=single.device)
            logits, scores = logits[rows, single.long()], scores[rows, single.long()]
            return logits[:, None], scores[:, None]
        return logits, scores

    def _weights(self, tokens: Tensor, chosen: Tensor) -> Tensor:
        """The weights over channels (n, M, C / 8) of the chosen (n, M) masks."""
        needed = chosen.unique().tolist()
        made = torch.stack([self._parts.to_mask[i](tokens[:, 1 + i]) for i in needed], dim=1)
        places = torch.searchsorted(chosen.new_tensor(needed), chosen.contiguous())
        return made.gather(1, places[..., None].expand(-1, -1, made.shape[-1]))

    def _logits(self, weights: Tensor, keys: Tensor, image: SharedImage) -> Tensor:
        """(n, M, 4 h, 4 w) from the image's tokens (n, N, C)."""
        count = len(keys)
        coarse = functional.linear(keys, *self._upscale[0])
        coarse = coarse.view(count, -1, coarse.shape[-1] // 4)  # each token's 2 x 2 pixels
        if image.finer is not None:
            coarse = coarse + image.finer[0]
        coarse = functional.gelu(_normalise(coarse, self._norm_upscale))
        fine = functional.linear(coarse, *self._upscale[1])
        fine = fine.view(count, -1, fine.shape[-1] // 4)  # each pixel's 2 x 2 pixels
        if image.finer is not None:
            fine = fine + image.finer[1]
        logits = torch.bmm(functional.gelu(fine), weights.to(self._dtype).transpose(1, 2)).to(
            weights
        )
        height, width = self.grid
        placed = logits.view(count, height, width, 2, 2, 2, 2, -1).permute(0, 7, 1, 3, 5, 2, 4, 6)
        return placed.reshape(count, -1, 4 * height, 4 * width)


def _after_read(block: Block, tokens: Tensor, answer: Tensor) -> Tensor:
    tokens = block.norm_read(tokens + answer)
    return block.norm_network(tokens + block.network(tokens))


def _is_stable(logits: Tensor, delta: float, threshold: float) -> Tensor:
    """Whether masks (n, h, w) hardly depend on where they are cut: SAM 2's rule, (n,) bool."""
    areas = [(logits > cut).sum(dim=(1, 2)).float() for cut in (delta, -delta)]
    return torch.where(areas[1] > 0, areas[0] / areas[1], 1.0) >= threshold


def _tokens(image: Tensor) -> Tensor:
    """(n, C, h, w) -> (n, h * w, C)."""
    return image.flatten(2).transpose(1, 2).contiguous()


def _side_by_side(image: Tensor, doublings: int, grid: tuple[int, int]) -> Tensor:
    """(1, C, H, W) as the pixels that each token of the grid is upscaled to, in that order.

    >>> image = torch.arange(16).view(1, 1, 4, 4)
    >>> _side_by_side(image, 1, (2, 2)).flatten().tolist()
    [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    """
    twos = [2] * doublings
    split = image.unflatten(3, (grid[1], *twos)).unflatten(2, (grid[0], *twos))
    across = 3 + doublings
    order = [axis for step in range(1 + doublings) for axis in (2 + step, across + step)]
    return split.permute(0, *order, 1).flatten(1, -2).contiguous()


def _rows_by_head(projection: nn.Linear, heads: int) -> Tensor:
    """The weight as (heads, d, C)."""
    return projection.weight.unflatten(0, (heads, -1))


Norm = tuple[Tensor, Tensor, float]


def _as_norm(norm: Any, dtype: torch.dtype) -> Norm:
    return norm.weight.to(dtype), norm.bias.to(dtype), norm.eps


def _normalise(values: Tensor, norm: Norm) -> Tensor:
    weight, bias, epsilon = norm
    return functional.layer_norm(values, weight.shape, weight, bias, epsilon)


def _as_linear(upscaling: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight (4 * out, in) and bias that make the 2 x 2 pixels of a token side by side."""
    weight = upscaling.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return weight.to(dtype).contiguous(), upscaling.bias.repeat(4).to(dtype)
