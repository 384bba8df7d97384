"""Colours: one for each class, always the same, and a text colour that is readable on it."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import TypeAlias

from grounding_sdk.query import Query

Color: TypeAlias = tuple[int, int, int]  # RGB, 0..255

PAPER: Color = (255, 255, 255)
INK: Color = (24, 26, 31)
FADED: Color = (150, 154, 163)

# Vivid and far apart in hue and lightness, neighbours most of all: a query has seldom more.
_COLORS: list[Color] = [
    (255, 75, 92),  # coral
    (31, 156, 240),  # azure
    (255, 194, 26),  # amber
    (46, 204, 113),  # green
    (177, 92, 255),  # violet
    (250, 122, 20),  # orange
    (22, 213, 209),  # turquoise
    (255, 111, 193),  # pink
    (164, 209, 43),  # lime
    (91, 108, 255),  # indigo
    (197, 139, 90),  # tan
    (14, 154, 131),  # teal
]


def class_color(class_id: int) -> Color:
    """Returns the colour of a class, RGB.

    >>> class_color(0)
    (255, 75, 92)
    """
    if class_id < len(_COLORS):
        return _COLORS[class_id]
    # Steps of the golden angle never come back to a hue; lightness varies as hues grow dense.
    lightness = (0.62, 0.42, 0.74)[class_id % 3]
    saturation = (0.85, 0.6)[class_id // 3 % 2]
    red, green, blue = colorsys.hls_to_rgb(class_id * 0.618034 % 1, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def label_colors(query: Query, chosen: Mapping[str, Color] | None = None) -> list[Color]:
    """Returns the colour of each of the query's labels: the chosen one, or that of its class id."""
    chosen = chosen or {}
    return [chosen.get(label, class_color(i)) for i, label in enumerate(query.labels)]


def text_color(background: Color) -> Color:
    """Returns whichever of dark and white reads better, by WCAG 2's contrast ratio.

    >>> text_color((255, 194, 26)), text_color((60, 20, 90))
    ((24, 26, 31), (255, 255, 255))
    """
    return max((INK, PAPER), key=lambda color: contrast(color, background))


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio of two colours as WCAG 2.2 defines it, from 1 to 21.

    >>> contrast((0, 0, 0), (255, 255, 255))
    21.0
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
