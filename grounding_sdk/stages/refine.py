"""Cleans masks up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from grounding_sdk.detections import mask_crop, pack_masks, with_columns
from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding


@dataclass(frozen=True)
class Refine:
    """Fills holes, removes specks, smooths edges and fits boxes to masks; works on crops.

    Attributes:
        holes: Fills holes smaller than this part of the mask's area; 0 leaves them.
        specks: Removes parts smaller than this part of the mask's area; 0 leaves them. The
            largest part always stays.
        smooth: Radius of the smoothing, in parts of the square root of the mask's area; 0 leaves
            the edge as it is.
        fit_boxes: Whether to replace each box by the tight box of its mask.
    """

    holes: float = 0.01
    specks: float = 0.01
    smooth: float = 0.0
    fit_boxes: bool = False

    name: ClassVar[str] = "refine"
    needs: ClassVar[tuple[str, ...]] = ("mask",)
    adds: ClassVar[tuple[str, ...]] = ()
    pure: ClassVar[bool] = True  # a stream may call it in several threads at a time

    def __post_init__(self) -> None:
        for value in (self.holes, self.specks, self.smooth):
            if not 0 <= value <= 1:
                raise ConfigError(f"expected a part between 0 and 1, got {value!r}")

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Returns the items with cleaner masks; empty masks and missing ones stay as they are."""
        return [self._refine(item) for item in items]

    def _refine(self, item: Grounding) -> Grounding:
        found, masks = item.detections, item.detections.mask
        if masks is None or not len(found):
            return item
        boxes = found.xyxy.copy()

        def refined(index: int) -> tuple[np.ndarray, int, int]:
            crop, x, y = mask_crop(masks, index)
            if crop.size:
                crop = refine_mask(crop, self.holes, self.specks, self.smooth)
                if self.fit_boxes:
                    boxes[index] = _tight_box(crop) + np.array([x, y, x, y])
            return crop, x, y

        mask = pack_masks(map(refined, range(len(found))), item.image.size)
        return replace(item, detections=with_columns(found, xyxy=boxes, mask=mask))


def refine_mask(mask: np.ndarray, holes: float, specks: float, smooth: float) -> np.ndarray:
    """Returns a cleaner copy of a mask (h, w) bool; the arguments are those of `Refine`.

    >>> ring = np.ones((9, 9), bool)
    >>> ring[4, 4] = False
    >>> bool(refine_mask(ring, holes=0.05, specks=0, smooth=0).all())
    True
    """
    area = np.count_nonzero(mask)
    if smooth:
        radius = smooth * area**0.5
        padded = np.pad(mask, int(3 * radius) + 1).astype(np.float32)
        blurred = cv2.GaussianBlur(padded, (0, 0), max(radius, 1e-3)) > 0.5
        inner = int(3 * radius) + 1
        smoothed = blurred[inner:-inner, inner:-inner]
        mask = smoothed if smoothed.any() else mask
    if specks:
        parts, areas = _parts(mask, connectivity=8)
        small = areas < specks * area
        small[areas.argmax()] = small[0] = False
        if small.any():
            mask = mask & ~small[parts]
    if holes:
        # Padding joins the background around the crop, so that all other parts are true holes.
        parts, areas = _parts(np.pad(~mask, 1, constant_values=True), connectivity=4)
        small = areas < holes * area
        small[parts[0, 0]] = small[0] = False
        if small.any():
            mask = mask | small[parts][1:-1, 1:-1]
    return mask


def _parts(mask: np.ndarray, connectivity: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels connected parts from 1 (0 is off the mask); the areas' entry 0 is 0."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0
    return parts, areas


def _tight_box(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
