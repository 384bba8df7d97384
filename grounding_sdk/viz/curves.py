"""What thresholds give, as a picture: precision, recall and F1, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from grounding_sdk.detections import Size
from grounding_sdk.evaluation.threshold_curve import Curve
from grounding_sdk.viz.palette import FADED, INK, PAPER, Color
from grounding_sdk.viz.text import draw_text, line_height, shortened, text_width

GRID: Color = (228, 230, 235)
SHADE: Color = (240, 242, 246)
LINES: dict[str, Color] = {
    "precision": (31, 120, 200),
    "recall": (214, 106, 10),
    "F1": (14, 140, 84),
}
RIGHT, WRONG = LINES["F1"], (214, 58, 74)
SIZE = (400, 640)  # height and width in pixels
TICK = 9  # height of a detection's tick
_SUB = 4  # bits of a pixel's fraction that OpenCV draws with


def draw_curve(
    curve: Curve,
    title: str,
    *,
    threshold: float | None = None,
    interval: tuple[float, float] | None = None,
    size: Size = SIZE,
    font_size: int = 14,
) -> np.ndarray:
    """Draws precision, recall and F1 against the threshold.

    Below them each detection is a tick at its score, right ones above wrong ones, so that a curve
    that rests on little shows it.

    Args:
        curve: What thresholds give.
        title: The label.
        threshold: The one chosen: a line, with its figures.
        interval: Of the threshold, shaded.
        size: Height and width of the picture in pixels.
        font_size: In pixels.

    Returns:
        RGB uint8 (H, W, 3).
    """
    canvas = np.full((*size, 3), PAPER, np.uint8)
    line = line_height(font_size)
    left, top = 3 * font_size, 2 * line + font_size
    right, bottom = size[1] - font_size, size[0] - 2 * line - 4 * TICK
    place = _Place(left, top, right, bottom)
    if interval is not None:
        (x0, _), (x1, _) = place(interval[0], 0), place(interval[1], 0)
        canvas[top:bottom, round(x0) : max(round(x1), round(x0) + 1)] = SHADE
    _axes(canvas, place, font_size)
    for color, values in zip(
        LINES.values(), (curve.precision, curve.recall, curve.f1), strict=True
    ):
        points = _steps(curve, values)
        if len(points) > 1:
            at = np.array([place(x, y) for x, y in points]) * 2**_SUB
            cv2.polylines(
                canvas, [np.rint(at).astype(np.int32)], False, color, 2, cv2.LINE_AA, _SUB
            )
    _ticks(canvas, curve, place, bottom + TICK + 1)
    if threshold is not None:
        x = round(place(threshold, 0)[0])
        cv2.line(canvas, (x, top), (x, bottom), INK, 1)
    _heading(canvas, curve, title, threshold, font_size)
    return canvas


def curve_sheet(pictures: Sequence[np.ndarray], columns: int = 3) -> np.ndarray:
    """Puts pictures of one size side by side, RGB uint8 (H, W, 3).

    >>> curve_sheet([np.zeros((4, 6, 3), np.uint8)] * 4, columns=3).shape
    (8, 18, 3)
    """
    columns = max(1, min(columns, len(pictures)))
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * height, columns * width, 3), PAPER, np.uint8)
    for index, picture in enumerate(pictures):
        y, x = index // columns * height, index % columns * width
        sheet[y : y + height, x : x + width] = picture
    return sheet


class _Place:
    """From (threshold, share) to pixels."""

    def __init__(self, left: int, top: int, right: int, bottom: int) -> None:
        self.left, self.top, self.right, self.bottom = left, top, right, bottom

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        wide, high = self.right - self.left, self.bottom - self.top
        return self.left + x * wide, self.bottom - y * high


def _steps(curve: Curve, values: np.ndarray) -> list[tuple[float, float]]:
    """The corners of a curve that is level between two scores, from high thresholds to low."""
    known = ~np.isnan(values) & (curve.high > curve.low)
    return [
        corner
        for low, high, value in zip(curve.low[known], curve.high[known], values[known], strict=True)
        for corner in ((float(high), float(value)), (float(low), float(value)))
    ]


def _axes(canvas: np.ndarray, place: _Place, font_size: int) -> None:
    line = line_height(font_size)
    for share in np.linspace(0, 1, 6):
        x, y = (round(value) for value in place(share, share))
        cv2.line(canvas, (place.left, y), (place.right, y), GRID, 1)
        cv2.line(canvas, (x, place.top), (x, place.bottom), GRID, 1)
        text = f"{share:.1f}"
        wide = text_width(text, font_size)
        draw_text(canvas, text, place.left - wide - 6, y - line // 2, font_size, FADED)
        start = min(x - wide // 2, canvas.shape[1] - wide)
        draw_text(canvas, text, start, canvas.shape[0] - 2 * line + 2, font_size, FADED)
    text = "threshold"
    middle = (place.left + place.right - text_width(text, font_size)) // 2
    draw_text(canvas, text, middle, canvas.shape[0] - line, font_size, FADED)


def _ticks(canvas: np.ndarray, curve: Curve, place: _Place, top: int) -> None:
    right = np.diff(curve.hits)
    wrong = np.diff(curve.found) - right
    rows = (("right", right, top, RIGHT), ("wrong", wrong, top + TICK + 2, WRONG))
    for name, counts, y, color in rows:
        draw_text(canvas, name, place.left - text_width(name, TICK) - 6, y - 1, TICK, color)
        for score in curve.high[1:][counts > 0]:
            x = round(place(float(score), 0)[0])
            cv2.line(canvas, (x, y), (x, y + TICK - 1), color, 1)


def _heading(
    canvas: np.ndarray, curve: Curve, title: str, threshold: float | None, font_size: int
) -> None:
    margin, room = font_size, canvas.shape[1] - 2 * font_size
    right, found = round(curve.hits[-1]), round(curve.found[-1])
    note = f"{curve.objects:g} objects, {right} right, {found - right} wrong"
    if threshold is not None:
        note = f"at {threshold:g} \u00b7 {note}"
    room -= text_width(note, font_size) + font_size
    name = shortened(title, font_size, room, bold=True)
    end = draw_text(canvas, name, margin, font_size // 2, font_size, INK, bold=True)
    draw_text(canvas, note, end + font_size, font_size // 2, font_size, INK)
    x, y = margin, font_size // 2 + line_height(font_size)
    row = None if threshold is None else curve.row(threshold)
    for (kind, color), values in zip(
        LINES.items(), (curve.precision, curve.recall, curve.f1), strict=True
    ):
        value = "" if row is None else f" {values[row]:.2f}".replace(" nan", " -")
        x = draw_text(canvas, kind + value, x, y, font_size, color, bold=True) + 2 * font_size
