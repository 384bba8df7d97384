"""A pool of encoded training pictures that one process fills and others draw from.

The image encoder is frozen, so its features are computed once and used several times: a filler
keeps replacing the oldest picture, trainers draw at random. Everything lies in memory-mapped
arrays of fixed shapes, so that processes share it and the disk may back it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from grounding_sdk.errors import ConfigError
from grounding_sdk.models.mini.attributes import ATTRIBUTES
from grounding_sdk.models.mini.config import TrainConfig
from grounding_sdk.models.mini.network import MAPS
from grounding_sdk.models.mini.pictures import Picture

OBJECTS = 64  # kept of a picture
MASKS = 8
MASK_SIDE = 80
MEANING = "meaning.json"
MASK_MARGIN = 0.4  # the stored window around a masked object, in parts of its box


class FeaturePool:
    """Encoded pictures in `directory`; `slots` of them, side `size` pixels."""

    def __init__(self, directory: str | Path, slots: int, size: int) -> None:
        self.directory, self.slots, self.size = Path(directory), slots, size
        self.directory.mkdir(parents=True, exist_ok=True)
        self.maps = [
            self._array(f"map{i}", (size // s, size // s, c), np.float16)
            for i, (c, s) in enumerate(MAPS)
        ]
        self.boxes = self._array("boxes", (OBJECTS, 4), np.float32)
        self.names = self._array("names", (OBJECTS,), np.int32)  # plus one; 0 is "no object"
        self.weak = self._array("weak", (OBJECTS,), np.uint8)
        self.attributes = self._array("attributes", (OBJECTS,), np.int16)  # plus one; 0 is "none"
        self.masks = self._array("masks", (MASKS, MASK_SIDE, MASK_SIDE), np.uint8)
        self.mask_boxes = self._array("mask_boxes", (MASKS, 4), np.float32)
        self.info = self._array("info", (3,), np.int32)  # ready, source, number of masks

    def claim(self, names: list[list[str]]) -> None:
        """Keep what the pool's numbers mean, the names of each source, or compare it.

        Raises:
            ConfigError: If the pool was filled for other names, sources or sizes.
        """
        path, mine = self.directory / MEANING, {"size": self.size, "names": names}
        if not path.exists():
            path.write_text(json.dumps(mine))
        elif json.loads(path.read_text()) != mine:
            raise ConfigError(
                f"the pool in {self.directory} was filled for other sources, names or another "
                f"size: delete it, or name another `pool`"
            )

    def _array(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.memmap:
        path = self.directory / f"{name}.bin"
        full = (self.slots, *shape)
        return np.memmap(path, dtype, "r+" if path.exists() else "w+", shape=full)

    def write(
        self,
        slot: int,
        picture: Picture,
        features: list[Tensor],
        name_ids: dict[str, int],
        random: np.random.Generator,
    ) -> None:
        """Put an encoded picture in a slot."""
        self.info[slot, 0] = 0
        for array, x in zip(self.maps, features, strict=True):
            array[slot] = x[0].permute(1, 2, 0).half().cpu().numpy()
        named = [i for i, name in enumerate(picture.names) if name][:OBJECTS]
        self.names[slot] = 0
        for row, i in enumerate(named):
            self.boxes[slot, row] = picture.boxes[i]
            self.names[slot, row] = name_ids[picture.names[i]] + 1
            self.weak[slot, row] = picture.weak[i]
            attribute = picture.attributes[i]
            self.attributes[slot, row] = ATTRIBUTES.index(attribute) + 1 if attribute else 0
        masked = [i for i, m in enumerate(picture.masks) if m is not None and m.sum() > 64]
        masked = random.permutation(masked)[:MASKS].astype(int).tolist()
        for row, i in enumerate(masked):
            box = picture.boxes[i]
            self.mask_boxes[slot, row] = box
            self.masks[slot, row] = cut_window(picture.masks[i], grow(box, MASK_MARGIN), MASK_SIDE)
        self.info[slot] = (1, picture.source, len(masked))

    def ready(self) -> np.ndarray:
        """Slots that hold a picture."""
        return np.flatnonzero(self.info[:, 0] == 1)

    def load(self, slots: np.ndarray, maps: int | None = None) -> list[Tensor]:
        """The maps (B, C, h, w) of some slots, all or the first few, channels last in memory."""
        return [torch.from_numpy(a[slots]).float().permute(0, 3, 1, 2) for a in self.maps[:maps]]


def draw_slots(
    pool: FeaturePool, slots: np.ndarray, config: TrainConfig, random: np.random.Generator
) -> np.ndarray:
    """A batch of slots, each source in its share, however the pool was filled."""
    sources = pool.info[slots, 1]
    there = np.bincount(sources, minlength=len(config.sources))
    share = np.array([s.weight for s in config.sources]) / np.maximum(there, 1)
    chance = share[sources] / share[sources].sum()
    return random.choice(slots, config.batch, replace=len(slots) < config.batch, p=chance)


def grow(box: np.ndarray, margin: float) -> np.ndarray:
    """Widen an xyxy box (or boxes) by parts of its size on each side.

    >>> grow(np.array([0.0, 0.0, 10.0, 20.0]), 0.1).tolist()
    [-1.0, -2.0, 11.0, 22.0]
    """
    sides = box[..., 2:] - box[..., :2]
    return np.concatenate([box[..., :2] - margin * sides, box[..., 2:] + margin * sides], -1)


def cut_window(mask: np.ndarray, window: np.ndarray, cells: int) -> np.ndarray:
    """Resample a 0/1 mask in a window (xyxy, may reach outside) to cells x cells in 0..255."""
    steps = (np.arange(cells) + 0.5) / cells
    x = (window[0] + (window[2] - window[0]) * steps - 0.5).astype(np.float32)
    y = (window[1] + (window[3] - window[1]) * steps - 0.5).astype(np.float32)
    return cv2.remap(
        mask * np.uint8(255),
        np.tile(x, (cells, 1)),
        np.tile(y[:, None], (1, cells)),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
