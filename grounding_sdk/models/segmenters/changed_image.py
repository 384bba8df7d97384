"""An image's tokens as prompts change them: never written down, only asked.

Where a prompt's T tokens have values v (T x d for each head, d = 16) and the N tokens of the image
x (N x C) attend to them with weights A (N x T for each head), a block changes the image to

    LN(x + A v W), with LN(y) = r (y J) w + b,

W the projection of the output, J what takes the mean of a row away, r one divided by each row's
deviation, w and b the norm's. This is linear but for the N numbers r. So after i blocks it is

    f X + S U + b.

X is what the first image becomes by the J and w alone, the same for all prompts. For each of them
f (N) is the product of the r, S (N x R) are the A of all blocks side by side, each times the r that
came after it, and U (R x C) their v W. With R = 56 a block, whatever is linear in the image is
cheap: queries, keys, values and upscaled pixels are made of X once for an image; what is added by
S has R rows to be multiplied, not N. As for the r, they follow from

    |f X J + S U J|^2 = f^2 |X J|^2 + f S . (2 X J U') + S . (S (U J U')),

where X J is shared, X J U' = (X J W') v' a product of the shared X J W' with d numbers, and the
last one of R by R.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from grounding_sdk.models.segmenters.decoder_parts import Attention, DecoderParts

TOGETHER = 4096  # tokens of images, of all prompts in work, whose numbers stay in a core's cache
ALIGNED = 128  # blocks of tokens are multiples of this


class Workspace:
    """Memory for what is as large as an image, used again for the next prompts of a call.

    Taken anew for each, its page faults would cost as much time as what is computed in it.
    """

    def __init__(self) -> None:
        self._known: dict[str, Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Returns a tensor with whatever is in it, of the kind of another one."""
        if name not in self._known or self._known[name].shape != shape:
            self._known[name] = like.new_empty(shape)
        return self._known[name]


@dataclass(frozen=True, eq=False)
class Reading:
    """How tokens read an image.

    Attributes:
        attention: By which they do.
        place: (heads, d, N), the image's positions as keys.
        constant: (heads, 1, d), added to what is read.
    """

    attention: Attention
    place: Tensor
    constant: Tensor


@dataclass(frozen=True, eq=False)
class Writing:
    """How a block changes an image.

    Attributes:
        attention: By which the image reads tokens.
        place: (heads, d, N), the image's positions as queries, with all that is added to these.
        rows: (blocks * heads, d + 1, C), W J of this block, and of those before it as this one
            finds them. The last row of a head is what is added to all tokens of the image, zero but
            for one head of a block.
        norm: What follows.
    """

    attention: Attention
    place: Tensor
    rows: Tensor
    norm: nn.LayerNorm


@dataclass(frozen=True, eq=False)
class SharedReading:
    """X for a `Reading`: keys (heads, d, N) and values (heads, N, d)."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True, eq=False)
class SharedWriting:
    """X for a `Writing`: queries (heads, d, N), X J W' (blocks * heads, d + 1, N), |X J|^2 (N)."""

    queries: Tensor
    products: Tensor
    square: Tensor


@dataclass(frozen=True, eq=False)
class SharedTokens:
    """What all prompts share of an image: X before each block, and what is wanted of the last X."""

    readings: Sequence[SharedReading]
    writings: Sequence[SharedWriting]
    last: Tensor


class ImageWeights:
    """The weights of a decoder that see the image.

    Attributes:
        readings: One more than there are blocks.
        writings: One for each.
        shift: (C,), b of the last norm.
    """

    def __init__(self, parts: DecoderParts) -> None:
        """Takes the weights as they are now."""
        position = parts.position.flatten(2)[0].t()  # N, C
        self.readings: list[Reading] = []
        self.writings: list[Writing] = []
        self.shift = torch.zeros_like(position[0])
        rows = parts.tokens.new_empty(0)
        for block in parts.blocks:
            self.readings.append(_reading(block.read_image, position, self.shift))
            attention, norm = block.write_image, block.norm_write
            own = attention.output.weight.t().unflatten(0, (attention.heads, -1))
            own = functional.pad(own, (0, 0, 0, 1))
            own[0, -1] = attention.output.bias + self.shift
            rows = centred(torch.cat([rows, own]))
            place = attention.columns(attention.query(position + self.shift))
            self.writings.append(Writing(attention, place, rows, norm))
            rows, self.shift = rows * norm.weight, norm.bias
        self.readings.append(_reading(parts.read_image, position, self.shift))

    def share(self, tokens: Tensor, last: Callable[[Tensor], Tensor]) -> SharedTokens:
        """Does what is to be done once for an image.

        Args:
            tokens: (N, C)
            last: What is linear and wanted of them when all blocks have changed them.
        """
        readings: list[SharedReading] = []
        writings: list[SharedWriting] = []
        for reading, writing in zip_longest(self.readings, self.writings):
            attention = reading.attention
            first = not readings  # where f is 1, and the place can be added once for all
            keys = attention.columns(tokens @ attention.key.weight.t())
            values = attention.split(tokens @ attention.value.weight.t()).contiguous()
            readings.append(SharedReading(keys + reading.place if first else keys, values))
            if writing is None:
                break
            attention = writing.attention
            queries = attention.columns(tokens @ attention.query.weight.t())
            queries = queries + writing.place if first else queries
            middle = centred(tokens)
            products = torch.matmul(writing.rows, middle.t())
            writings.append(SharedWriting(queries, products, middle.square().sum(dim=1)))
            tokens = middle * writing.norm.weight
        return SharedTokens(readings, writings, last(tokens))


class ChangedImage:
    """An image as n prompts have changed it so far: f X + S U + b.

    Attributes:
        shared: What all prompts share.
        factor: f, (n, 1, N); there when it was written to.
        rows: S transposed, (n, R, N); there when it was written to.
        columns: U, (n, R, C); there when it was written to.
    """

    factor: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, weights: ImageWeights, shared: SharedTokens, space: Workspace) -> None:
        """Begins with the image that all prompts share.

        Args:
            weights: Of the decoder.
            shared: What they make of the image.
            space: Where to keep what is as large as the image.
        """
        self.shared = shared
        self._weights = weights
        self._space = space
        self._values: list[Tensor] = []  # v of the blocks, (n, heads, T, d + 1)

    def of_prompt(self, index: int) -> ChangedImage:
        """As one of the prompts changed it; to be asked, not to be changed."""
        alone = copy.copy(self)
        part = slice(index, index + 1)
        alone.factor, alone.rows = self.factor[part], self.rows[part]
        alone.columns = self.columns[part]
        return alone

    def read(self, asking: Tensor) -> Tensor:
        """What tokens (n, T, C) read from the image."""
        done = len(self._values)
        reading, shared = self._weights.readings[done], self.shared.readings[done]
        attention = reading.attention
        queries = attention.split(attention.query(asking)) * attention.scale
        scores = self._products(queries, attention.key, shared.keys, reading.place)(slice(None))
        if not done:
            weights = scores.transpose(0, 1).softmax(-1).transpose(0, 1)
            values = _times_shared(weights, shared.values)
        else:
            weights = torch.softmax(scores, -1, out=scores)
            means = torch.bmm(weights.flatten(1, 2), self.rows.mT) @ self.columns
            means = means.unflatten(1, weights.shape[1:3])
            values = torch.matmul(means, _by_head(attention.value, attention.heads).mT)
            by_head = self._space.take("weights", weights, *weights.transpose(0, 1).shape)
            weights = torch.mul(weights, self.factor[:, None], out=by_head.transpose(0, 1))
            values += _times_shared(weights, shared.values)
        return attention.merge(values + reading.constant)

    def write(self, asked: Tensor, tokens: Tensor) -> None:
        """Has the image read tokens (n, T, C), asked for as `asked`."""
        done = len(self._values)
        writing, shared = self._weights.writings[done], self.shared.writings[done]
        attention, norm = writing.attention, writing.norm
        keys = attention.split(attention.key(asked)) * attention.scale
        scores = self._products(keys, attention.query, shared.queries, writing.place)
        own = functional.pad(attention.split(attention.value(tokens)), (0, 1), value=1.0)
        count, heads, rank, few = own.shape
        mixed = None
        if rank > few:  # of many tokens' values few are independent
            mixed, rank = own.mT, few
            own = torch.eye(few).to(own).expand(count, heads, -1, -1)
        self._values.append(own)
        values = torch.cat(self._values, dim=1)
        columns = torch.matmul(values, writing.rows).flatten(1, 2)
        gram = columns @ columns.mT

        size = len(shared.square)
        every = self._space.take("rows", own, count, len(self._weights.writings), heads, rank, size)
        newest, rows = every[:, done], every[:, : done + 1].flatten(1, 3)
        factor = own.new_empty(count, 1, size)
        for part in blocks(own, size):
            # By head as it comes from the first block, so that softmax need not copy it.
            weights = scores(part).transpose(0, 1).softmax(2).transpose(0, 1)
            newest[..., part] = weights if mixed is None else mixed @ weights
            products = _times_shared(2 * values, shared.products[..., part])
            square = shared.square[part]
            before = None
            if done:
                before = self.factor[..., part]
                products = products * before[:, None]
                square = square * before.square()
            sums = torch.bmm(gram, rows[..., part])
            sums.unflatten(1, products.shape[1:3]).add_(products)
            sums = sums.mul_(rows[..., part]).sum(dim=1, keepdim=True)
            change = (((sums + square) / columns.shape[-1]).clamp_(min=0) + norm.eps).rsqrt_()
            rows[..., part] *= change
            factor[..., part] = change if before is None else before * change
        self.factor, self.rows, self.columns = factor, rows, columns * norm.weight

    def _products(
        self, few: Tensor, weight: nn.Linear, shared: Tensor, place: Tensor
    ) -> Callable[[slice], Tensor]:
        """Gives few (n, heads, T, d) numbers' products with a part of the image, projected."""
        if not self._values:
            return lambda part: _times_shared(few, shared[..., part])
        factor, rows = self.factor[:, None], self.rows
        folded = torch.matmul(few, _by_head(weight, few.shape[1])).flatten(1, 2) @ self.columns.mT

        def products(part: slice) -> Tensor:
            product = torch.bmm(folded, rows[..., part]).unflatten(1, few.shape[1:3])
            product.addcmul_(_times_shared(few, shared[..., part]), factor[..., part])
            return product.add_(_times_shared(few, place[..., part]))

        return products


def blocks(prompts: Tensor, size: int) -> list[slice]:
    """Cuts an image's tokens into parts to be worked on one after the other, for (n, ...) prompts.

    Their rows begin where vectors do, which is worth more than a block's being a little too large.

    >>> blocks(torch.zeros(8, 7), 1024)
    [slice(0, 512, None), slice(512, 1024, None)]
    """
    step = size
    if prompts.device.type == "cpu":
        step = ALIGNED * math.ceil(TOGETHER / len(prompts) / ALIGNED)
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def _reading(attention: Attention, position: Tensor, shift: Tensor) -> Reading:
    place = attention.columns(position @ attention.key.weight.t())
    constant = attention.split(attention.value(shift[None]))
    return Reading(attention, place, constant)


def _by_head(projection: nn.Linear, heads: int) -> Tensor:
    """The weight as (heads, d, C)."""
    return projection.weight.unflatten(0, (heads, -1))


def _times_shared(few: Tensor, shared: Tensor) -> Tensor:
    """(n, heads, T, k) times (heads, k, m): a product for each head, not for each prompt."""
    product = torch.bmm(few.transpose(0, 1).flatten(1, 2), shared)
    return product.unflatten(1, (len(few), -1)).transpose(0, 1)


def normalised(values: Tensor, norm: Any) -> Tensor:
    """A layer norm of values (..., C) whose means are zero, in place."""
    size = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
    values *= (size.square_() / values.shape[-1] + norm.eps).rsqrt_()
    return torch.addcmul(norm.bias, values, norm.weight, out=values)


def centred(values: Tensor, dim: int = -1) -> Tensor:
    """The values less their means along an axis."""
    return values - values.mean(dim=dim, keepdim=True)
