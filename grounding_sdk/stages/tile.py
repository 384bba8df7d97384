"""Finds the boxes of large pictures: on overlapping tiles and on the whole, merged at the seams.

`supervision.InferenceSlicer` is not used: its callback is not told where a slice lies, and it
merges by overlap alone, so that it cannot tell a box that a seam has cut from one that is whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, TypeAlias

import cv2
import numpy as np
import supervision as sv

from grounding_sdk.detections import Size, compact_masks, mask_crop
from grounding_sdk.errors import ConfigError
from grounding_sdk.image import Image
from grounding_sdk.models.cache import EmbeddingCache
from grounding_sdk.query import Query
from grounding_sdk.stages.detect import Detect
from grounding_sdk.stages.seams import merge_views

Window: TypeAlias = tuple[int, int, int, int]  # xyxy in pixels

FULL_VIEW_TILES = 2  # longest side of the full view, in tiles: more would cost memory
SEAM = 0.02  # part of a tile; a box this near to an inner border may be cut by it


@dataclass(frozen=True)
class Tile(Detect):
    """Takes the place of `Detect` where things are small in large pictures, with any detector.

    A picture with a side longer than a tile is cut into overlapping tiles, which the detector sees
    at full resolution, and seen as a whole, shrunk. What several views show is kept once; halves
    are put together, masks too. Any other picture is detected as `Detect` does.

    It takes as long as the tiles take: 12 at 3000 x 4000 pixels with the default settings, 169 at
    10,000 x 10,000. The memory does not depend on the size of the picture.

    Attributes:
        detector: As for `Detect`.
        threshold: As for `Detect`.
        tile: Side of a tile in pixels.
        overlap: Of neighboring tiles, at least this part of a tile, above 0 and up to 0.75. What
            is smaller than that is whole in some tile.
        full_view: Whether to look at the whole picture too, for what is larger than a tile.
        batch_size: How many tiles the detector is given at a time; results do not depend on it.
        cache: As for `Detect`. Nothing is kept unless asked for: a large picture has many tiles,
            which would leave no room for other pictures.
    """

    tile: int = 1024
    overlap: float = 0.25
    full_view: bool = True
    batch_size: int = 4
    cache: EmbeddingCache | str | Path | None = field(default=None, kw_only=True)

    name: ClassVar[str] = "tile"

    def __post_init__(self) -> None:
        super().__post_init__()
        for value, lowest, what in ((self.tile, 32, "tile"), (self.batch_size, 1, "batch_size")):
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise ConfigError(f"expected {what} as a whole number from {lowest}, got {value!r}")
        if not 0 < self.overlap <= 0.75:
            raise ConfigError(f"expected an overlap above 0 and up to 0.75, got {self.overlap!r}")

    def _detect(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        small = [i for i, image in enumerate(images) if max(image.size) <= self.tile]
        plain = super()._detect([images[i] for i in small], [queries[i] for i in small])
        found = dict(zip(small, plain, strict=True))
        return [
            found[i] if i in found else self._in_tiles(image, query)
            for i, (image, query) in enumerate(zip(images, queries, strict=True))
        ]

    def _in_tiles(self, image: Image, query: Query) -> sv.Detections:
        views, found = [], []
        for windows in _batches(tile_windows(image.size, self.tile, self.overlap), self.batch_size):
            # Cut here, and gone when the next ones are cut.
            tiles = [Image(image.pixels[y1:y2, x1:x2]) for x1, y1, x2, y2 in windows]
            for window, seen in zip(
                windows, super()._detect(tiles, [query] * len(tiles)), strict=True
            ):
                views.append(window)
                found.append(_moved(seen, window[:2], (1.0, 1.0), image.size))
        if self.full_view:
            view = shrunk(image, FULL_VIEW_TILES * self.tile)
            scale = image.width / view.width, image.height / view.height
            views.append((0, 0, image.width, image.height))
            found.append(_moved(super()._detect([view], [query])[0], (0, 0), scale, image.size))
        return merge_views(found, views, image.size, seam=SEAM * self.tile)


def tile_windows(image_size: Size, tile: int, overlap: float) -> list[Window]:
    """Returns the tiles of a picture, row by row, evenly spread.

    Args:
        image_size: (height, width) in pixels.
        tile: Side of a tile; a shorter side of the picture is not cut.
        overlap: Of neighbors, at least this part of a tile.

    >>> tile_windows((100, 250), 100, 0.25)
    [(0, 0, 100, 100), (75, 0, 175, 100), (150, 0, 250, 100)]
    """
    height, width = image_size
    return [
        (x, y, min(x + tile, width), min(y + tile, height))
        for y in _starts(height, tile, overlap)
        for x in _starts(width, tile, overlap)
    ]


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    if length <= tile:
        return [0]
    steps = math.ceil((length - tile) / max(1, int(tile * (1 - overlap))))
    return [round(step * (length - tile) / steps) for step in range(steps + 1)]


def _batches(windows: list[Window], size: int) -> Iterator[list[Window]]:
    for start in range(0, len(windows), size):
        yield windows[start : start + size]


def shrunk(image: Image, longest: int) -> Image:
    """Returns the picture scaled down until its longer side has `longest` pixels; never up.

    >>> shrunk(Image(np.zeros((10, 400, 3), np.uint8)), 100).size
    (2, 100)
    """
    ratio = longest / max(image.size)
    if ratio >= 1:
        return image
    height, width = (max(1, round(side * ratio)) for side in image.size)
    pixels = cv2.resize(image.pixels, (width, height), interpolation=cv2.INTER_AREA)
    return Image(np.asarray(pixels, np.uint8))


def _moved(
    found: sv.Detections, corner: tuple[int, int], scale: tuple[float, float], image_size: Size
) -> sv.Detections:
    """Puts what was found in a view in its place in the picture: scaled by (x, y), then moved."""
    place = np.array([*corner, *corner], np.float32)
    boxes = np.asarray(found.xyxy, np.float32) * np.array([*scale, *scale], np.float32) + place
    masks = None
    if found.mask is not None:
        crops, offsets = [], []
        for index in range(len(found)):
            crop, x, y = mask_crop(found.mask, index)
            crop, x, y = _scaled_crop(crop, x, y, scale)
            crops.append(crop)
            offsets.append((x + corner[0], y + corner[1]))
        masks = compact_masks(crops, offsets, image_size)
    return replace(found, xyxy=boxes, mask=masks)


def _scaled_crop(
    crop: np.ndarray, x: int, y: int, scale: tuple[float, float]
) -> tuple[np.ndarray, int, int]:
    """Scales a mask's crop at (x, y): every pixel is what the nearest one was."""
    if scale == (1.0, 1.0) or not crop.size:
        return crop, x, y
    columns, left = _nearest(x, crop.shape[1], scale[0])
    rows, top = _nearest(y, crop.shape[0], scale[1])
    return crop[rows[:, None], columns], left, top


def _nearest(start: int, length: int, scale: float) -> tuple[np.ndarray, int]:
    """For the pixels that `length` ones from `start` are scaled to: which of these, and the first.

    >>> _nearest(1, 2, 2.5)
    (array([0, 0, 0, 1, 1]), 2)
    """
    # A pixel belongs to where its center is.
    first, end = math.ceil(start * scale - 0.5), math.ceil((start + length) * scale - 0.5)
    centers = np.arange(first, end) + 0.5
    return (centers / scale - start).astype(int).clip(0, length - 1), first
