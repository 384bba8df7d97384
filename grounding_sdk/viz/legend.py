"""The legend: a strip that says what was asked for and how much of it was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from grounding_sdk.grounding import Grounding
from grounding_sdk.viz.palette import FADED, INK, PAPER, Color
from grounding_sdk.viz.text import draw_text, line_height, shortened, text_width

MAX_FOUND = 40  # phrases that are listed
MAX_MISSED = 10
MIN_WIDTH_IN_FONTS = 18  # a narrower picture gets paper at its right


class Entry(NamedTuple):
    """A swatch, a name and what there is to say of it."""

    color: Color
    name: str
    note: str
    found: bool


def add_legend(
    picture: np.ndarray, grounding: Grounding, colors: Sequence[Color], font_size: int
) -> np.ndarray:
    """Returns the RGB picture with the legend below it.

    Args:
        picture: (H, W, 3) uint8.
        grounding: What to tell about.
        colors: One for each of the query's labels.
        font_size: In pixels.
    """
    width = max(picture.shape[1], MIN_WIDTH_IN_FONTS * font_size)
    strip = _strip(entries(grounding, colors), width, font_size)
    return np.vstack([widened(picture, width), strip])


def entries(grounding: Grounding, colors: Sequence[Color]) -> list[Entry]:
    """Returns one entry for each phrase and expression asked for, those found first.

    Long vocabularies are cut: the last entries then say how many are not listed.
    """
    query, data = grounding.query, grounding.detections.data
    scores = np.asarray(grounding.detections.confidence)
    color_of = dict(zip(query.labels, colors, strict=True))
    plain = np.asarray(data.get("target", np.full(len(scores), -1))) < 0
    asked = [
        (phrase.text, phrase.label, plain & (data["phrase_id"] == index))
        for index, phrase in enumerate(query)
        if phrase.role == "find"
    ] + [
        (target.text or str(target), target.label, ~plain & (data.get("target") == index))
        for index, target in enumerate(query.targets)
    ]
    found, missed = [], []
    for text, label, rows in asked:
        name = text if label in (text, "") else f"{text} \u2192 {label}"
        if rows.any():
            note = f"{rows.sum()} \u00b7 best {scores[rows].max():.2f}"
            found.append(Entry(color_of[label], name, note, True))
        else:
            missed.append(Entry(FADED, name, "0", False))
    return _cut(found, MAX_FOUND, "more found") + _cut(missed, MAX_MISSED, "more not found")


def widened(picture: np.ndarray, width: int) -> np.ndarray:
    """Returns the picture with paper at its right, if it is narrower than `width`."""
    missing = max(0, width - picture.shape[1])
    paper = np.full((picture.shape[0], missing, 3), PAPER, np.uint8)
    return np.hstack([picture, paper]) if missing else picture


def _cut(listed: list[Entry], limit: int, what: str) -> list[Entry]:
    if len(listed) <= limit:
        return listed
    rest = Entry(FADED, f"{len(listed) - limit:,} {what}", "", False)
    return [*listed[:limit], rest]


def _strip(listed: Sequence[Entry], width: int, size: int) -> np.ndarray:
    """Sets the entries in lines, left to right."""
    margin, space, row, swatch = size, size // 2, round(1.7 * size), round(0.8 * size)
    x, line = margin, 0
    places = []
    for entry in listed:
        around = swatch + 2 * space + text_width(entry.note, size)  # all but the name
        room = max(width - 2 * margin - around, 2 * size)
        name = shortened(entry.name, size, room, bold=entry.found)
        wide = around + text_width(name, size, bold=entry.found)
        if x > margin and x + wide > width - margin:
            x, line = margin, line + 1
        places.append((x, line, name, entry))
        x += wide + 2 * margin
    strip = np.full((row * (line + 1) + margin, width, 3), PAPER, np.uint8)
    for x, line, name, entry in places:
        middle = margin // 2 + line * row + row // 2
        top = middle - swatch // 2
        strip[top : top + swatch, x : x + swatch] = entry.color
        ink, y = INK if entry.found else FADED, middle - line_height(size) // 2
        end = draw_text(strip, name, x + swatch + space, y, size, ink, bold=entry.found)
        draw_text(strip, entry.note, end + space, y, size, ink)
    return strip
