"""Attributes of objects: what colour a region has, and cut-outs made to have one.

Colours are measured on the finished training picture, so that a label is right whatever was done
to the pixels before. Patterns and sizes are known because they were put there.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

# Basic colour terms (Berlin and Kay 1969) with typical sRGB values, bright and dim.
COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((0, 0, 0), (32, 32, 34), (24, 22, 30)),
    "white": ((255, 255, 255), (228, 228, 228), (240, 238, 228)),
    "grey": ((128, 128, 128), (90, 90, 92), (165, 165, 165)),
    "red": ((225, 25, 30), (165, 20, 30), (120, 14, 20), (235, 60, 55)),
    "orange": ((250, 140, 20), (225, 110, 20), (255, 165, 60)),
    "yellow": ((250, 225, 30), (225, 195, 25), (250, 235, 110)),
    "green": ((30, 160, 50), (20, 95, 30), (110, 190, 80), (70, 110, 40)),
    "blue": ((30, 70, 215), (20, 35, 120), (70, 140, 230), (120, 180, 235), (60, 90, 150)),
    "purple": ((125, 40, 165), (80, 25, 105), (155, 95, 200)),
    "pink": ((250, 130, 180), (250, 180, 200), (225, 80, 145)),
    "brown": ((110, 65, 30), (75, 42, 22), (145, 95, 60)),
}
PATTERNS = ("striped", "spotted", "checked")
SIZES = ("small", "large")
ATTRIBUTES = (*COLOURS, *PATTERNS, *SIZES)
KINDS = tuple(
    i for i, kind in enumerate((COLOURS, PATTERNS, SIZES)) for _ in kind
)  # of each attribute: only attributes of one kind exclude each other
FORMS = {
    **dict.fromkeys(COLOURS, ("{a} {n}", "{a} {n}", "{a} colored {n}", "{n} that is {a}")),
    "striped": ("striped {n}", "{n} with stripes"),
    "spotted": ("spotted {n}", "dotted {n}", "{n} with dots"),
    "checked": ("checked {n}", "checkered {n}"),
    "small": ("small {n}", "little {n}", "tiny {n}"),
    "large": ("large {n}", "big {n}", "huge {n}"),
}


@lru_cache(maxsize=1)
def _colour_table() -> np.ndarray:
    """The index of the nearest colour term, by distance in CIELAB, for 32 x 32 x 32 of RGB."""
    axis = np.arange(32, dtype=np.float32) * 8 + 4
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3) / 255
    values = [v for values in COLOURS.values() for v in values]
    owners = [i for i, values in enumerate(COLOURS.values()) for _ in values]
    known = np.array(values, np.float32)[None] / 255
    grid, known = (cv2.cvtColor(x.astype(np.float32), cv2.COLOR_RGB2LAB)[0] for x in (grid, known))
    weight = np.array([0.6, 1.0, 1.0], np.float32)  # shading changes lightness more than hue
    distance = np.linalg.norm((grid[:, None] - known[None]) * weight, axis=2)
    return np.array(owners, np.uint8)[distance.argmin(1)].reshape(32, 32, 32)


def colour_of(pixels: np.ndarray, mask: np.ndarray, share: float = 0.6) -> str | None:
    """The colour term of most pixels of a region, or None where no colour prevails.

    >>> pixels = np.full((9, 9, 3), (210, 30, 30), np.uint8)
    >>> colour_of(pixels, np.ones((9, 9), bool))
    'red'
    """
    chosen = pixels[mask.astype(bool)] >> 3
    if len(chosen) < 40:
        return None
    counts = np.bincount(_colour_table()[tuple(chosen.T)], minlength=len(COLOURS))
    best = int(counts.argmax())
    return list(COLOURS)[best] if counts[best] >= share * len(chosen) else None


def dye(rgba: np.ndarray, colour: str, random: np.random.Generator) -> np.ndarray:
    """A cut-out in another colour: its own shading over one of the colour's typical values."""
    values = COLOURS[colour]
    target = np.array(values[random.integers(len(values))], np.float32) + random.normal(0, 8, 3)
    grey = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2GRAY)
    inside = grey[rgba[..., 3] > 127].astype(np.float32)
    if not len(inside):
        return rgba
    shade = (grey - inside.mean()) / max(float(inside.std()), 20.0)
    strength = random.uniform(8, 28)
    pixels = target + strength * shade[..., None]
    return np.dstack([pixels.clip(0, 255).astype(np.uint8), rgba[..., 3]])


def draw_pattern(rgba: np.ndarray, pattern: str, random: np.random.Generator) -> np.ndarray:
    """A cut-out with stripes, dots or checks in another brightness or colour over it."""
    height, width = rgba.shape[:2]
    period = max(height, width) / random.uniform(4, 9)
    y, x = np.mgrid[:height, :width].astype(np.float32) / period
    if pattern == "striped":
        angle = random.uniform(0, np.pi)
        drawn = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle))) > 0
    elif pattern == "spotted":
        drawn = ((x % 1 - 0.5) ** 2 + (y % 1 - 0.5) ** 2) < 0.08
    else:
        drawn = (np.floor(2 * x) + np.floor(2 * y)) % 2 > 0
    mean = rgba[rgba[..., 3] > 127][:, :3].mean(0) if (rgba[..., 3] > 127).any() else 128.0
    ink = random.uniform(0, 255, 3)
    if np.abs(ink - mean).max() < 90:
        ink = np.where(np.asarray(mean) > 128, ink * 0.2, 255 - ink * 0.2)
    pixels = np.where(drawn[..., None], ink * 0.85 + 0.15 * rgba[..., :3], rgba[..., :3])
    return np.dstack([pixels.clip(0, 255).astype(np.uint8), rgba[..., 3]])
