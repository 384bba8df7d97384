"""What every format writes of an object, as plain Python values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from grounding_sdk.formats.rle import Rle, mask_rle
from grounding_sdk.grounding import Grounding


class Object(NamedTuple):
    """One detection.

    Attributes:
        label: The class that it counts as.
        phrase: The phrase that was found.
        score: The detector's score.
        mask_score: The segmenter's score, if there is one.
        box: x1, y1, x2, y2 in pixels.
        rle: The mask, if there is one.
    """

    label: str
    phrase: str
    score: float
    mask_score: float | None
    box: tuple[float, float, float, float]
    rle: Rle | None


def objects(grounding: Grounding, *, masks: bool = True) -> Iterator[Object]:
    """Yields the detections in order; without `masks` none has its mask."""
    found: Any = grounding.detections
    for index in range(len(found)):
        mask_score = float(found["mask_score"][index])
        yield Object(
            label=str(found["class_name"][index]),
            phrase=str(found["phrase"][index]),
            score=round(float(found.confidence[index]), 6),
            mask_score=None if math.isnan(mask_score) else round(mask_score, 6),
            box=tuple(found.xyxy[index].tolist()),
            rle=mask_rle(found.mask, index) if masks and found.mask is not None else None,
        )
