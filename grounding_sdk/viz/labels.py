"""Labels on objects: inside the picture and never one over another.

supervision's smart positions push labels apart until they no longer touch; with more than a few
objects they end far from what they name. Here each label has a few places at its own box, the best
objects choose first, and a label that finds no place shrinks to its score, or is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from grounding_sdk.detections import Size
from grounding_sdk.viz.palette import Color, text_color
from grounding_sdk.viz.text import draw_text, line_height, text_width

MAX_OBJECTS = 500  # that are tried; a picture has room for fewer
MAX_COVER = 0.3  # share of the picture that all labels together may hide
MAX_HIDDEN = 1.0  # objects, as the sum of the hidden shares of their boxes, that a label may hide
EARLIER = 0.05  # what being one place earlier in the order is worth, in hidden objects


class Label(NamedTuple):
    """The text of detection number `row` and where it goes: x1, y1, x2, y2 in whole pixels."""

    row: int
    text: str
    box: tuple[int, int, int, int]


def place_labels(
    boxes: np.ndarray, texts: Sequence[Sequence[str]], font_size: int, image_size: Size
) -> list[Label]:
    """Finds a place for the label of each box.

    Args:
        boxes: (N, 4) xyxy in pixels, the most important first.
        texts: For each box the texts that would do, the best first.
        font_size: In pixels.
        image_size: (height, width) in pixels.

    Returns:
        Those labels that have a place, without overlap.
    """
    height, width = image_size
    tall = line_height(font_size) + 2 * (font_size // 8)
    taken = np.empty((0, 4), int)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).clip(1)
    room = MAX_COVER * height * width
    labels: list[Label] = []
    for row, (box, choices) in enumerate(zip(boxes[:MAX_OBJECTS], texts, strict=False)):
        for text in choices:
            wide = text_width(text, font_size) + 2 * padding(font_size)
            if wide > width or tall > height or wide * tall > room:
                continue
            places = _places(box, wide, tall, image_size)
            places = places[~_shared_area(places, taken).any(axis=1)]
            if not len(places):
                continue
            hidden = (_shared_area(places, boxes) / areas).sum(axis=1)  # objects that each hides
            if hidden.min() <= MAX_HIDDEN:
                chosen = places[(hidden + EARLIER * np.arange(len(places))).argmin()]
                x1, y1, x2, y2 = chosen.tolist()
                labels.append(Label(row, text, (x1, y1, x2, y2)))
                taken = np.vstack([taken, chosen])
                room -= wide * tall
                break
    return labels


def draw_labels(
    canvas: np.ndarray, labels: Sequence[Label], colors: Sequence[Color], font_size: int
) -> None:
    """Draws labels into an RGB canvas, each on a ground of its own object's colour."""
    for label in labels:
        x1, y1, x2, y2 = label.box
        color = colors[label.row]
        canvas[y1:y2, x1:x2] = color
        draw_text(
            canvas,
            label.text,
            x1 + padding(font_size),
            y1 + font_size // 8,
            font_size,
            text_color(color),
        )


def padding(font_size: int) -> int:
    """Space in pixels left and right of a label's text."""
    return max(2, font_size // 3)


def _places(box: np.ndarray, wide: int, tall: int, image_size: Size) -> np.ndarray:
    """Places (M, 4) for a label at its box, the best first: by the corners, outside then inside."""
    height, width = image_size
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    left, right = x1, x2 - wide
    corners = [
        (left, y1 - tall),
        (left, y1),
        (right, y1 - tall),
        (right, y1),
        (left, y2),
        (right, y2),
        (left, y2 - tall),
        (right, y2 - tall),
    ]
    tops = [(x, y) for x, y in corners if 0 <= y <= height - tall]
    inside = np.array(tops, int).reshape(-1, 2)
    inside[:, 0] = inside[:, 0].clip(0, width - wide)
    return np.hstack([inside, inside + np.array([wide, tall])])


def _shared_area(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area in pixels that each of (M, 4) boxes shares with each of (K, 4): (M, K)."""
    top_left = np.maximum(ones[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    return (bottom_right - top_left).clip(0).prod(axis=2)
