"""OWL-ViT and OWLv2: every phrase is embedded on its own and compared with every image patch.

A phrase's score therefore depends on no other phrase. Sources: Minderer et al., "Simple
Open-Vocabulary Object Detection" (2022) and "Scaling Open-Vocabulary Object Detection" (2023).

A query's templates are averaged as the published evaluation does (`get_predict_fn` in
`projects/owl_vit/evaluator.py` of google-research/scenic): the class head's logits are averaged
over the templates, and the sigmoid of the mean is the score. Of our detectors these two alone use
templates; the others have words of their own around a phrase, or none, and ignore them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import supervision as sv
import torch
from transformers import Owlv2ForObjectDetection, OwlViTForObjectDetection
from transformers.activations import QuickGELUActivation

from grounding_sdk.detections import detections_from_scores
from grounding_sdk.image import Image
from grounding_sdk.models.detectors._common import (
    Saved,
    SavedDetector,
    TextMemory,
    check_per_pass,
    lowest_threshold,
    shrink,
    to_pixels,
)
from grounding_sdk.models.detectors.narrow import multiply_in
from grounding_sdk.models.detectors.owl_tower import ExactTower
from grounding_sdk.models.engines import Encoder, HasEngine, PictureSide, compiled
from grounding_sdk.models.perceptron import QUICK, TOKENS_AT_ONCE, quick_silu
from grounding_sdk.query import Query

MODELS = {"owlvit": OwlViTForObjectDetection, "owlv2": Owlv2ForObjectDetection}
TEXTS_KEPT = 20_000  # 2 KB each
# OWLv2 pads a picture to a square in float32 and blurs it before it scales it down, at a cost that
# grows with the fourth power of the longer side: 300 x 30,000 pixels would take 11 GB and hours.
# Pictures larger than this many times the model's input are shrunk first.
LARGEST_SCALE = 5


class OwlDetector(SavedDetector, HasEngine):
    """OWL-ViT or OWLv2 through transformers.

    The objectness that OWLv2 also predicts is not used, as in transformers' post-processing.

    Attributes:
        name: Under which it was loaded.
        default_threshold: That of transformers' post-processing.
        phrases_per_pass: How many texts (phrases, times the templates) are encoded at a time. It
            bounds the memory and can be set; scores do not depend on it. 1,203 names on ViT-B/32
            take 34, 36 and 38 s of a core with 32, 256 and all at a time.
        texts: Remembers the embeddings of texts; has `stats()` and `clear()`.
    """

    models = MODELS
    default_threshold = 0.1
    phrases_per_pass: int = 256

    def __init__(self, saved: Saved, name: str) -> None:
        super().__init__(saved, name)
        # OWLv2 sees the picture in the top left of a padded square, OWL-ViT stretched to one.
        self._square = saved.model.config.model_type == "owlv2"
        self.texts = TextMemory(self._embed, TEXTS_KEPT)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image]) -> list[torch.Tensor]:
        """Runs the image tower: a feature map (h, w, D) for each image."""
        if not images:
            return []
        pixels = self._saved.pixel_values([self._shrunk(image.pixels) for image in images])
        # Copies, so that each can be kept without the others.
        return [each.clone() for each in (self._on_engine or self._encode)(pixels)]

    @torch.inference_mode()
    def detect_encoded(
        self, embeddings: Sequence[torch.Tensor], images: Sequence[Image], queries: Sequence[Query]
    ) -> list[sv.Detections]:
        """As `detect`, with what `encode` gave for the images."""
        # All texts of the batch at once, so that images with the same query share their passes.
        texts = list(dict.fromkeys(text for query in queries for text in _templated(query)))
        vectors = self.texts(texts, check_per_pass(self.phrases_per_pass))
        vector_of = dict(zip(texts, vectors, strict=True))
        results = []
        for image, query, feature_map in zip(images, queries, embeddings, strict=True):
            asked = torch.stack([vector_of[text] for text in _templated(query)])
            boxes, scores = self._read(
                feature_map.flatten(0, 1), asked.unflatten(0, (len(query), -1)), query
            )
            side = max(image.size)
            width, height = (side, side) if self._square else (image.width, image.height)
            results.append(
                detections_from_scores(
                    image.size,
                    query,
                    to_pixels(boxes, width, height),
                    scores.cpu().numpy(),
                    self.default_threshold,
                )
            )
        return results

    def _read(
        self, patches: torch.Tensor, vectors: torch.Tensor, query: Query
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compares (M, D) patches with K phrases in T templates, (K, T, E).

        This is the class head of transformers, where a logit is a linear function of the text's
        vector: the mean of a phrase's logits is the logit of the mean of its vectors.

        Returns:
            Relative boxes (L, 4) and scores (L, K) of the patches that a threshold may keep.
        """
        head = self._model.class_head
        logits = _normalized(head.dense0(patches)) @ _normalized(vectors).mean(1).T
        logits += head.logit_shift(patches)
        logits *= head.elu(head.logit_scale(patches)) + 1
        best = logits.amax(dim=1).sigmoid()
        kept = best >= lowest_threshold(query, self.default_threshold)
        boxes = self._model.box_head(patches[kept]) + self._model.box_bias[kept]
        return boxes.sigmoid(), logits[kept].sigmoid()

    def _multiply_in(self, dtype: torch.dtype) -> None:
        tower = self._model.base_model.vision_model.encoder
        # In attention all is in the type; the residuals and their norms, which add to it, are not.
        projections = ("q_proj", "k_proj", "v_proj", "out_proj")
        for layer in tower.layers:
            multiply_in(dtype, layer.self_attn, inner=projections)
            if isinstance(layer.mlp.activation_fn, QuickGELUActivation):
                layer.mlp.forward = _QuickNetwork(layer.mlp, dtype)
            else:
                multiply_in(dtype, layer.mlp, inner=["fc1"])
        vars(tower).pop("forward", None)
        if dtype == torch.float32:
            tower.forward = ExactTower(tower)

    def _shrunk(self, pixels: np.ndarray) -> np.ndarray:
        longest = LARGEST_SCALE * int(self._saved.image_processor.size["height"])
        return shrink(pixels, longest) if self._square else pixels

    def picture_side(self) -> PictureSide:
        """The image tower, to the (1, h, w, D) features of the patches."""
        return PictureSide(lambda x: (self._encode(x),), self._model, (self._side, self._side))

    def _translated(self, engine: str) -> Encoder:
        return compiled(self.picture_side(), engine)

    @torch.inference_mode()
    def _try(self, on_engine: Encoder | None) -> object:
        pixels = torch.zeros(1, 3, self._side, self._side, device=self.device)
        return (on_engine or self._encode)(pixels)

    @property
    def _side(self) -> int:
        return int(self._model.config.vision_config.image_size)

    def _encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """From preprocessed images to feature maps (B, h, w, D)."""
        features: torch.Tensor = self._model.image_embedder(pixels)[0]
        return features

    def _embed(self, texts: list[str]) -> torch.Tensor:
        """Returns the (K, D) unit vectors of K texts; words past the token limit are dropped."""
        limit = self._model.config.text_config.max_position_embeddings
        tokens = self._saved.padded_tokens(texts, limit)
        features = self._model.base_model.get_text_features(
            tokens["input_ids"], tokens["attention_mask"]
        ).pooler_output
        return torch.nn.functional.normalize(features, dim=-1, eps=0.0)


class _QuickNetwork:
    """The `forward` of a layer's MLP, with one pass over its many inner numbers in place of three.

    The activation x * sigmoid(c x) is silu(c x) / c; both factors go into the products.
    """

    def __init__(self, mlp: Any, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._inner, self._inner_bias, self._outer, self._outer_bias = (
            value.to(dtype)  # the same tensor where it has the type
            for layer in (mlp.fc1, mlp.fc2)
            for value in (layer.weight.T, layer.bias)
        )

    def __call__(self, hidden_states: torch.Tensor) -> torch.Tensor:
        tokens = hidden_states.flatten(0, 1)
        result = torch.empty_like(tokens)
        parts = zip(tokens.split(TOKENS_AT_ONCE), result.split(TOKENS_AT_ONCE), strict=True)
        for part, answer in parts:
            inner = torch.addmm(
                self._inner_bias,
                part.to(self._dtype),
                self._inner,
                alpha=QUICK,
                beta=QUICK,
            )
            quick_silu(inner)
            answer.copy_(torch.addmm(self._outer_bias, inner, self._outer, alpha=1 / QUICK))
        return result.view_as(hidden_states)


def _normalized(vectors: torch.Tensor) -> torch.Tensor:
    """Divides by the length, as the class head does."""
    return vectors / (torch.linalg.vector_norm(vectors, dim=-1, keepdim=True) + 1e-6)


def _templated(query: Query) -> list[str]:
    """Returns the texts that a query is asked by: for each phrase, each template.

    >>> _templated(Query(Query.of("cat . dog").phrases, templates=("a {}", "the {}")))
    ['a cat', 'the cat', 'a dog', 'the dog']
    """
    return [t.replace("{}", text) for text in query.texts for t in query.templates or ("{}",)]
