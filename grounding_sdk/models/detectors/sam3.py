"""SAM 3: from a phrase straight to the boxes and masks of all its instances.

Source: Carion et al., "SAM 3: Segment Anything with Concepts" (2025). Each phrase is asked on its
own, on image features that are computed once. Two phrases may therefore find the same object; which
of the two stays is for the merge stage to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import supervision as sv
import torch
from transformers import Sam3Model
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

from grounding_sdk.detections import detections_from_scores
from grounding_sdk.image import Image
from grounding_sdk.models.detectors._common import (
    Saved,
    SavedDetector,
    TextMemory,
    check_per_pass,
    keep_and_widen,
)
from grounding_sdk.models.detectors.narrow import multiply_in
from grounding_sdk.models.segmenters.upscale import resize_axis, upscale_masks
from grounding_sdk.query import Query

MODELS = {"sam3": Sam3Model, "sam3_video": Sam3Model}  # the published weights are the video model's
TEXTS_AT_ONCE = 64
TEXTS_KEPT = 2048  # 32 KB each
MASK_THRESHOLD = 0.5  # of transformers' post-processing


class Sam3Detector(SavedDetector):
    """SAM 3 through transformers; its detections have masks.

    Attributes:
        name: Under which it was loaded.
        default_threshold: The confidence threshold of the original's `Sam3Processor`. Transformers'
            post-processing has 0.3.
        phrases_per_pass: How many phrases are decoded at a time; can be set. Scores do not depend
            on it, and on a CPU neither does the time: two phrases take 24 s of a core one by one,
            25 s together, and more memory.
        texts: Remembers the features of phrases; has `stats()` and `clear()`.
    """

    models = MODELS
    default_threshold = 0.5
    phrases_per_pass: int = 1

    def __init__(self, saved: Saved, name: str) -> None:
        super().__init__(saved, name)
        self.texts = TextMemory(self._encode, TEXTS_KEPT)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image]) -> list[torch.Tensor]:
        """Runs the vision transformer: its last tokens (1, h, w, D) for each image, 21 MB.

        The maps that its neck makes of them are five times as large, so they are made again.
        """
        return [self._see(image) for image in images]

    @torch.inference_mode()
    def detect_encoded(
        self, embeddings: Sequence[torch.Tensor], images: Sequence[Image], queries: Sequence[Query]
    ) -> list[sv.Detections]:
        """As `detect`, with what `encode` gave for the images; detections have masks.

        A detection's row of phrase scores is 0 but for the phrase that found it.
        """
        at_once = check_per_pass(self.phrases_per_pass)
        return [
            self._detect(tokens, image, query, at_once)
            for tokens, image, query in zip(embeddings, images, queries, strict=True)
        ]

    def _multiply_in(self, dtype: torch.dtype) -> None:
        multiply_in(dtype, self._model.vision_encoder, inner=["fc1"])

    def _encode(self, texts: list[str]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Encodes K phrases as features (32, D) and which of the 32 tokens they have, (32,).

        Words past the text encoder's limit of 32 tokens are dropped.
        """
        limit = self._model.text_encoder.config.max_position_embeddings
        tokens = self._saved.padded_tokens(texts, limit)
        mask = tokens["attention_mask"]
        features = self._model.get_text_features(tokens["input_ids"], mask).pooler_output
        return list(zip(features, mask, strict=True))

    def _see(self, image: Image) -> torch.Tensor:
        pixels = self._saved.pixel_values([image.pixels])
        encoder = self._model.vision_encoder
        side = encoder.config.backbone_config.patch_size
        tokens: torch.Tensor = encoder.backbone(pixels).last_hidden_state
        return tokens.unflatten(1, (pixels.shape[2] // side, pixels.shape[3] // side))

    def _detect(
        self, tokens: torch.Tensor, image: Image, query: Query, at_once: int
    ) -> sv.Detections:
        vision = self._model.vision_encoder.neck(tokens.permute(0, 3, 1, 2))
        texts = self.texts(query.texts, TEXTS_AT_ONCE)
        boxes, scores, masks = [], [], []
        for start in range(0, len(texts), at_once):
            output = self._decode(vision, texts[start : start + at_once])
            confidence = output.pred_logits.sigmoid() * output.presence_logits.sigmoid()
            for row, found in enumerate(confidence):
                kept, wide = keep_and_widen(
                    found[:, None], [start + row], query, self.default_threshold
                )
                boxes.append(output.pred_boxes[row][kept].cpu().numpy())
                scores.append(wide)
                masks.append(self._masks(output.pred_masks[row][kept], image))
        return detections_from_scores(
            image.size,
            query,
            np.concatenate(boxes) * np.array([image.width, image.height] * 2, np.float32),
            np.concatenate(scores),
            self.default_threshold,
            sv.CompactMask.merge(masks),
        )

    def _decode(
        self,
        vision: tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]],
        texts: Sequence[tuple[torch.Tensor, torch.Tensor]],
    ) -> Any:
        """Looks for encoded phrases in maps and positions of one image, which they share."""
        features, masks = (torch.stack(parts) for parts in zip(*texts, strict=True))
        maps, positions = (
            tuple(level.expand(len(texts), -1, -1, -1) for level in levels) for levels in vision
        )
        return self._model(
            vision_embeds=Sam3VisionEncoderOutput(
                fpn_hidden_states=maps, fpn_position_encoding=positions
            ),
            text_embeds=BaseModelOutputWithPooling(pooler_output=features),
            attention_mask=masks,
        )

    def _masks(self, logits: torch.Tensor, image: Image) -> sv.CompactMask:
        """Upscales as post_process_instance_segmentation does: the sigmoid, not the logits."""
        above = logits.sigmoid() - MASK_THRESHOLD  # above 0 where the mask is
        height, width = above.shape[1:]
        rows = resize_axis(height, (image.height, image.height))
        return upscale_masks(
            above.cpu().numpy(), rows, resize_axis(width, (image.width, image.width))
        )
