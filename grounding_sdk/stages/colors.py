"""How much of an object has a named color, judged from its pixels."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

# sRGB of typical objects of each color, dull and bright, in sun and shade; a pixel has the color of
# the nearest one in CIELAB. Chosen by eye, as the eleven basic color terms (Berlin and Kay, 1969)
# are used of things in photos, and turquoise and beige.
SAMPLES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((10, 10, 10), (38, 38, 40)),
    "white": ((250, 250, 250), (218, 218, 216)),
    "gray": ((90, 90, 92), (130, 130, 130), (170, 170, 172)),
    "red": ((200, 20, 30), (130, 20, 25), (225, 60, 60)),
    "orange": ((240, 130, 20), (205, 100, 30), (255, 160, 70)),
    "yellow": ((245, 220, 30), (210, 180, 40), (250, 235, 120)),
    "green": ((30, 150, 50), (40, 80, 40), (120, 180, 70), (90, 110, 50)),
    "blue": ((30, 70, 190), (25, 35, 85), (90, 150, 220), (60, 90, 130)),
    "purple": ((120, 50, 150), (75, 40, 95), (160, 110, 190)),
    "pink": ((240, 130, 180), (230, 80, 140), (245, 190, 205)),
    "brown": ((110, 65, 35), (70, 45, 30), (150, 100, 65)),
    "beige": ((225, 205, 170), (195, 170, 135)),
    "turquoise": ((40, 180, 180), (20, 120, 125), (120, 210, 205)),
}
# What other words for colors count as.
SAME_AS: dict[str, tuple[str, ...]] = {
    "grey": ("gray",), "silver": ("gray", "white"), "charcoal": ("gray", "black"),
    "gold": ("yellow", "brown"), "golden": ("yellow", "brown"), "blond": ("yellow", "beige"),
    "blonde": ("yellow", "beige"), "ginger": ("orange",), "tan": ("beige", "brown"),
    "cream": ("beige", "white"), "ivory": ("white", "beige"), "khaki": ("beige", "brown"),
    "navy": ("blue", "black"), "teal": ("turquoise",), "cyan": ("turquoise",),
    "aqua": ("turquoise",), "violet": ("purple",), "lavender": ("purple",), "maroon": ("red",),
    "burgundy": ("red",), "crimson": ("red",), "scarlet": ("red",), "magenta": ("pink", "purple"),
    "fuchsia": ("pink",), "salmon": ("pink", "orange"), "peach": ("orange", "beige"),
    "coral": ("orange", "pink"), "olive": ("green",), "lime": ("green", "yellow"),
    "mint": ("green", "turquoise"), "rust": ("orange", "brown"), "bronze": ("brown",),
    "copper": ("orange", "brown"), "amber": ("orange", "yellow"), "indigo": ("blue", "purple"),
    "orange": ("orange",), "dark": ("black", "brown"), "colorful": (),
}  # fmt: skip
ENOUGH = 0.35  # the share of an object that makes it "red" beyond doubt
_SIDE = 48  # pixels: crops are looked at in small
_NAMES = [name for name, samples in SAMPLES.items() for _ in samples]


def basic_colors(word: str) -> tuple[str, ...]:
    """The colors in `SAMPLES` that a word stands for; none if it is not known.

    >>> basic_colors("navy"), basic_colors("red"), basic_colors("striped")
    (('blue', 'black'), ('red',), ())
    """
    word = word.lower()
    return (word,) if word in SAMPLES else SAME_AS.get(word, ())


def color_scores(word: str, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray | None:
    """How far each box's middle has a color.

    Args:
        word: The color.
        pixels: (H, W, 3) uint8 RGB.
        boxes: (N, 4) xyxy.

    Returns:
        (N,) in [0, 1]: the share of the color, 1 from `ENOUGH` on; None if the word is not known.
    """
    wanted = basic_colors(word)
    if not wanted:
        return None
    shares = [_shares(pixels, box) for box in boxes]
    share = [sum(each.get(name, 0.0) for name in wanted) for each in shares]
    return np.minimum(np.array(share, float) / ENOUGH, 1)


def _shares(pixels: np.ndarray, box: np.ndarray) -> dict[str, float]:
    """The share of each color in the middle of a box, where the object rather is."""
    height, width = pixels.shape[:2]
    margin = 0.12 * (box[2:] - box[:2])
    left, top = np.floor(np.clip(box[:2] + margin, 0, [width - 1, height - 1])).astype(int)
    right, bottom = np.ceil(np.clip(box[2:] - margin, 1, [width, height])).astype(int)
    crop = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    small = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    nearest = ((_lab(small).reshape(-1, 1, 3) - _sample_lab()) ** 2).sum(-1).argmin(1)
    counts = np.bincount(nearest, minlength=len(_NAMES)) / len(nearest)
    shares: dict[str, float] = {}
    for name, count in zip(_NAMES, counts, strict=True):
        shares[name] = shares.get(name, 0.0) + float(count)
    return shares


def _lab(pixels: np.ndarray) -> np.ndarray:
    """CIELAB, with lightness counting less than hue: shade does not change a color's name."""
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(lab * np.array([0.6, 1.0, 1.0], np.float32))


@cache
def _sample_lab() -> np.ndarray:
    samples = [sample for each in SAMPLES.values() for sample in each]
    return _lab(np.array([samples], np.uint8))[0]
