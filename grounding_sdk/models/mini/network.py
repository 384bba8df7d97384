"""The embedded model, to be read as a lesson: words and pixels in, boxes and masks out.

    pixels -> ImageEncoder (frozen)           -> features at strides 4 to 64
    words  -> TextEncoder (MiniLM-L6, frozen) -> one unit vector a phrase
    features + vectors -> RegionTextHead      -> boxes with one score a phrase
    features + boxes or points -> MaskHead    -> masks with a quality score

The image encoder is two published networks: NanoDet-g knows where things are (and COCO's 80
names), EfficientNet-Lite2 what they are called (ImageNet's 1,000 names). Their names reach any
phrase through the text space. One image encoding serves both heads. Everything is plain torch;
batch norms are folded into convolutions when the published weights are converted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)  # of the detector's pyramid
TEXT_DIM = 384


# --- image encoder: names --------------------------------------------------------------------

PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0  # how EfficientNet-Lite was trained: (pixel - 127) / 128
# (kernel, stride, expansion, channels, repeats) of EfficientNet-Lite2 (Tan and Le 2019, the
# "lite" variant of 2020: no squeeze-excitation, ReLU6, fixed stem and head).
LITE2_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 3),
    (5, 2, 6, 48, 3),
    (3, 2, 6, 88, 4),
    (5, 1, 6, 120, 4),
    (5, 2, 6, 208, 5),
    (3, 1, 6, 352, 1),
)
LITE2_GIVEN = {1: 24, 2: 48, 4: 120, 6: 352}  # stages whose outputs are used: their channels
TOP_CHANNELS, IMAGENET_CLASSES = 1280, 1000


class Pointwise(nn.Conv2d):
    """1x1 convolution as a matrix product: torch has no fast one for one picture on one thread."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of (B, C, H, W)."""
        weight = self.weight[:, :, 0, 0]
        return functional.linear(x.permute(0, 2, 3, 1), weight, self.bias).permute(0, 3, 1, 2)


class Conv(nn.Module):
    """Convolution with bias and the padding that Lite2 was trained with, then ReLU6 if asked."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        *,
        active: bool = True,
    ) -> None:
        super().__init__()
        # TensorFlow's "SAME" at the training size pads a 3x3 stride-2 window on an even side
        # only at the right and the bottom; that holds for the stem and the stage after it.
        self.lopsided = kernel == 3 and stride == 2 and inputs <= 96
        padding = 0 if self.lopsided else kernel // 2
        self.conv = (
            Pointwise(inputs, outputs)
            if kernel == 1
            else nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)
        )
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate."""
        x = self.conv(functional.pad(x, (0, 1, 0, 1)) if self.lopsided else x)
        return functional.relu6(x, inplace=not torch.is_grad_enabled()) if self.active else x


class InvertedResidual(nn.Module):
    """Expand 1x1, filter each channel, project 1x1; add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inputs * expand
        layers = [Conv(inputs, wide, 1)] if expand > 1 else []
        layers += [Conv(wide, wide, kernel, stride, groups=wide)]
        layers += [Conv(wide, outputs, 1, active=False)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Filter (B, C, H, W)."""
        return x + self.layers(x) if self.residual else self.layers(x)


class Lite2(nn.Module):
    """EfficientNet-Lite2 up to its last feature map, and its classifier as a 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, 32, 3, 2)
        stages, inputs = [], 32
        for kernel, stride, expand, outputs, repeats in LITE2_STAGES:
            blocks = []
            for i in range(repeats):
                blocks.append(
                    InvertedResidual(inputs, outputs, kernel, stride if i == 0 else 1, expand)
                )
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.top = Conv(inputs, TOP_CHANNELS, 1)
        self.classifier = Pointwise(TOP_CHANNELS, IMAGENET_CLASSES)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Encode (B, 3, H, W) RGB in 0..255: four maps, strides 4, 8, 16 and 32."""
        x = self.stem((pixels - PIXEL_MEAN) / PIXEL_SCALE)
        outputs = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in LITE2_GIVEN:
                outputs.append(x)
        return outputs


# --- image encoder: objects ------------------------------------------------------------------

RGB_MEAN, RGB_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of ImageNet
NANODET_STAGES = ((32, 1), (64, 2), (128, 2), (256, 3))  # (channels, pairs); twice that go out
LEVEL = 128  # channels of NanoDet's pyramid
OBJECT_CLASSES, REACH = 80, 10  # COCO's names; sides are 0 to 10 strides long


def dense(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution with bias and leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2),
        nn.LeakyReLU(0.1, inplace=True),
    )


class CrossStage(nn.Module):
    """A stage of dense 3x3 convolutions whose first and last maps go out side by side."""

    def __init__(self, inputs: int, channels: int, pairs: int, stride: int) -> None:
        super().__init__()
        half = channels // 2
        self.enter = dense(inputs, channels, stride=stride)
        self.narrow = nn.ModuleList(dense(channels, half) for _ in range(pairs))
        self.again = nn.ModuleList(dense(half, half) for _ in range(pairs))
        self.leave = dense(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) to (B, 2C, H/s, W/s)."""
        first = x = self.enter(x)
        for narrow, again in zip(self.narrow, self.again, strict=True):
            x = narrow(x)
            x = torch.cat([again(x), x], 1)
        return torch.cat([self.leave(x), first], 1)


class NanoDet(nn.Module):
    """NanoDet-g (Lyu 2021): a one-stage detector of COCO's 80 names, all dense convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = dense(3, 32, stride=2)
        stages, inputs = [], 32
        for i, (channels, pairs) in enumerate(NANODET_STAGES):
            stages.append(CrossStage(inputs, channels, pairs, 1 if i == 0 else 2))
            inputs = 2 * channels
        self.stages = nn.ModuleList(stages)
        self.lateral = nn.ModuleList(Pointwise(2 * c, LEVEL) for c, _ in NANODET_STAGES[1:])
        self.hidden = nn.ModuleList(dense(LEVEL, LEVEL) for _ in STRIDES)
        outputs = OBJECT_CLASSES + 4 * (REACH + 1)
        self.outputs = nn.ModuleList(Pointwise(LEVEL, outputs) for _ in STRIDES)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Encode (B, 3, H, W) RGB in 0..255: four maps, strides 4, 8, 16 and 32."""
        mean, deviation = (pixels.new_tensor(x)[:, None, None] for x in (RGB_MEAN, RGB_DEVIATION))
        x = functional.max_pool2d(self.stem((pixels - mean) / deviation), 3, 2, 1)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs

    def read(self, features: list[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Run the head on the maps of strides 8, 16 and 32.

        Returns:
            For each stride: what the head saw (B, 256, h, w), class logits (B, 80, h, w) and
            distances to the sides in strides (B, 4, h, w: left, top, right, bottom), the means
            of distributions over whole strides (generalised focal loss, Li et al. 2020).
        """
        low, middle, high = (conv(x) for conv, x in zip(self.lateral, features[1:], strict=True))
        middle = middle + resample(high, middle)
        low = low + resample(middle, low)
        middle = middle + resample(low, middle)
        high = high + resample(middle, high)
        steps = torch.arange(REACH + 1, device=low.device, dtype=low.dtype)
        results = []
        for x, hidden, outputs in zip((low, middle, high), self.hidden, self.outputs, strict=True):
            seen = hidden(x)
            classes, sides = outputs(seen).split([OBJECT_CLASSES, 4 * (REACH + 1)], 1)
            shares = sides.unflatten(1, (4, REACH + 1)).softmax(2)
            sides = torch.einsum("bsrhw,r->bshw", shares, steps)
            results.append((torch.cat([x, seen], 1), classes, sides))
        return results


# --- image encoder ---------------------------------------------------------------------------

# (channels, stride) of what the encoder gives: plain colours, NanoDet's maps, Lite2's maps.
OBJECT_MAPS = tuple((2 * c, 4 * 2**i) for i, (c, _) in enumerate(NANODET_STAGES))
NAME_MAPS = tuple((c, 8 * 2**i) for i, c in enumerate(LITE2_GIVEN.values()))
MAPS = ((3, 4), *OBJECT_MAPS, *NAME_MAPS)
MULTIPLE = 64  # sides of pictures


@dataclass(frozen=True, eq=False)
class Sight:
    """What the encoder's own heads make of a picture, whatever is asked.

    Attributes:
        levels: See `NanoDet.read`.
        top: (B, 1280, H/64, W/64), the last features of Lite2.
        classes: (B, 1000, H/64, W/64), its class logits there.
    """

    levels: list[tuple[Tensor, Tensor, Tensor]]
    top: Tensor
    classes: Tensor


class ImageEncoder(nn.Module):
    """Both networks on one picture; Lite2 sees it at half the size, which it was trained for."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = NanoDet()
        self.names = Lite2()

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Encode (B, 3, H, W) RGB in 0..255, sides multiples of 64.

        Returns:
            Maps (B, C, H/s, W/s), channels C and strides s as in `MAPS`.
        """
        half = functional.avg_pool2d(pixels, 2)
        colours = (functional.avg_pool2d(half, 2) - PIXEL_MEAN) / PIXEL_SCALE
        return [colours, *self.objects(pixels), *self.names(half)]

    def read(self, features: list[Tensor]) -> Sight:
        """Run the networks' own heads on the maps that `forward` gave."""
        top = self.names.top(features[-1])
        levels = self.objects.read(features[1 : 1 + len(OBJECT_MAPS)])
        return Sight(levels, top, self.names.classifier(top))


# --- text encoder ----------------------------------------------------------------------------


class TextLayer(nn.Module):
    """One BERT layer: self-attention, then a feed-forward pair, each followed by a norm."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim, eps=1e-12)
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Mix (N, L, D) tokens; `mask` (N, 1, 1, L) is true at real ones."""
        batch, length, dim = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(batch, length, dim)))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))


class TextEncoder(nn.Module):
    """MiniLM-L6 (Wang et al. 2020), a six-layer BERT; a sentence is the mean of its tokens.

    The one segment's vector is added to the positions.
    """

    def __init__(
        self,
        vocabulary: int = 30522,
        dim: int = TEXT_DIM,
        layers: int = 6,
        heads: int = 12,
        positions: int = 512,
    ) -> None:
        super().__init__()
        # Left empty: weights are loaded, and drawing random ones makes torch import its compiler.
        self.tokens = nn.Embedding.from_pretrained(torch.empty(vocabulary, dim))
        self.positions = nn.Embedding.from_pretrained(torch.empty(positions, dim))
        self.norm = nn.LayerNorm(dim, eps=1e-12)
        self.layers = nn.ModuleList(TextLayer(dim, heads, 4 * dim) for _ in range(layers))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Encode (N, L) token ids, (N, L) bool mask of real tokens, into (N, 384) unit vectors."""
        x = self.norm(self.tokens(tokens) + self.positions.weight[: tokens.shape[1]])
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        real = mask[..., None].to(x.dtype)
        return functional.normalize((x * real).sum(1) / real.sum(1), dim=-1)


# --- region-text detector --------------------------------------------------------------------

WIDTH = 128  # channels of the detector and size of the space where regions meet words
RARE = 5.0  # minus the logit of a class where nothing is
FOREIGN = 1.5  # how much more ImageNet's classes weigh where COCO's names say nothing of a phrase
SIGHTED = -1.0  # logit of a name at which the right colour adds half of what it says


class Separable(nn.Sequential):
    """Depthwise 5x5 and pointwise 1x1 convolution, group norm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            Pointwise(channels, channels, bias=False),
            nn.GroupNorm(16, channels),
            nn.ReLU(inplace=True),
        )


class Bridge(nn.Module):
    """Which of the names that a network knows does a phrase mean?

    The weights are a softmax over the similarity to each name. The gate says how far the names
    cover the phrase at all: "tram" is near an ImageNet class, "person" is not.
    """

    names: Tensor

    def __init__(self, count: int, slope: float, threshold: float) -> None:
        super().__init__()
        self.register_buffer("names", torch.zeros(count, TEXT_DIM))
        self.gate = nn.Parameter(torch.tensor([slope, -slope * threshold]))

    def forward(self, phrases: Tensor) -> Tensor:
        """(K, 384) unit vectors to (K, names) weights, sums between 0 and 1."""
        similarity = phrases @ self.names.T
        known = torch.sigmoid(self.gate[0] * similarity.amax(-1, keepdim=True) + self.gate[1])
        return known * torch.softmax(similarity / 0.04, dim=-1)


class PhraseAdapter(nn.Module):
    """Carry MiniLM's phrase vectors into the space of regions.

    A linear map (started as the principal components of many names, which also removes what all
    names share) plus a small residual network.
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(TEXT_DIM, WIDTH)
        last = nn.Linear(512, WIDTH)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.residual = nn.Sequential(nn.Linear(TEXT_DIM, 512), nn.ReLU(), nn.Dropout(0.1), last)

    def forward(self, phrases: Tensor) -> Tensor:
        """Map (K, 384) unit vectors to (K, 128) unit vectors."""
        return functional.normalize(self.linear(phrases) + self.residual(phrases), dim=-1)


LOOK_STRIDE = 8
SILENT = 0.1  # squared length below which a phrase says nothing of looks


class Looks(nn.Module):
    """What a box looks like against what a phrase says of it: colour, pattern, size.

    The tower's features tell things apart, not their colours. So every cell of the finest maps is
    turned into a few looks, and their means over a box, and over its middle, are matched with
    the phrase. Means over any box come from a summed-area table (Crow 1984): one pass over the
    maps, then four reads a box, however many phrases are asked.
    """

    def __init__(self, looks: int = 48, size: int = 64) -> None:
        super().__init__()
        channels = MAPS[0][0] + MAPS[1][0]  # the two finest maps
        self.cells = nn.Sequential(
            Pointwise(channels, 64), nn.ReLU(), Pointwise(64, looks), nn.ReLU()
        )
        self.box = nn.Sequential(nn.Linear(2 * looks + 2, 128), nn.ReLU(), nn.Linear(128, size))
        self.phrase = nn.Sequential(nn.Linear(TEXT_DIM, 128), nn.ReLU(), nn.Linear(128, size))

    def forward(self, features: list[Tensor], boxes: Tensor, phrases: Tensor) -> Tensor:
        """Evidence (B, P, K) for boxes (B, P, 4) in pixels and phrases (K, 384)."""
        said = self.read(phrases)
        if not said.any():  # nothing to look for
            return said.new_zeros(boxes.shape[0], boxes.shape[1], len(said))
        return self.see(features, boxes) @ said.T

    def read(self, phrases: Tensor) -> Tensor:
        """What phrases (K, 384) say of looks: (K, 64); the length says how much.

        Lengths below one are shortened by far, so that a plain name, which says little, says
        nothing (the squashing of Sabour et al. 2017); after training, exactly nothing.
        """
        said = self.phrase(10.0 * phrases)
        length = said.square().sum(-1, keepdim=True)
        share = length / (1 + length)
        return said * (share if self.training else share * (length > SILENT))

    def see(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """What boxes (B, P, 4) look like: (B, P, 64)."""
        looks = functional.avg_pool2d(self.cells(torch.cat(features[:2], 1)), LOOK_STRIDE // 4)
        table = summed_area(looks.float())
        middle, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        inner = torch.cat([middle - 0.25 * sides, middle + 0.25 * sides], -1)
        means = [box_means(table, b / LOOK_STRIDE) for b in (boxes, inner)]
        picture = 4.0 * max(features[0].shape[-2:])
        means.append((sides.clamp(min=1.0) / picture).log())
        return self.box(torch.cat(means, -1))


def summed_area(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H+1, W+1): sums over everything above and to the left."""
    return functional.pad(maps, (1, 0, 1, 0)).cumsum(2).cumsum(3)


def box_means(table: Tensor, boxes: Tensor) -> Tensor:
    """Means over boxes from a summed-area table.

    Args:
        table: (B, C, H+1, W+1) from `summed_area`.
        boxes: (B, P, 4) xyxy in cells; rounded outwards, clipped, never less than a cell.

    Returns:
        (B, P, C).

    >>> table = summed_area(torch.arange(12.0).view(1, 1, 3, 4))
    >>> box_means(table, torch.tensor([[[1.0, 0.0, 3.0, 2.0]]])).item()  # 1, 2, 5, 6
    3.5
    """
    width = table.shape[-1]
    limit = boxes.new_tensor([table.shape[-1] - 2, table.shape[-2] - 2])
    low = boxes[..., :2].floor().clamp(min=0).minimum(limit)
    high = torch.maximum(boxes[..., 2:].ceil().minimum(limit + 1), low + 1)
    flat = table.flatten(2).transpose(1, 2)
    (x0, y0), (x1, y1) = low.long().unbind(-1), high.long().unbind(-1)

    def read(x: Tensor, y: Tensor) -> Tensor:
        return flat.gather(1, (y * width + x)[..., None].expand(-1, -1, flat.shape[-1]))

    total = read(x1, y1) - read(x0, y1) - read(x1, y0) + read(x0, y0)
    return total / (high - low).prod(-1, keepdim=True)


class Regions(NamedTuple):
    """What `RegionTextHead` makes of a picture, whatever is asked; P runs over the positions.

    Attributes:
        vectors: (B, P, 128) unit vectors, to be compared with phrases.
        classes: (B, P, 80) logits of COCO's names.
        sides: (B, P, 4) distances to the box's sides in pixels.
        objectness: (B, P) logits.
        known: (B, 1000, H/64, W/64), logits of ImageNet's names.
    """

    vectors: Tensor
    classes: Tensor
    sides: Tensor
    objectness: Tensor
    known: Tensor


class RegionTextHead(nn.Module):
    """Boxes with one score a phrase, from a pyramid of strides 8, 16 and 32.

    A position's score for a phrase is the scaled cosine of its vector to the phrase's vector,
    plus the evidence of COCO's and of ImageNet's classes that the phrase resembles, plus that of
    what the position's box looks like. The last features of Lite2 reach every level, so that
    names never trained still work. Boxes are NanoDet's, corrected: things that it was never
    shown need other boxes.
    """

    def __init__(self) -> None:
        super().__init__()
        names = NAME_MAPS[: len(STRIDES)]
        self.enter = nn.ModuleList(Pointwise(2 * LEVEL + c, WIDTH) for c, _ in names)
        self.tower = nn.Sequential(Separable(WIDTH), Separable(WIDTH))
        self.name_tower, self.box_tower = Separable(WIDTH), Separable(WIDTH)
        self.embed = Pointwise(WIDTH, WIDTH)
        self.shortcut = Pointwise(TOP_CHANNELS, WIDTH)
        self.correction = Pointwise(WIDTH, 4)
        self.objectness = Pointwise(WIDTH, 1)
        for last in (self.correction, self.objectness):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.phrases = PhraseAdapter()
        self.known_objects = Bridge(OBJECT_CLASSES, 12.0, 0.7)
        self.known_classes = Bridge(IMAGENET_CLASSES, 6.0, 0.5)
        self.looks = Looks()
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.bias = nn.Parameter(torch.tensor(-5.0))
        self.object_evidence = nn.Parameter(torch.tensor(1.0))
        self.class_evidence = nn.Parameter(torch.tensor(0.5))

    def forward(
        self, features: list[Tensor], sight: Sight, phrases: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score every position of the pyramid against every phrase.

        Args:
            features: Maps from `ImageEncoder`.
            sight: What `ImageEncoder.read` made of them.
            phrases: (K, 384) unit vectors from `TextEncoder`.

        Returns:
            Phrase logits (B, P, K), box sides as distances from the position in pixels (B, P, 4:
            left, top, right, bottom) and objectness logits (B, P). P runs over the levels.
        """
        return self.match(features, self.describe(features, sight), phrases)

    def match(
        self, features: list[Tensor], regions: Regions, phrases: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score what `describe` gave; see `forward`. Of the features it takes the two finest."""
        names, sides, objectness = self.compare(regions, phrases)
        centres, _ = positions(4 * features[0].shape[-2], 4 * features[0].shape[-1])
        boxes = boxes_from_sides(centres.to(sides.device), sides)
        looks = self.looks(features, boxes, phrases)
        # The wrong colour counts against a thing; the right one is no reason to see it.
        sighted = torch.sigmoid(names - SIGHTED)
        return names + torch.where(looks > 0, looks * sighted, looks), sides, objectness

    def call(
        self, features: list[Tensor], sight: Sight, phrases: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Like `forward`, by what things are called alone, whatever they look like."""
        return self.compare(self.describe(features, sight), phrases)

    def describe(self, features: list[Tensor], sight: Sight) -> Regions:
        """What is at each position, whatever is asked."""
        shortcut = self.shortcut(sight.top)
        names = features[-len(NAME_MAPS) :]
        outputs = []
        for stride, enter, x, (seen, classes, sides) in zip(
            STRIDES, self.enter, names, sight.levels, strict=False
        ):
            x = self.tower(enter(torch.cat([seen, x], 1)))
            boxed = self.box_tower(x)
            region = flat(self.embed(self.name_tower(x)) + resample(shortcut, x))
            sides = sides.clamp(min=0.25) * self.correction(boxed).clamp(-3, 3).exp() * stride
            objectness = self.objectness(boxed) + classes.amax(1, keepdim=True)
            outputs.append((region, flat(classes), flat(sides), objectness.flatten(1)))
        region, classes, sides, objectness = (
            torch.cat(parts, 1) for parts in zip(*outputs, strict=True)
        )
        region = functional.normalize(region, dim=-1)
        return Regions(region, classes, sides, objectness, sight.classes)

    def compare(self, regions: Regions, phrases: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score what `describe` gave; see `call`."""
        vectors = self.log_scale.exp() * self.phrases(phrases)
        objects = self.known_objects(phrases)
        classes = self.class_evidence * self.known_classes(phrases)
        if not self.training:  # lessons would unlearn it: their names have boxes to be learned by
            classes = classes * (1 + FOREIGN * (1 - objects.sum(1, keepdim=True)))
        logits = regions.vectors @ vectors.T + self.bias
        logits = logits + (regions.classes + RARE) @ (self.object_evidence * objects).T
        known = (regions.known - regions.known.mean(1, keepdim=True)) / 3.0
        known = torch.einsum("kc,bchw->bkhw", classes, known)
        height, width = known.shape[-2:]
        grids = [(height * MULTIPLE // s, width * MULTIPLE // s) for s in STRIDES]
        spread = [functional.interpolate(known, size=g, mode="bilinear") for g in grids]
        return (
            logits + torch.cat([flat(each) for each in spread], 1),
            regions.sides,
            regions.objectness,
        )


def flat(x: Tensor) -> Tensor:
    """(B, C, h, w) to (B, h w, C)."""
    return x.flatten(2).transpose(1, 2)


def resample(x: Tensor, like: Tensor) -> Tensor:
    """Bring `x` to the grid of `like`: average when shrinking, bilinear when growing."""
    size = (like.shape[-2], like.shape[-1])
    if x.shape[-2:] == size:
        return x
    if x.shape[-2] > size[0]:
        return functional.adaptive_avg_pool2d(x, size)
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def positions(height: int, width: int) -> tuple[Tensor, Tensor]:
    """List the pyramid's positions for an image: centres (P, 2) in pixels and strides (P,).

    >>> centres, strides = positions(64, 64)
    >>> centres[0].tolist(), strides[-1].item(), len(centres)
    ([4.0, 4.0], 32.0, 84)
    """
    centres, strides = [], []
    for stride in STRIDES:
        y = (torch.arange(-(-height // stride)) + 0.5) * stride
        x = (torch.arange(-(-width // stride)) + 0.5) * stride
        centres.append(torch.cartesian_prod(y, x).flip(-1))
        strides.append(torch.full((len(y) * len(x),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def boxes_from_sides(centres: Tensor, sides: Tensor) -> Tensor:
    """Turn (P, 2) centres and (..., P, 4) distances to the sides into xyxy boxes."""
    return torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], -1)


# --- mask decoder ----------------------------------------------------------------------------

WINDOW = 56  # cells of a mask along each side of its window
BOX_MARGIN = 0.15  # the window around a box, in parts of the box on each side
MASKS = 3  # alternatives: a point can mean a part, the object or a group
PROMPT_PLANES = 4  # box, positive points, negative points, earlier mask


class Residual(nn.Module):
    """3x3 convolution, group norm, ReLU, added to its input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, channels, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.norm = nn.GroupNorm(8, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, h, w)."""
        change = functional.relu(self.norm(self.conv(x)), inplace=not torch.is_grad_enabled())
        return x + change if torch.is_grad_enabled() else change.add_(x)


class MaskHead(nn.Module):
    """Masks in a window of the image, given prompt planes; three alternatives with a quality."""

    def __init__(self, channels: int = 64, width: int = 64) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(Pointwise(c, channels) for c, _ in MAPS[1:])
        self.objects = nn.ModuleList(Pointwise(2 * LEVEL, channels) for _ in STRIDES)
        self.enter = Pointwise(channels + PROMPT_PLANES, width)
        self.trunk = nn.Sequential(*[Residual(width, d) for d in (1, 2, 4, 2, 1)])
        self.quality = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, MASKS))
        self.rise = Pointwise(width, 32)
        self.detail = Pointwise(channels, 32)
        self.sharpen = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.GroupNorm(8, 32),
            nn.ReLU(),
            Pointwise(32, MASKS),
        )

    def embed(self, features: list[Tensor], sight: Sight) -> Tensor:
        """Join the encoder's features into one map (B, 64, H/4, W/4), once an image.

        What NanoDet's head saw is among them: it tells one object from the next.
        """
        joined: dict[int, Tensor] = {}  # by stride
        for conv, x, (_, stride) in zip(self.lateral, features[1:], MAPS[1:], strict=True):
            x = conv(x)
            joined[stride] = joined[stride] + x if stride in joined else x
        for conv, (seen, _, _), stride in zip(self.objects, sight.levels, STRIDES, strict=True):
            joined[stride] = joined[stride] + conv(seen)
        coarse, *finer = (joined[stride] for stride in sorted(joined, reverse=True))
        for x in finer:
            coarse = x + resample(coarse, x)
        return coarse

    def look(self, embedding: Tensor, owner: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Look through windows, once for any number of decodings.

        Args:
            embedding: (B, 64, H/4, W/4) from `embed`.
            owner: (N,) int64, the image of each window.
            windows: (N, 4) xyxy in pixels of the encoded picture; may reach outside of it.

        Returns:
            What the trunk gets, (N, 64, 28, 28), and the detail that sharpens, (N, 32, 56, 56).
        """
        fine = sample_windows(embedding, owner, windows, WINDOW)
        rows = self.enter.weight[:, : fine.shape[1]]
        return functional.conv2d(functional.avg_pool2d(fine, 2), rows), self.detail(fine)

    def forward(self, seen: tuple[Tensor, Tensor], planes: Tensor) -> tuple[Tensor, Tensor]:
        """Decode masks inside windows.

        Args:
            seen: From `look`.
            planes: (N, 4, 28, 28) prompts in window coordinates, see `prompt_planes`.

        Returns:
            Mask logits (N, 3, 56, 56) and predicted IoU logits (N, 3).
        """
        coarse, detail = seen
        rows = self.enter.weight[:, -PROMPT_PLANES:]
        x = self.trunk(coarse + functional.conv2d(planes, rows, self.enter.bias))
        quality = self.quality(x.mean((2, 3)))
        x = functional.interpolate(
            self.rise(x), scale_factor=2, mode="bilinear", align_corners=False
        )
        return self.sharpen(functional.relu(x + detail)), quality


def blend(logits: Tensor, scores: Tensor) -> Tensor:
    """Mean of the alternatives (N, M, h, w), the better weighing more: (N, 1, h, w).

    >>> mean = blend(torch.tensor([[[[1.0]], [[-1.0]]]]), torch.tensor([[0.9, 0.1]]))
    >>> round(mean.item(), 3)
    0.999
    """
    weights = torch.softmax(10.0 * scores, 1)
    return (logits * weights[:, :, None, None]).sum(1, keepdim=True)


def sample_windows(maps: Tensor, owner: Tensor, windows: Tensor, cells: int) -> Tensor:
    """Sample (N, C, cells, cells) from stride-4 `maps` (B, C, h, w), bilinear, zero outside."""
    channels, height, width = maps.shape[1:]
    steps = (torch.arange(cells, device=maps.device) + 0.5) / cells

    def corners(start: Tensor, stop: Tensor, size: int) -> tuple[Tensor, Tensor]:
        place = (start[:, None] + (stop - start)[:, None] * steps) / 4 - 0.5
        low = place.floor()
        part = place - low
        place = torch.stack([low, low + 1], -1)
        weight = torch.stack([1 - part, part], -1) * ((place >= 0) & (place < size))
        return place.clamp(0, size - 1).long(), weight

    x, x_weight = corners(windows[:, 0], windows[:, 2], width)  # (N, cells, 2)
    y, y_weight = corners(windows[:, 1], windows[:, 3], height)
    y = owner[:, None, None] * height + y
    places = y[:, :, None, :, None] * width + x[:, None, :, None, :]
    weights = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
    # Weighted sums of four rows each, one pass; grid_sample would go over the maps by channels.
    sampled = functional.embedding_bag(
        places.reshape(-1, 4),
        maps.permute(0, 2, 3, 1).reshape(-1, channels),
        per_sample_weights=weights.reshape(-1, 4).to(maps.dtype),
        mode="sum",
    )
    return sampled.view(len(windows), cells, cells, channels).permute(0, 3, 1, 2)


def prompt_planes(
    windows: Tensor,
    boxes: Tensor | None = None,
    points: Tensor | None = None,
    labels: Tensor | None = None,
) -> Tensor:
    """Draw prompts into windows of 28x28 cells.

    Args:
        windows: (N, 4) xyxy.
        boxes: (N, 4) xyxy, rows of NaN for windows without a box; None for none.
        points: (N, P, 2) in the same coordinates.
        labels: (N, P): 1 inside the object, 0 outside of it, negative for "no point".

    Returns:
        (N, 4, 28, 28): box, positive points, negative points, and an empty earlier mask.
    """
    cells = WINDOW // 2
    steps = (torch.arange(cells, device=windows.device) + 0.5) / cells
    x = windows[:, 0:1] + (windows[:, 2:3] - windows[:, 0:1]) * steps
    y = windows[:, 1:2] + (windows[:, 3:4] - windows[:, 1:2]) * steps
    planes = windows.new_zeros(len(windows), PROMPT_PLANES, cells, cells)
    if boxes is not None:
        inside_x = (x >= boxes[:, 0:1]) & (x <= boxes[:, 2:3])
        inside_y = (y >= boxes[:, 1:2]) & (y <= boxes[:, 3:4])
        planes[:, 0] = (inside_y[:, :, None] & inside_x[:, None, :]).to(planes.dtype)
    if points is not None and labels is not None:
        cell = (windows[:, 2:] - windows[:, :2]).clamp(min=1e-6) / cells
        dx = (x[:, None] - points[..., 0:1]) / cell[:, None, 0:1]
        dy = (y[:, None] - points[..., 1:2]) / cell[:, None, 1:2]
        bumps = torch.exp(-0.5 * (dx[:, :, None, :] ** 2 + dy[:, :, :, None] ** 2))
        for plane, label in ((1, 1), (2, 0)):
            chosen = (labels == label).to(bumps.dtype)[:, :, None, None]
            planes[:, plane] = (bumps * chosen).amax(1)
    return planes


# --- the whole -------------------------------------------------------------------------------


class Mini(nn.Module):
    """What the vision file holds: the image encoder and both heads."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ImageEncoder()
        self.detector = RegionTextHead()
        self.masker = MaskHead()
