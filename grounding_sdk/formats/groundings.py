"""From results to rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import supervision as sv

from grounding_sdk.detections import mask_crop
from grounding_sdk.formats.annotated import Annotated, Mask, Object
from grounding_sdk.formats.rle import RunsMask, image_runs
from grounding_sdk.grounding import Grounding


def annotated(grounding: Grounding, file_name: str | None = None, split: str = "") -> Annotated:
    """Makes a row of a result.

    Args:
        grounding: The result.
        file_name: The picture's name in the dataset; the last part of its path or URL unless given.
        split: The split that it belongs to.
    """
    image = grounding.image
    name = file_name or source_name(image.source) or "image"
    return Annotated(name, image.size, tuple(objects(grounding)), split, image.source)


def objects(grounding: Grounding, *, masks: bool = True) -> Iterator[Object]:
    """Yields the detections of a result in order; without `masks` none has its mask."""
    found: Any = grounding.detections
    margins = _margins(grounding)
    for index in range(len(found)):
        mask_score = float(found["mask_score"][index])
        x1, y1, x2, y2 = (decimal(value) for value in found.xyxy[index])
        yield Object(
            label=str(found["class_name"][index]),
            box=(x1, y1, x2, y2),
            mask=_mask(found.mask, index) if masks and found.mask is not None else None,
            score=decimal(found.confidence[index]),
            mask_score=None if math.isnan(mask_score) else decimal(mask_score),
            phrase=str(found["phrase"][index]),
            margin=None if math.isnan(margins[index]) else decimal(margins[index]),
        )


def _margins(grounding: Grounding) -> np.ndarray:
    """Score minus the best of another label (N,); NaN where the detector scored no other."""
    found: Any = grounding.detections
    wanted = [index for index, p in enumerate(grounding.query) if p.role == "find"]
    labels = np.array([grounding.query.phrases[index].label for index in wanted], str)
    others = labels[None, :] != np.asarray(found["class_name"])[:, None]
    scores = np.asarray(found["phrase_scores"], np.float32)[:, wanted]
    rivals = np.where(others, scores, 0).max(axis=1, initial=0)
    return np.where(rivals > 0, np.asarray(found.confidence, np.float32) - rivals, np.nan)


def _mask(masks: sv.CompactMask | np.ndarray, index: int) -> Mask:
    _, height, width = masks.shape
    return RunsMask(image_runs(*mask_crop(masks, index), (height, width)), (height, width))


def source_name(source: str | None) -> str:
    """Returns the last part of a path or URL.

    >>> source_name("https://example.org/a/my%20dog.png?size=2"), source_name(None)
    ('my dog.png', '')
    """
    if source and "://" in source:
        source = unquote(urlsplit(source).path)
    return PurePath(source or "").name


def decimal(value: float) -> float:
    """Returns a 32-bit float as the shortest decimal number that stands for it.

    >>> decimal(np.float32(0.9)), float(np.float32(0.9))
    (0.9, 0.8999999761581421)
    """
    return float(str(np.float32(value)))
