"""OWL-ViT and OWLv2: every phrase is embedded on its own and compared with every image patch.

A phrase's score therefore depends on no other phrase. Sources: Minderer et al., "Simple
Open-Vocabulary Object Detection" (2022) and "Scaling Open-Vocabulary Object Detection" (2023).
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
from grounding_sdk.models.detectors._common import Saved, load_saved, shrink, to_pixels
from grounding_sdk.query import Query

MODELS = {"owlvit": OwlViTForObjectDetection, "owlv2": Owlv2ForObjectDetection}
TEXTS_AT_ONCE = 256  # bounds the memory that a large vocabulary takes
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
    """

    default_threshold = 0.1

    def __init__(self, saved: Saved, name: str) -> None:
        self.name = name
        self._saved = saved
        self._model = saved.model
        self._towers = getattr(saved.model, saved.model.base_model_prefix)
        # OWLv2 sees the picture in the top left of a padded square, OWL-ViT stretched to one.
        self._square = saved.model.config.model_type == "owlv2"

    @classmethod
    def load(cls, path: Path, *, name: str, device: str = "cpu") -> Self:
        """Loads a directory written by save_pretrained; errors as those of `load_saved`."""
        return cls(load_saved(path, MODELS, device), name)

    @torch.inference_mode()
    def detect(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        """Detects each query's phrases in its image, as `Detector.detect` says.

        The image tower runs once for the batch, the text tower once for each distinct phrase.
        """
        if not images:
            return []
        texts = list(dict.fromkeys(text for query in queries for text in query.texts))
        row = {text: index for index, text in enumerate(texts)}
        embedded = self._embed(texts)
        pixels = self._saved.pixel_values([self._shrunk(image.pixels) for image in images])
        feature_maps = self._model.image_embedder(pixels)[0]
        results = []
        for image, query, feature_map in zip(images, queries, feature_maps, strict=True):
            patches = feature_map.flatten(0, 1)[None]
            asked = embedded[[row[text] for text in query.texts]]
            logits = self._model.class_predictor(patches, asked[None])[0][0]
            boxes = self._model.box_predictor(patches, feature_map[None])[0]
            side = max(image.size)
            width, height = (side, side) if self._square else (image.width, image.height)
            results.append(
                detections_from_scores(
                    image.size,
                    query,
                    to_pixels(boxes, width, height),
                    logits.sigmoid().cpu().numpy(),
                    self.default_threshold,
                )
            )
        return results

    def _shrunk(self, pixels: np.ndarray) -> np.ndarray:
        longest = LARGEST_SCALE * int(self._saved.image_processor.size["height"])
        return shrink(pixels, longest) if self._square else pixels

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Returns the (K, D) unit vectors of K phrases; words past the token limit are dropped."""
        limit = self._model.config.text_config.max_position_embeddings
        vectors = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            tokens = self._saved.tokenizer(
                list(texts[start : start + TEXTS_AT_ONCE]),
                padding="max_length",
                truncation=True,
                max_length=limit,
                return_tensors="pt",
            ).to(self._saved.device)
            features = self._towers.get_text_features(
                tokens["input_ids"], tokens["attention_mask"]
            ).pooler_output
            vectors.append(torch.nn.functional.normalize(features, dim=-1, eps=0.0))
        return torch.cat(vectors)
