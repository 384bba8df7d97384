"""Training curves as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT, MARGIN = 420, 240, 36


def draw_curves(history: list[dict[str, float]], path: str | Path) -> None:
    """Draw one panel for each figure of `history` over its rounds, and write a PNG.

    A history of fewer than two entries gives no picture.
    """
    if len(history) < 2:
        return
    names = [k for k in history[-1] if k not in ("round", "seconds")]
    columns = 2
    rows = -(-len(names) // columns)
    sheet = Image.new("RGB", (columns * WIDTH, rows * HEIGHT), "white")
    for i, name in enumerate(names):
        points = [(h["round"], h[name]) for h in history if name in h]
        panel = _panel(name, np.array(points))
        sheet.paste(panel, (i % columns * WIDTH, i // columns * HEIGHT))
    sheet.save(path)


def _panel(name: str, points: np.ndarray) -> Image.Image:
    panel = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(panel)
    low, high = points.min(0), points.max(0)
    span = np.maximum(high - low, 1e-9)
    size = np.array([WIDTH - 1.5 * MARGIN, HEIGHT - 2 * MARGIN])
    unit = (points - low) / span
    places = np.array([MARGIN, MARGIN]) + np.column_stack([unit[:, 0], 1 - unit[:, 1]]) * size
    draw.rectangle((MARGIN, MARGIN, MARGIN + size[0], MARGIN + size[1]), outline="lightgrey")
    draw.line([tuple(p) for p in places.tolist()], fill=(31, 119, 180), width=2)
    draw.text((MARGIN, 8), name, fill="black")
    draw.text((MARGIN + 3, MARGIN + 2), f"{high[1]:.3g}", fill="grey")
    draw.text((MARGIN + 3, MARGIN + size[1] - 14), f"{low[1]:.3g}", fill="grey")
    draw.text((MARGIN, HEIGHT - 28), f"round {low[0]:.0f} to {high[0]:.0f}", fill="grey")
    return panel
