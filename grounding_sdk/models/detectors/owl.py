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
from pathlib import Path
from typing import Self

import numpy as np
import supervision as sv
import torch
from transformers import Owlv2ForObjectDetection, OwlViTForObjectDetection

from grounding_sdk.detections import detections_from_scores
from grounding_sdk.image import Image
from grounding_sdk.models.detectors._common import (
    Saved,
    TextMemory,
    check_per_pass,
    load_saved,
    shrink,
    to_pixels,
)
from grounding_sdk.query import Query

MODELS = {"owlvit": OwlViTForObjectDetection, "owlv2": Owlv2ForObjectDetection}
TEXTS_KEPT = 20_000  # 2 KB each
# OWLv2 pads a picture to a square in float32 and blurs it before it scales it down, at a cost that
# grows with the fourth power of the longer side: 300 x 30,000 pixels would take 11 GB and hours.
# Pictures larger than this many times the model's input are shrunk first.
LARGEST_SCALE = 5


class OwlDetector:
    """OWL-ViT or OWLv2 through transformers.

    The objectness that OWLv2 also predicts is not used, as in transformers' post-processing.

    Attributes:
        name: Under which it was loaded.
        default_threshold: That of transformers' post-processing.
        phrases_per_pass: How many texts (phrases, times the templates) are encoded and compared
            with the image at a time. It bounds the memory and can be set; scores do not depend on
            it. 1,203 names on ViT-B/32 take 34, 36 and 38 s of a core with 32, 256 and all at a
            time, once encoded 2.8, 2.6 and 2.3 s, and 1.5, 1.6 and 2.1 GB.
    """

    default_threshold = 0.1
    phrases_per_pass: int = 256

    def __init__(self, saved: Saved, name: str) -> None:
        self.name = name
        self._saved = saved
        self._model = saved.model
        self._towers = getattr(saved.model, saved.model.base_model_prefix)
        # OWLv2 sees the picture in the top left of a padded square, OWL-ViT stretched to one.
        self._square = saved.model.config.model_type == "owlv2"
        self._vectors = TextMemory(self._embed, TEXTS_KEPT)

    @classmethod
    def load(cls, path: Path, *, name: str, device: str = "cpu") -> Self:
        """Loads a directory written by save_pretrained; errors as those of `load_saved`."""
        return cls(load_saved(path, MODELS, device), name)

    @torch.inference_mode()
    def detect(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        """Detects each query's phrases in its image, as `Detector.detect` says.

        The image tower runs once for the batch, the text tower once for each new text.
        """
        if not images:
            return []
        at_once = check_per_pass(self.phrases_per_pass)
        # All texts of the batch first, so that images with the same query share their passes.
        self._vectors([text for query in queries for text in _templated(query)], at_once)
        pixels = self._saved.pixel_values([self._shrunk(image.pixels) for image in images])
        feature_maps = self._model.image_embedder(pixels)[0]
        results = []
        for image, query, feature_map in zip(images, queries, feature_maps, strict=True):
            patches = feature_map.flatten(0, 1)[None]
            boxes = self._model.box_predictor(patches, feature_map[None])[0]
            side = max(image.size)
            width, height = (side, side) if self._square else (image.width, image.height)
            results.append(
                detections_from_scores(
                    image.size,
                    query,
                    to_pixels(boxes, width, height),
                    self._scores(patches, query, at_once).cpu().numpy(),
                    self.default_threshold,
                )
            )
        return results

    def _scores(self, patches: torch.Tensor, query: Query, at_once: int) -> torch.Tensor:
        """Compares (1, M, D) patches with the K phrases: (M, K)."""
        vectors = torch.stack(self._vectors(_templated(query), at_once))
        templates = max(1, len(query.templates))
        scores = []
        for part in vectors.split(templates * max(1, at_once // templates)):
            logits = self._model.class_predictor(patches, part[None])[0][0]
            scores.append(logits.unflatten(1, (-1, templates)).mean(2).sigmoid())
        return torch.cat(scores, dim=1)

    def _shrunk(self, pixels: np.ndarray) -> np.ndarray:
        longest = LARGEST_SCALE * int(self._saved.image_processor.size["height"])
        return shrink(pixels, longest) if self._square else pixels

    def _embed(self, texts: list[str]) -> torch.Tensor:
        """Returns the (K, D) unit vectors of K texts; words past the token limit are dropped."""
        tokens = self._saved.tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self._saved.device)
        features = self._towers.get_text_features(
            tokens["input_ids"], tokens["attention_mask"]
        ).pooler_output
        return torch.nn.functional.normalize(features, dim=-1, eps=0.0)


def _templated(query: Query) -> list[str]:
    """Returns the texts that a query is asked by: for each phrase, each template.

    >>> _templated(Query(Query.of("cat . dog").phrases, templates=("a {}", "the {}")))
    ['a cat', 'the cat', 'a dog', 'the dog']
    """
    return [t.replace("{}", text) for text in query.texts for t in query.templates or ("{}",)]
