"""The two doors through which models enter: `Detector` and `Segmenter`.

Anything with these methods fits; nothing needs to inherit. Stages know only what stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import supervision as sv

from grounding_sdk.image import Image
from grounding_sdk.query import Query

Embedding: TypeAlias = Any  # what `encode` gives and `decode` takes; each family has its own


@runtime_checkable
class Detector(Protocol):
    """Finds boxes for phrases."""

    @property
    def name(self) -> str:
        """The name, hub id or directory under which it was loaded."""
        ...

    @property
    def default_threshold(self) -> float:
        """Lowest score of a detection where a phrase does not state one."""
        ...

    def detect(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        """Detects each query's phrases in its image.

        Args:
            images: Any number of images of any sizes.
            queries: One for each image.

        Returns:
            For each image its detections with every column that `grounding_sdk.detections` lists,
            best first; a result does not depend on what else is in the batch. Masks are set only
            by detectors that make them themselves.
        """
        ...


@runtime_checkable
class EncodesImages(Protocol):
    """Reads an image once, for any number of questions."""

    def encode(self, images: Sequence[Image]) -> list[Embedding]:
        """Returns one embedding for each image."""
        ...


@runtime_checkable
class EncodingDetector(EncodesImages, Protocol):
    """What a detector may have besides, if what it makes of an image depends on no question."""

    def detect_encoded(
        self, embeddings: Sequence[Embedding], images: Sequence[Image], queries: Sequence[Query]
    ) -> list[sv.Detections]:
        """As `Detector.detect`, with the embeddings of the images."""
        ...


@dataclass(frozen=True)
class MaskPrediction:
    """Masks for N prompts, M for each.

    Attributes:
        masks: N * M compact masks at image size, all of the first prompt first.
        scores: (N, M) float32, the model's own estimate of each mask's quality.
        logits: (N, M, h, w) float32 before upscaling, which `decode` takes back as `masks`;
            None where nobody wants them, or the family has no such thing.
    """

    masks: sv.CompactMask
    scores: np.ndarray
    logits: np.ndarray | None = None


@runtime_checkable
class Segmenter(EncodesImages, Protocol):
    """Turns boxes, points and rough masks into masks. Encodes an image once for any number."""

    @property
    def name(self) -> str:
        """The name, hub id or directory under which it was loaded."""
        ...

    def decode(
        self,
        embedding: Embedding,
        boxes: np.ndarray | None = None,
        *,
        points: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        masks: np.ndarray | None = None,
        multimask: bool = False,
        logits: bool = True,
    ) -> MaskPrediction:
        """Returns the masks for N prompts on one image.

        A prompt is a box, points, a rough mask, or a combination of them; what is given must agree
        on N. Coordinates are pixels of the original image.

        Args:
            embedding: Of the image, from `encode`.
            boxes: (N, 4) xyxy.
            points: (N, P, 2) xy.
            point_labels: (N, P): 1 on the object, 0 off it, -1 padding. All 1 unless given.
            masks: (N, h, w) logits of an earlier prediction.
            multimask: Every mask that the model proposes for a prompt, not the best alone.
            logits: Whether to give them; if not, those of an image's padding need not be made.

        Raises:
            PromptError: If no prompt is given, or shapes or values do not fit.
        """
        ...
