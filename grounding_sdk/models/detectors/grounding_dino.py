"""Grounding DINO, MM-Grounding-DINO and LLMDet: all phrases in one caption, scored token by token.

The caption "dog . red car ." is put together here from the tokens of each phrase, so that the span
of each is known exactly; nothing is ever decoded back into a label. A phrase's score for a box is
the largest sigmoid over the phrase's tokens, as a box's score is the largest over all tokens in
the original (Liu et al., "Grounding DINO", 2023; `groundingdino/util/inference.py`) and in
transformers' post-processing. For a caption of one phrase the two differ only where a box scores
best at "." or at the ends of the caption, which the models are trained not to let happen.

The model keeps phrases apart by their separators: text between two of the tokens [CLS], [SEP], "."
and "?" attends to itself alone. Inside a phrase such tokens would cut it in two, so they are left
out: "u.s. flag" is read as "u s flag".
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import supervision as sv
import torch
from torch.nn.functional import interpolate
from transformers import GroundingDinoForObjectDetection, MMGroundingDinoForObjectDetection
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.grounding_dino.modeling_grounding_dino import (
    generate_masks_with_special_tokens_and_transfer_map as masks_and_positions,
)

from grounding_sdk.detections import detections_from_scores
from grounding_sdk.image import Image
from grounding_sdk.models.detectors._common import (
    Saved,
    SavedDetector,
    TextMemory,
    check_per_pass,
    keep_and_widen,
    shrink,
    to_pixels,
)
from grounding_sdk.models.detectors.deformable import use_gathering
from grounding_sdk.models.detectors.dino_layers import use_lean_layers
from grounding_sdk.models.detectors.narrow import multiply_in
from grounding_sdk.query import Query

MODELS = {
    "grounding-dino": GroundingDinoForObjectDetection,
    "mm-grounding-dino": MMGroundingDinoForObjectDetection,
}
# A strip gives the model fewer places than the 900 boxes that it proposes, which fails, or is
# scaled to a height of 0. Strips are padded to this ratio; real panoramas rarely reach it.
LARGEST_ASPECT = 20
LONGEST_STRIP = 2000  # of the strips that are padded; the models see 1333 pixels
CAPTIONS_KEPT = 64  # 0.8 MB each at most
# Maps (1, C, h, w) of the image backbone (19 MB of Swin-T), and which of the model's pixels are of
# the image, (1, H, W) bool.
Encoded: TypeAlias = tuple[tuple[torch.Tensor, ...], torch.Tensor]
# What says where to look, what is text, and what refines boxes, is not rounded in "fast".
EXACT = ("text", "fusion", "sampling_offsets", "attention_weights", "reference_points", "bbox")


@dataclass(frozen=True)
class Caption:
    """What the text encoder reads, and which phrase stands where.

    Attributes:
        ids: Token ids from [CLS] to [SEP].
        spans: (phrase index, start, stop) of each phrase in `ids`.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int, int], ...]


def build_captions(
    phrases: Sequence[Sequence[int]],
    first: int,
    separator: int,
    last: int,
    limit: int,
    most: int = sys.maxsize,
) -> list[Caption]:
    """Packs phrases into as few captions as their order allows.

    A caption has at most `limit` tokens and `most` phrases. A phrase that is longer than a whole
    caption loses its end.

    >>> build_captions([[7], [8, 9], [5]], first=1, separator=3, last=2, limit=7)[0]
    Caption(ids=(1, 7, 3, 8, 9, 3, 2), spans=((0, 1, 2), (1, 3, 5)))
    """
    captions: list[Caption] = []
    ids: list[int] = [first]
    spans: list[tuple[int, int, int]] = []
    for index, phrase in enumerate(phrases):
        phrase = phrase[: limit - 3]
        if len(ids) + len(phrase) + 2 > limit or len(spans) == most:
            captions.append(Caption((*ids, last), tuple(spans)))
            ids, spans = [first], []
        spans.append((index, len(ids), len(ids) + len(phrase)))
        ids += [*phrase, separator]
    return [*captions, Caption((*ids, last), tuple(spans))]


class GroundingDinoDetector(SavedDetector):
    """Grounding DINO or MM-Grounding-DINO (which LLMDet's checkpoints are) through transformers.

    A phrase's score depends a little on the other phrases of its query, since they share a
    caption. A query too long for one caption is asked in several; a box then has scores for the
    phrases of the caption that it answers, and 0 for the others.

    Attributes:
        name: Under which it was loaded.
        default_threshold: That of mmdetection's demo, between the 0.25 of transformers and the 0.35
            of Grounding DINO's own.
        phrases_per_pass: How many phrases a caption takes at most; can be set. Unless it is, a
            caption takes what fits its 256 tokens: what grows with them takes 0.14 s of a core with
            18 tokens and 1.4 s with 256, beside 4.2 s for the rest (Swin-T at 480 x 640). The image
            is encoded once, but read anew with each caption, so boxes and scores depend on it:
            mmdetection evaluates on LVIS with 40.
        texts: Remembers what the text encoder made of captions; has `stats()` and `clear()`.
        batches_equal_sizes: Tells `Pipeline.stream` to batch images of one size.
    """

    models = MODELS
    default_threshold = 0.3
    phrases_per_pass: int = 256
    batches_equal_sizes = True

    def __init__(self, saved: Saved, name: str) -> None:
        super().__init__(saved, name)
        use_gathering(self._model)
        use_lean_layers(self._model)
        tokenizer = saved.tokenizer
        self._separators = set(self._model.model.special_tokens.tolist())
        self._ends = (
            tokenizer.cls_token_id,
            tokenizer.convert_tokens_to_ids("."),
            tokenizer.sep_token_id,
        )
        text_backbone = self._model.model.text_backbone
        self._vision = _EncodedImages(self._model.model.backbone)
        text_backbone.forward = _KnownCaptions(
            text_backbone.forward, self._model.model.special_tokens
        )
        self.texts = text_backbone.forward.known

    @torch.inference_mode()
    def encode(self, images: Sequence[Image]) -> list[Encoded]:
        """Runs the image backbone, on images that have the same size for the model together."""
        inputs = [self._saved.preprocess(_canvas(image.pixels)[0]) for image in images]
        shapes = [tuple(prepared["pixel_values"].shape) for prepared in inputs]
        encoded: dict[int, Encoded] = {}
        for members in _alike(shapes):
            pixels, mask = (
                torch.cat([inputs[index][name] for index in members])
                for name in ("pixel_values", "pixel_mask")
            )
            maps = [level for level, _ in self._model.model.backbone.conv_encoder(pixels, mask)]
            for row, index in enumerate(members):
                only = slice(row, row + 1)  # copies, so that each can be kept without the others
                levels = tuple(level[only].clone() for level in maps)
                encoded[index] = levels, mask[only].bool()
        return [encoded[index] for index in range(len(images))]

    @torch.inference_mode()
    def detect_encoded(
        self, embeddings: Sequence[Encoded], images: Sequence[Image], queries: Sequence[Query]
    ) -> list[sv.Detections]:
        """As `detect`, with what `encode` gave for the images.

        Only images that have the same size for the model are run together, because padding would
        change their scores: the normalisation layers do not heed the mask of padded pixels.
        """
        captions = [self._captions(query) for query in queries]
        sizes = [_canvas(image.pixels)[1] for image in images]
        # An image that needs several captions runs alone.
        shapes = [
            (*mask.shape, index if len(captions[index]) > 1 else -1)
            for index, (_, mask) in enumerate(embeddings)
        ]
        parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in images]
        for members in _alike(shapes):
            with self._vision.of([embeddings[index] for index in members]) as shown:
                for round_ in range(len(captions[members[0]])):
                    asked = [captions[index][round_] for index in members]
                    output = self._model(**shown, **self._text(asked))
                    for row, index in enumerate(members):
                        boxes, scores = self._read(output, row, asked[row], queries[index])
                        parts[index].append((to_pixels(boxes, *sizes[index]), scores))
        return [
            detections_from_scores(
                image.size,
                query,
                np.concatenate([boxes for boxes, _ in found]),
                np.concatenate([scores for _, scores in found]),
                self.default_threshold,
            )
            for image, query, found in zip(images, queries, parts, strict=True)
        ]

    def _multiply_in(self, dtype: torch.dtype) -> None:
        model = self._model.model
        for part in (model.backbone, model.encoder, model.decoder):
            multiply_in(dtype, part, except_in=EXACT, inner=["fc1"])

    def _captions(self, query: Query) -> list[Caption]:
        # In lower case as the models were trained, which also makes plain words of "[SEP]".
        texts = [text.lower() for text in query.texts]
        tokens = self._saved.token_ids(texts, ends=False)
        unknown = [self._saved.tokenizer.unk_token_id]
        words = [[i for i in ids if i not in self._separators] or unknown for ids in tokens]
        first, separator, last = self._ends
        limit, most = self._model.config.max_text_len, check_per_pass(self.phrases_per_pass)
        return build_captions(words, first, separator, last, limit, most)

    def _text(self, captions: Sequence[Caption]) -> dict[str, torch.Tensor]:
        longest = max(len(caption.ids) for caption in captions)
        ids = torch.full((len(captions), longest), self._saved.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, caption in enumerate(captions):
            ids[row, : len(caption.ids)] = torch.tensor(caption.ids)
            mask[row, : len(caption.ids)] = 1
        device = self._saved.device
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}

    def _read(
        self, output: Any, row: int, caption: Caption, query: Query
    ) -> tuple[torch.Tensor, np.ndarray]:
        """Returns relative boxes (M, 4) and scores (M, K), of those that a threshold may keep."""
        tokens = output.logits[row].sigmoid()
        asked = torch.stack([tokens[:, a:b].amax(dim=1) for _, a, b in caption.spans], dim=1)
        phrases = [phrase for phrase, _, _ in caption.spans]
        kept, scores = keep_and_widen(asked, phrases, query, self.default_threshold)
        return output.pred_boxes[row][kept], scores


class _EncodedImages:
    """Takes the place of the image backbone's `forward`, with images that are encoded already."""

    def __init__(self, backbone: Any) -> None:
        self._position = backbone.position_embedding
        self._features: dict[int, tuple[list[Any], list[torch.Tensor]]] = {}
        backbone.forward = self

    @contextmanager
    def of(self, encoded: Sequence[Encoded]) -> Iterator[dict[str, torch.Tensor]]:
        """Gives what to hand to the model for images of one size; threads may have their own."""
        mask = torch.cat([mask for _, mask in encoded])
        maps = [torch.cat(levels) for levels in zip(*(maps for maps, _ in encoded), strict=True)]
        masks = [interpolate(mask[None].float(), level.shape[-2:])[0].bool() for level in maps]
        features = list(zip(maps, masks, strict=True))
        positions = [self._position(*feature).to(feature[0].dtype) for feature in features]
        # Of the pixels the model wants no more than the shape.
        pixels = maps[0].new_zeros(1, 1, 1, 1).expand(len(mask), 3, *mask.shape[1:])
        self._features[id(pixels)] = features, positions
        try:
            yield {"pixel_values": pixels, "pixel_mask": mask}
        finally:
            del self._features[id(pixels)]

    def __call__(self, pixel_values: torch.Tensor, pixel_mask: torch.Tensor) -> Any:
        features, positions = self._features[id(pixel_values)]
        return list(features), list(positions)  # copies, because the model appends to them


class _KnownCaptions:
    """The text encoder's `forward`, run on captions that are not known."""

    def __init__(self, forward: Callable[..., Any], separators: torch.Tensor) -> None:
        self._forward = forward
        self._separators = separators
        self.known: TextMemory[tuple[int, ...]] = TextMemory(self._encode, CAPTIONS_KEPT)

    def __call__(self, input_ids: torch.Tensor, *of_the_ids: Any, **options: Any) -> Any:
        rows = [tuple(row) for row in input_ids.tolist()]
        return BaseModelOutput(last_hidden_state=torch.stack(self.known(rows, len(rows))))

    def _encode(self, rows: list[tuple[int, ...]]) -> torch.Tensor:
        """Encodes captions of one length, with the masks and positions that the model makes."""
        ids = torch.tensor(rows, device=self._separators.device)
        masks, positions = masks_and_positions(ids, self._separators)
        output = self._forward(ids, masks[:, None], torch.zeros_like(ids), positions)
        return output.last_hidden_state


def _alike(kinds: Sequence[Hashable]) -> list[list[int]]:
    """Groups indices by what they stand for.

    >>> _alike(["a", "b", "a"])
    [[0, 2], [1]]
    """
    groups: dict[Hashable, list[int]] = {}
    for index, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(index)
    return list(groups.values())


def _canvas(pixels: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Pads a strip with black at its right or bottom; other pictures stay as they are.

    Args:
        pixels: (H, W, 3).

    Returns:
        What to show to the model, and its width and height in pixels of the original.

    >>> canvas, size = _canvas(np.ones((2, 300, 3), np.uint8))
    >>> canvas.shape, size
    ((15, 300, 3), (300.0, 15.0))
    """
    height, width = pixels.shape[:2]
    if max(height, width) <= LARGEST_ASPECT * min(height, width):
        return pixels, (width, height)
    strip = shrink(pixels, LONGEST_STRIP)
    rows, columns = strip.shape[:2]
    bottom = max(0, math.ceil(columns / LARGEST_ASPECT) - rows)
    right = max(0, math.ceil(rows / LARGEST_ASPECT) - columns)
    canvas = np.pad(strip, ((0, bottom), (0, right), (0, 0)))
    return canvas, (canvas.shape[1] * width / columns, canvas.shape[0] * height / rows)
