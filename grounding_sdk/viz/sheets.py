"""Several results in one picture. A label has the same colour in all of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

import numpy as np

from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding
from grounding_sdk.viz.annotate import annotate, fitting_font
from grounding_sdk.viz.legend import widened
from grounding_sdk.viz.palette import FADED, INK, PAPER, Color, class_color
from grounding_sdk.viz.scaling import fitted, resized
from grounding_sdk.viz.text import draw_text, line_height, shortened


def compare(
    a: Grounding, b: Grounding, *, titles: tuple[str, str] = ("A", "B"), legend: bool = True
) -> np.ndarray:
    """Sets two results side by side, the lower picture enlarged to the height of the other.

    Args:
        a: The left one.
        b: The right one; of the same picture or another.
        titles: What to write above each.
        legend: Whether to add each one's legend below.

    Returns:
        RGB uint8 (H, W, 3).
    """
    height = max(a.image.height, b.image.height)
    shown = [_of_height(a, height), _of_height(b, height)]
    size = min(fitting_font(grounding) for grounding in shown)
    labels = dict.fromkeys([*a.query.labels, *b.query.labels])
    colors = {label: class_color(index) for index, label in enumerate(labels)}
    panels = []
    for grounding, title in zip(shown, titles, strict=True):
        picture = annotate(grounding, legend=legend, font_size=size, colors=colors)
        note = f"{len(grounding)} object{'' if len(grounding) == 1 else 's'}"
        header = _caption(title, note, picture.shape[1], round(1.25 * size))
        panels.append(np.vstack([header, picture]))
    return _row(panels, gap=size)


def contact_sheet(
    groundings: Iterable[Grounding], *, columns: int | None = None, thumb: int = 320
) -> np.ndarray:
    """Sets many results in a grid, each with its file name and what was found.

    Args:
        groundings: At least one; each is shrunk as it comes, so a lazy stream stays lean.
        columns: How many side by side; None makes the sheet about square, at most 6 wide.
        thumb: Width and largest height of each picture in pixels.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        ConfigError: If there is no result, or a number is not positive.
    """
    if thumb < 1 or (columns is not None and columns < 1):
        raise ConfigError(f"expected positive numbers, got columns={columns}, thumb={thumb}")
    size = max(10, round(thumb / 26))
    colors: dict[str, Color] = {}
    cells = []
    for grounding in groundings:
        for label in grounding.query.labels:
            colors.setdefault(label, class_color(len(colors)))
        small = resized(grounding, fitted(grounding.image.size, thumb))
        picture = widened(annotate(small, colors=colors), thumb)
        caption = _caption(_name(grounding), _summary(grounding), thumb, size)
        cells.append(np.vstack([picture, caption]))
    if not cells:
        raise ConfigError("expected at least one result to show, got none")
    columns = columns or min(6, int(np.ceil(np.sqrt(len(cells)))))
    rows = [_row(cells[i : i + columns], size) for i in range(0, len(cells), columns)]
    width = max(row.shape[1] for row in rows)
    return np.vstack([widened(row, width) for row in rows])


def _of_height(grounding: Grounding, height: int) -> Grounding:
    image = grounding.image
    factor = min(height / image.height, 4 * height / image.width)  # no endless panoramas
    return resized(grounding, (max(1, round(image.height * factor)), round(image.width * factor)))


def _caption(title: str, note: str, width: int, size: int) -> np.ndarray:
    """Returns two lines on paper: what it is, in bold, and what to know of it."""
    row, gap = line_height(size), size // 3
    band = np.full((2 * row + 2 * gap, width, 3), PAPER, np.uint8)
    draw_text(band, shortened(title, size, width, bold=True), 0, gap, size, INK, bold=True)
    draw_text(band, shortened(note, size, width), 0, gap + row, size, FADED)
    return band


def _row(panels: list[np.ndarray], gap: int) -> np.ndarray:
    """Sets panels side by side on paper, with a margin around each."""
    height = max(panel.shape[0] for panel in panels) + gap
    width = sum(panel.shape[1] + gap for panel in panels) + gap
    row = np.full((height + gap, width, 3), PAPER, np.uint8)
    x = gap
    for panel in panels:
        row[gap : gap + panel.shape[0], x : x + panel.shape[1]] = panel
        x += panel.shape[1] + gap
    return row


def _name(grounding: Grounding) -> str:
    return PurePath(grounding.image.source or "").name or "picture"


def _summary(grounding: Grounding) -> str:
    counts = [f"{count} {label}" for label, count in grounding.counts.items() if count]
    return ", ".join(counts) or "nothing found"
