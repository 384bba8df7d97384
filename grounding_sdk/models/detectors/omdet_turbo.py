"""OmDet-Turbo: phrases are embedded one by one, and read once more together as the task.

Source: Zhao et al., "Real-time Transformer-based Open-Vocabulary Detection with Efficient Fusion
Head" (2024). The published checkpoint needs the package timm for its image backbone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import supervision as sv
import torch
from transformers import OmDetTurboForObjectDetection

from grounding_sdk.detections import detections_from_scores
from grounding_sdk.image import Image
from grounding_sdk.models.detectors._common import (
    Saved,
    SavedDetector,
    TextMemory,
    check_per_pass,
    keep_and_widen,
    to_pixels,
)
from grounding_sdk.models.detectors.deformable import use_gathering
from grounding_sdk.models.detectors.narrow import multiply_in
from grounding_sdk.query import Query

PHRASES_KEPT = 20_000  # 2 KB each

MODELS = {"omdet-turbo": OmDetTurboForObjectDetection}


class OmDetTurboDetector(SavedDetector):
    """OmDet-Turbo through transformers.

    A phrase's score depends a little on the other phrases of its query, since the task "Detect
    dog, red car." names them all. Where the task would be cut at the text encoder's limit of 77
    tokens, the query is asked in several tasks; a box then has scores for the phrases of the task
    that it answers, and 0 for the others.

    Unlike transformers' post-processing a box counts once, for its best phrase, and overlapping
    boxes are left to the merge stage.

    Attributes:
        name: Under which it was loaded.
        default_threshold: That of transformers' post-processing.
        phrases_per_pass: How many phrases a task names at most; can be set. Unless it is, a task
            takes what fits, since each costs the same: 48 phrases take 21 s of a core in 12 tasks
            of Swin-T, 13 s in 6. Boxes and scores depend on it.
        texts: Remembers the embeddings of phrases; has `stats()` and `clear()`.
    """

    models = MODELS
    default_threshold = 0.3
    phrases_per_pass: int = 256

    def __init__(self, saved: Saved, name: str) -> None:
        super().__init__(saved, name)
        use_gathering(self._model)
        self._limit = int(saved.model.config.text_config.max_position_embeddings)
        self.texts = TextMemory(self._embed, PHRASES_KEPT)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image]) -> list[tuple[torch.Tensor, ...]]:
        """Runs backbone and encoder on all images together: maps (1, C, h, w) for each."""
        if not images:
            return []
        pixels = self._saved.pixel_values([image.pixels for image in images])
        maps = self._model.encoder(self._model.vision_backbone(pixels)).extracted_states
        # Copies, so that each can be kept without the others.
        return [
            tuple(level[index : index + 1].clone() for level in maps)
            for index in range(len(images))
        ]

    @torch.inference_mode()
    def detect_encoded(
        self,
        embeddings: Sequence[tuple[torch.Tensor, ...]],
        images: Sequence[Image],
        queries: Sequence[Query],
    ) -> list[sv.Detections]:
        """As `detect`, with what `encode` gave for the images.

        Boxes are decoded for one image at a time, because in a batch the query with fewer phrases
        is padded by phrases that take part in the choice of boxes. For the same reason the parts of
        the model are called here one by one.
        """
        return [
            self._decode(list(maps), image, query)
            for maps, image, query in zip(embeddings, images, queries, strict=True)
        ]

    def _decode(self, maps: list[torch.Tensor], image: Image, query: Query) -> sv.Detections:
        boxes, scores = [], []
        for phrases in self._tasks(query):
            texts = [query.texts[index] for index in phrases]
            classes = torch.stack(self.texts(texts, len(texts)))
            task = self._saved.padded_tokens([f"Detect {', '.join(texts)}."], self._limit)
            asked, mask = self._model.language_backbone(
                task["input_ids"], task["attention_mask"], encode_type="task"
            )
            output = self._model.decoder(maps, classes[:, None], asked, mask)
            kept, wide = keep_and_widen(
                output.decoder_classes[-1][0].sigmoid(), phrases, query, self.default_threshold
            )
            boxes.append(to_pixels(output.decoder_coords[-1][0][kept], image.width, image.height))
            scores.append(wide)
        return detections_from_scores(
            image.size, query, np.concatenate(boxes), np.concatenate(scores), self.default_threshold
        )

    def _multiply_in(self, dtype: torch.dtype) -> None:
        multiply_in(dtype, self._model.vision_backbone, inner=["fc1"])

    def _tasks(self, query: Query) -> list[list[int]]:
        """Splits the phrases, in order, so that each part's task fits the text encoder."""
        most = check_per_pass(self.phrases_per_pass)
        count = [len(ids) for ids in self._saved.token_ids([*query.texts, "Detect ."])]
        frame = count.pop()
        tasks: list[list[int]] = []
        used = self._limit
        for index, length in enumerate(count):
            needed = length - 1  # less the two ends, plus a comma
            if used + needed > self._limit or len(tasks[-1]) == most:
                tasks.append([])
                used = frame
            tasks[-1].append(index)
            used += needed
        return tasks

    def _embed(self, texts: list[str]) -> torch.Tensor:
        """Returns the (K, D) embeddings of K phrases."""
        tokens = self._saved.padded_tokens(texts, self._limit)
        return self._model.language_backbone(tokens["input_ids"], encode_type="class")
