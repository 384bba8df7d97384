"""A detector and a segmenter without weights, so that code around them can be tested.

They are fast and deterministic, keep every promise of the ports, and know nothing of pictures. The
registry has both under the name "fake".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import supervision as sv

from grounding_sdk.detections import Size, compact_masks, detections_from_scores
from grounding_sdk.image import Image
from grounding_sdk.models.ports import MaskPrediction
from grounding_sdk.models.segmenters.prompts import BACKGROUND, FOREGROUND, Prompts, check_prompts
from grounding_sdk.query import Query

Box: TypeAlias = Sequence[float]

LOGITS_SIZE = (64, 64)
_SCORES = (0.9, 0.8, 0.7)  # of a prompt's masks,
_SCALES = (1.0, 0.75, 0.5)  # which are ever smaller copies of one shape


@dataclass
class FakeDetector:
    """Finds what a table says, or one to three boxes a phrase drawn from image and phrase.

    Attributes:
        table: For each phrase its (box xyxy in pixels, score) pairs, in every image alike. Other
            phrases find nothing. Without a table the same phrase finds the same boxes in the same
            image, always and everywhere, and others in another.
        name: As shown in traces.
        default_threshold: As for any detector; no drawn score is below 0.4.

    >>> detector = FakeDetector({"dog": [((1, 2, 30, 40), 0.8)]})
    >>> image, query = Image(np.zeros((64, 64, 3), np.uint8)), Query.of("cat . dog")
    >>> found = detector.detect([image], [query])[0]
    >>> found.xyxy.tolist(), found["class_name"].tolist()
    ([[1.0, 2.0, 30.0, 40.0]], ['dog'])
    """

    table: Mapping[str, Sequence[tuple[Box, float]]] | None = None
    name: str = "fake"
    default_threshold: float = 0.3

    def detect(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        """Finds boxes; see `grounding_sdk.models.ports.Detector`."""
        return [self._detect(image, query) for image, query in zip(images, queries, strict=True)]

    def _detect(self, image: Image, query: Query) -> sv.Detections:
        boxes, scores = [], []
        for index, text in enumerate(query.texts):
            hits = _drawn(image, text) if self.table is None else self.table.get(text, ())
            for box, score in hits:
                boxes.append(box)
                scores.append(np.eye(len(query))[index] * score)
        return detections_from_scores(
            image.size,
            query,
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(scores, np.float32).reshape(-1, len(query)),
            self.default_threshold,
        )


@dataclass
class FakeSegmenter:
    """Gives ellipses for boxes, discs for points, and masks as they were given.

    A box gives the ellipse that touches its sides. Points on the object add discs with a tenth of
    the image's shorter side as radius, points off it cut such discs out. A mask prompt adds itself.
    `multimask` gives three masks a prompt, each smaller than the one before and scored lower.

    Attributes:
        name: As shown in traces.

    >>> segmenter = FakeSegmenter()
    >>> embedding = segmenter.encode([Image(np.zeros((40, 60, 3), np.uint8))])[0]
    >>> predicted = segmenter.decode(embedding, np.array([[10, 10, 30, 30]]))
    >>> int(predicted.masks.area[0]), predicted.scores.tolist()
    (316, [[0.8999999761581421]])
    """

    name: str = "fake"

    def encode(self, images: Sequence[Image]) -> list[Size]:
        """Returns the images' sizes, which is all that it needs to know of them."""
        return [image.size for image in images]

    def decode(
        self,
        embedding: Size,
        boxes: np.ndarray | None = None,
        *,
        points: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        masks: np.ndarray | None = None,
        multimask: bool = False,
        logits: bool = True,
    ) -> MaskPrediction:
        """Draws masks; see `grounding_sdk.models.ports.Segmenter`.

        Mask prompts and logits are 64 x 64.
        """
        prompts = check_prompts(boxes, points, point_labels, masks, LOGITS_SIZE)
        many = len(_SCORES) if multimask else 1
        rows, scales = range(len(prompts)), _SCALES[:many]
        shapes = [_Shape(prompts, row, scale, embedding) for row in rows for scale in scales]
        placed = [shape.crop() for shape in shapes]
        planes = None
        if logits:
            planes = np.array([shape.logits() for shape in shapes], np.float32)
            planes = planes.reshape(len(prompts), many, *LOGITS_SIZE)
        return MaskPrediction(
            masks=compact_masks([crop for crop, _ in placed], [at for _, at in placed], embedding),
            scores=np.tile(np.array(_SCORES[:many], np.float32), (len(prompts), 1)),
            logits=planes,
        )


@dataclass(frozen=True)
class _Shape:
    """What one prompt draws: a region of the plane, of which masks are samples."""

    prompts: Prompts
    row: int
    scale: float
    size: Size

    def crop(self) -> tuple[np.ndarray, tuple[int, int]]:
        """The mask around its bounds, and where the crop's top left pixel is."""
        height, width = self.size
        bounds = np.array(list(self._bounds())).reshape(-1, 4)
        if not len(bounds):
            return np.zeros((0, 0), bool), (0, 0)
        low = np.floor(bounds[:, :2].min(axis=0)).clip(0, (width, height)).astype(int)
        high = np.ceil(bounds[:, 2:].max(axis=0)).clip(low, (width, height)).astype(int)
        x, y = (np.arange(low[axis], high[axis]) + 0.5 for axis in (0, 1))
        return self._inside(x[None, :], y[:, None]), (int(low[0]), int(low[1]))

    def logits(self) -> np.ndarray:
        """The whole image's mask, coarsely: 8 inside, -8 outside."""
        (height, width), (rows, columns) = self.size, LOGITS_SIZE
        x = (np.arange(columns) + 0.5) * width / columns
        y = (np.arange(rows) + 0.5) * height / rows
        return np.where(self._inside(x[None, :], y[:, None]), 8.0, -8.0)

    def _inside(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which of the points (x, y), pixels in a (1, W) and an (H, 1) array, it covers."""
        inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)
        if self.prompts.boxes is not None:
            left, top, right, bottom = self._box()
            across, down = max(right - left, 1e-9) / 2, max(bottom - top, 1e-9) / 2
            inside |= ((x - left) / across - 1) ** 2 + ((y - top) / down - 1) ** 2 <= 1
        if self.prompts.masks is not None:
            (height, width), (rows, columns) = self.size, LOGITS_SIZE
            mask = self.prompts.masks[self.row] > 0
            inside |= mask[(y * rows / height).astype(int), (x * columns / width).astype(int)]
        for px, py in self._points(FOREGROUND):
            inside |= (x - px) ** 2 + (y - py) ** 2 <= self._radius**2
        for px, py in self._points(BACKGROUND):
            inside &= (x - px) ** 2 + (y - py) ** 2 > self._radius**2
        return inside

    def _bounds(self) -> Iterator[tuple[float, float, float, float]]:
        if self.prompts.boxes is not None:
            yield self._box()
        if self.prompts.masks is not None:
            yield 0.0, 0.0, float(self.size[1]), float(self.size[0])
        for x, y in self._points(FOREGROUND):
            yield x - self._radius, y - self._radius, x + self._radius, y + self._radius

    def _box(self) -> tuple[float, float, float, float]:
        assert self.prompts.boxes is not None
        left, top, right, bottom = (float(value) for value in self.prompts.boxes[self.row])
        across, down = (right - left) * (1 - self.scale) / 2, (bottom - top) * (1 - self.scale) / 2
        return left + across, top + down, right - across, bottom - down

    def _points(self, label: int) -> list[tuple[float, float]]:
        if self.prompts.points is None or self.prompts.labels is None:
            return []
        chosen = self.prompts.points[self.row][self.prompts.labels[self.row] == label]
        return [(float(x), float(y)) for x, y in chosen]

    @property
    def _radius(self) -> float:
        return min(self.size) / 10 * self.scale


def _drawn(image: Image, text: str) -> list[tuple[Box, float]]:
    """Draws one to three boxes and their scores from a digest of image and text."""
    digest = hashlib.sha256(f"{image.sha256}:{text}".encode()).digest()
    size = np.array([image.width, image.height])
    hits: list[tuple[Box, float]] = []
    for index in range(1 + digest[0] % 3):
        chance = np.frombuffer(digest, np.uint8, count=5, offset=1 + 5 * index) / 255
        extent = (0.2 + 0.4 * chance[:2]) * size
        corner = chance[2:4] * (size - extent)
        hits.append((np.concatenate([corner, corner + extent]).tolist(), 0.4 + 0.59 * chance[4]))
    return hits
