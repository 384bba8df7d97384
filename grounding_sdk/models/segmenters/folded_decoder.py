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
- What a block does to an image token, x -> r_n (x + sum_t a_nt v_t - m_n) w + b, is linear but for
  the numbers m_n and r_n that its normalisation finds. So the first of these products, U, is
  U x = (product of the r) U w' x_0, of the image that all prompts share and made once, plus
  U w' v_t for the few tokens, times their a_nt: half of the work (float32, no masks as prompts).
- After the last block the image is read only by the tokens of which scores and masks are made.
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
        coarse: (N, 4 * C / 4), the first upscaling of `tokens` with all the factors of the
            normalisations before it; None where upscaling is not folded.
        finer: What is added after each of the two upscalings, pixels of a token side by side:
            (1, 4 * N, C / 4) and (1, 16 * N, C / 8). None where the model has no such thing.
    """

    features: Tensor
    tokens: Tensor
    placed: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    coarse: Tensor | None
    finer: tuple[Tensor, Tensor] | None


@dataclass(frozen=True, eq=False)
class _Written:
    """How a block changed the image x: to (x + weights' values - mean) * factor, times w, plus b.

    Attributes:
        weights: (n, heads * T, N)
        values: (n, heads * T, C)
        mean: (n, 1, N)
        factor: (n, 1, N)
    """

    weights: Tensor
    values: Tensor
    mean: Tensor
    factor: Tensor


class _Workspace:
    """Memory for what is as large as an image, used again for the next prompts of a call.

    Taken anew for each, its page faults would cost as much time as what is computed in it.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._known: dict[str, Tensor] = {}
        self._options: dict[str, Any] = {"dtype": dtype, "device": device}

    def take(self, name: str, *shape: int) -> Tensor:
        """Returns a tensor with whatever is in it."""
        if name not in self._known or self._known[name].shape != shape:
            self._known[name] = torch.empty(shape, **self._options)
        return self._known[name]


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
        # Where products are cheap and numbers short, as in bfloat16, it is better not to fold.
        self._folds_upscale = dtype != torch.bfloat16
        weight = self._upscale[0][0]  # U, with the factors w of more and more normalisations
        self._scaled_upscale = [weight]
        for scale, _, _ in reversed(self._norms):
            weight = weight * scale
            self._scaled_upscale.insert(0, weight)
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
            coarse=(
                functional.linear(tokens[0].to(self._dtype), self._scaled_upscale[0])
                if self._folds_upscale
                else None
            ),
            finer=finer,
        )

    def decode(
        self,
        image: SharedImage,
        sparse: Tensor,
        dense: Tensor | None = None,
        wanted: Wanted = Wanted.SINGLE,
        at_once: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decodes n prompts with the same number of tokens.

        Args:
            image: From `share`.
            sparse: (n, S, C) float32, the embedded points and boxes.
            dense: (n, C, h, w) float32, the embedded masks; None where there are none.
            wanted: Which masks.
            at_once: Prompts whose image is in memory at a time. By default one on a CPU, where
                that is fastest, as its 4 MB stay in the cache, and all elsewhere.

        Returns:
            (n, M, 4 h, 4 w) float32 logits and (n, M) float32 scores; M is 1 but for all masks.
        """
        prompts = torch.cat(
            [self._parts.tokens.expand(len(sparse), -1, -1), sparse.to(self._parts.tokens)], dim=1
        )
        tokens = self._first_attention(prompts)
        if dense is None:
            tokens = self._first_read(tokens, prompts, image)
        space = _Workspace(self._dtype, prompts.device)
        at_once = at_once or (1 if prompts.device.type == "cpu" else max(1, len(prompts)))
        results = []
        for start in range(0, len(prompts), at_once):
            rows = slice(start, start + at_once)
            state = tokens[rows], prompts[rows]
            if dense is None:
                keys, written = self._first_write(*state, image, space)
                results.append(self._rest(*state, keys, [written], image, wanted, space))
            else:
                keys = (image.features + _tokens(dense[rows])).to(self._dtype)
                results.append(self._rest(*state, keys, [], image, wanted, space))
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

    def _first_write(
        self, tokens: Tensor, prompts: Tensor, image: SharedImage, space: _Workspace
    ) -> tuple[Tensor, _Written]:
        attention = self._parts.blocks[0].write_image
        keys = attention.split(attention.key(tokens + prompts)).to(self._dtype)
        scores = torch.matmul(keys, image.query)  # (n, heads, T, N)
        return self._write(0, scores, tokens, image.tokens, space)

    # ---- the others

    def _rest(
        self,
        tokens: Tensor,
        prompts: Tensor,
        keys: Tensor,
        written: list[_Written],
        image: SharedImage,
        wanted: Wanted,
        space: _Workspace,
    ) -> tuple[Tensor, Tensor]:
        """Where each prompt has an image of its own, `keys` (n, N, C), with what was `written`."""
        shared = bool(written)
        position = self._position.to(self._dtype)
        placed = torch.add(keys, position, out=space.take("placed", *keys.shape))
        for index, block in enumerate(self._parts.blocks[len(written) :], start=len(written)):
            if index:
                asked = tokens + prompts
                tokens = block.norm_self(tokens + block.attend_self(asked, asked, tokens))
            answer = self._read(block.read_image, tokens + prompts, keys, placed)
            tokens = _after_read(block, tokens, answer)
            scores = self._scores(block, tokens + prompts, placed)
            keys, change = self._write(index, scores, tokens, keys, space)
            written.append(change)
            torch.add(keys, position, out=placed)
        needed = slice(0, 1 + max(self._masks_for(wanted)) + 1)
        tokens, prompts = tokens[:, needed], prompts[:, needed]
        answer = self._read(self._parts.read_image, tokens + prompts, keys, placed)
        tokens = self._parts.norm(tokens + answer)
        if shared and image.coarse is not None:
            coarse = self._coarse_of_shared(image.coarse, written, space)
        else:
            coarse = functional.linear(keys, *self._upscale[0])
        return self._masks(tokens, coarse, image, wanted, space)

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

    def _write(
        self, index: int, scores: Tensor, tokens: Tensor, keys: Tensor, space: _Workspace
    ) -> tuple[Tensor, _Written]:
        """The image after it read `tokens` with these scores; `keys` may be of all prompts."""
        attention = self._parts.blocks[index].write_image
        weight = attention.output.weight.t().unflatten(0, (attention.heads, -1))  # heads, d, C
        values = torch.matmul(attention.split(attention.value(tokens)), weight)
        values[:, 0] += attention.output.bias  # once, as the weights of a head sum to one
        values = values.flatten(1, 2).to(self._dtype)
        weights = scores.softmax(dim=2).flatten(1, 2)
        keys = keys.expand(len(tokens), -1, -1)
        summed = space.take("summed", *keys.shape)
        torch.baddbmm(keys, weights.transpose(1, 2), values, out=summed)
        keys, mean, factor = _normalise(summed, self._norms[index], space.take("keys", *keys.shape))
        return keys, _Written(weights, values, mean.transpose(1, 2), factor.transpose(1, 2))

    # ---- masks

    def _coarse_of_shared(
        self, coarse: Tensor, written: Sequence[_Written], space: _Workspace
    ) -> Tensor:
        """The first upscaling (n, N, 4 * C / 4) of the image after all blocks.

        Args:
            coarse: Of the image before them, `SharedImage.coarse`.
            written: By the blocks, first to last.
            space: Where to put it.
        """
        constant = self._upscale[0][1]
        factor = torch.ones_like(written[0].factor)
        rows, columns = [], []
        for index, change in reversed(list(enumerate(written))):
            shift = self._norms[index][1]
            rows.append(factor)
            columns.append((constant + self._scaled_upscale[index + 1] @ shift)[None, None])
            constant = torch.zeros_like(constant)
            factor = factor * change.factor
            weight = self._scaled_upscale[index]
            rows += [change.weights * factor, -change.mean * factor]
            columns += [functional.linear(change.values, weight), weight.sum(1)[None, None]]
        columns = [column.expand(len(factor), -1, -1) for column in columns]
        scaled = space.take("summed", len(factor), *coarse.shape)
        torch.mul(coarse, factor.transpose(1, 2), out=scaled)
        return scaled.baddbmm_(torch.cat(rows, dim=1).transpose(1, 2), torch.cat(columns, dim=1))

    def _masks_for(self, wanted: Wanted) -> list[int]:
        """The masks from which those that are wanted are chosen."""
        every = len(self._parts.to_mask)
        if wanted is Wanted.SINGLE:
            return list(range(every)) if self._parts.stability else [0]
        return list(range(1, every))

    def _masks(
        self,
        tokens: Tensor,
        coarse: Tensor,
        image: SharedImage,
        wanted: Wanted,
        space: _Workspace,
    ) -> tuple[Tensor, Tensor]:
        scores = self._parts.to_scores(tokens[:, 0])
        masks = self._masks_for(wanted)
        chosen = torch.tensor(masks, device=scores.device).expand(len(tokens), -1)
        if wanted is not Wanted.ALL and len(masks) > 1:
            best = 1 + scores[:, 1:].argmax(dim=1, keepdim=True)
            chosen = best if wanted is Wanted.BEST else torch.cat([chosen[:, :1], best], dim=1)
        logits = self._logits(self._weights(tokens, chosen), coarse, image, space)
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

    def _logits(
        self, weights: Tensor, coarse: Tensor, image: SharedImage, space: _Workspace
    ) -> Tensor:
        """(n, M, 4 h, 4 w) from what the first upscaling gave for tokens (n, N, 4 * C / 4).

        It is written over.
        """
        count = len(coarse)
        coarse = coarse.view(count, -1, coarse.shape[-1] // 4)  # each token's 2 x 2 pixels
        if image.finer is not None:
            coarse += image.finer[0]
        coarse, _, _ = _normalise(coarse, self._norm_upscale, space.take("coarse", *coarse.shape))
        torch.ops.aten.gelu_(coarse)
        weight, bias = self._upscale[1]
        fine = space.take("fine", coarse[..., 0].numel(), len(bias))
        torch.addmm(bias, coarse.flatten(0, 1), weight.t(), out=fine)
        fine = fine.view(count, -1, len(bias) // 4)  # each pixel's 2 x 2 pixels
        if image.finer is not None:
            fine += image.finer[1]
        torch.ops.aten.gelu_(fine)
        logits = torch.bmm(fine, weights.to(self._dtype).transpose(1, 2)).to(weights)
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


def _normalise(values: Tensor, norm: Norm, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gives the normalised values in `out`, the means, and the factors after subtracting them."""
    weight, bias, epsilon = norm
    mean, factor = values.new_empty(0), values.new_empty(0)
    torch.ops.aten.native_layer_norm.out(
        values, weight.shape, weight, bias, epsilon, out0=out, out1=mean, out2=factor
    )
    return out, mean, factor


def _as_linear(upscaling: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight (4 * out, in) and bias that make the 2 x 2 pixels of a token side by side."""
    weight = upscaling.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return weight.to(dtype).contiguous(), upscaling.bias.repeat(4).to(dtype)
