"""Text in pictures, in any script that the installed fonts know.

OpenCV's and Pillow's own fonts draw '?' or a box for most of the world's letters. DejaVu Sans,
which comes with matplotlib (a dependency of supervision), has Latin, Greek, Cyrillic, Arabic,
Hebrew and signs; OpenCV 5 brings a font with the Chinese, Japanese and Korean characters.
"""

from __future__ import annotations

import itertools
import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from grounding_sdk.viz.palette import Color

Font = PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont

ELLIPSIS = "\u2026"


def line_height(size: int) -> int:
    """Height in pixels of a line of text, the same for every text of this size."""
    return _ascent(size) + round(0.25 * size)


def text_width(text: str, size: int, bold: bool = False) -> int:
    """Width of a text in pixels."""
    return text_alpha(text, size, bold).shape[1]


@lru_cache(maxsize=256)
def text_alpha(text: str, size: int, bold: bool = False) -> np.ndarray:
    """Renders one line of text.

    Args:
        text: Emoji are left out; letters that no font has come out as boxes.
        size: Font size in pixels.
        bold: Whether to use the bold face.

    Returns:
        Coverage (line_height, width) uint8, not to be changed.
    """
    text = " ".join("".join(filter(_drawable, text)).split())
    runs = [
        _wide_alpha("".join(chars), size) if wide else _alpha("".join(chars), size, bold)
        for wide, chars in itertools.groupby(text, key=_is_wide)
    ]
    alpha = np.hstack(runs) if runs else np.zeros((line_height(size), 0), np.uint8)
    alpha.flags.writeable = False
    return alpha


def shortened(text: str, size: int, max_width: int, bold: bool = False) -> str:
    """Returns the text, or as much of its start as fits `max_width` pixels and an ellipsis."""
    if text_width(text, size, bold) <= max_width:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        start = text[:middle].rstrip() + ELLIPSIS
        fits, too_long = (
            (middle, too_long) if text_width(start, size, bold) <= max_width else (fits, middle)
        )
    return text[:fits].rstrip() + ELLIPSIS if fits else ""


def draw_text(
    canvas: np.ndarray, text: str, x: int, y: int, size: int, color: Color, bold: bool = False
) -> int:
    """Draws a line of text, its top left at (x, y), into an RGB canvas; what is outside is cut.

    Returns:
        The column where the text ends.
    """
    alpha = text_alpha(text, size, bold)
    end = x + alpha.shape[1]
    height, width = canvas.shape[:2]
    alpha = alpha[max(0, -y) : max(0, height - y), max(0, -x) : max(0, width - x)]
    x, y = max(0, x), max(0, y)
    region = canvas[y : y + alpha.shape[0], x : x + alpha.shape[1]]
    weight = alpha[:, :, None] / np.float32(255)
    region[:] = np.rint(region + (np.array(color, np.float32) - region) * weight)
    return end


def _drawable(char: str) -> bool:
    # Emoji are pictures in colour that no font here has; joiners and variants go with them.
    return not (ord(char) >= 0x1F000 and unicodedata.category(char) in ("So", "Sk", "Cn")) and (
        char not in "\u200d\ufe0e\ufe0f"
    )


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def _alpha(text: str, size: int, bold: bool) -> np.ndarray:
    font = _font(size, bold)
    left, _, right, _ = font.getbbox(text)
    width = max(int(np.ceil(font.getlength(text))), int(right)) - min(0, int(left))
    picture = PIL.Image.new("L", (width, line_height(size)))
    PIL.ImageDraw.Draw(picture).text(
        (-min(0, int(left)), _ascent(size)), text, fill=255, font=font, anchor="ls"
    )
    return np.asarray(picture)


def _wide_alpha(text: str, size: int) -> np.ndarray:
    if not hasattr(cv2, "FontFace"):  # OpenCV 4
        return _alpha(text, size, False)
    font = cv2.FontFace("uni")
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, size)
    alpha = np.zeros((line_height(size), width + 2), np.uint8)
    cv2.putText(alpha, text, (1, _ascent(size)), (255,), font, size)
    return alpha


def _ascent(size: int) -> int:
    return round(0.95 * size)


@lru_cache(maxsize=32)
def _font(size: int, bold: bool) -> Font:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    matplotlib = find_spec("matplotlib")  # found, not imported: that takes a second
    folders = (matplotlib and matplotlib.submodule_search_locations) or []
    for path in [*(Path(folder, "mpl-data/fonts/ttf", name) for folder in folders), name]:
        try:
            return PIL.ImageFont.truetype(str(path), size)
        except OSError:
            continue
    return PIL.ImageFont.load_default(size)
