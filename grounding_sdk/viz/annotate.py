"""Drawing a result on its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import supervision as sv

from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding
from grounding_sdk.viz.labels import draw_labels, place_labels
from grounding_sdk.viz.legend import add_legend
from grounding_sdk.viz.palette import Color, label_colors
from grounding_sdk.viz.scaling import compact, resized
from grounding_sdk.viz.text import shortened
from grounding_sdk.viz.tint import tint

MASK_OPACITY = 0.4
CROWD = 20  # objects; with more of them lines and letters get finer


def annotate(
    grounding: Grounding,
    *,
    boxes: bool = True,
    masks: bool = True,
    labels: bool = True,
    scores: bool = True,
    legend: bool | Literal["auto"] = False,
    min_side: int = 0,
    font_size: int | None = None,
    colors: Mapping[str, Color] | None = None,
) -> np.ndarray:
    """Draws what was found on the picture.

    Colours stand for labels. Lines and letters grow with the picture and get finer with many
    objects; labels never overlap, so in a crowd some are left out, which a legend makes up for.

    Args:
        grounding: The result.
        boxes: Whether to draw boxes.
        masks: Whether to tint and outline masks, where there are any.
        labels: Whether to write each object's label.
        scores: Whether to write its score.
        legend: Whether to add a strip below with each phrase, how many were found and the best
            score. "auto" adds it where the picture alone does not tell: something was not found,
            or a label is cut or left out.
        min_side: A picture whose shorter side has fewer pixels is enlarged to this, so that
            there is room to write on it. 0 keeps every picture's size.
        font_size: Height of letters in pixels, lines being in proportion; None lets it follow from
            the picture and the number of objects.
        colors: RGB for some labels, in place of the palette's.

    Returns:
        RGB uint8 (H, W, 3), of the picture's own size without `legend` and `min_side`.

    Raises:
        ConfigError: If an option has no such value.
    """
    if legend not in (True, False, "auto"):
        raise ConfigError(f"expected legend to be True, False or 'auto', got {legend!r}")
    grounding = _enlarged(grounding, min_side)
    found, size = grounding.detections, grounding.image.size
    font_size = fitting_font(grounding) if font_size is None else font_size
    if font_size < 1:
        raise ConfigError(f"expected font_size to be at least 1 pixel, got {font_size}")
    palette = label_colors(grounding.query, colors)

    line = max(1, (font_size - 1) // 5)
    canvas = _draw_shapes(grounding, palette, line, boxes=boxes, masks=masks)
    texts = _texts(grounding, font_size, labels=labels, scores=scores)
    placed = place_labels(found.xyxy, texts, font_size, size)
    object_colors = [palette[class_id] for class_id in np.asarray(found.class_id)]
    draw_labels(canvas, placed, object_colors, font_size)

    names = found.data["class_name"]
    told = [label.text.startswith(names[label.row]) for label in placed]
    untold = sum(told) < len(found) or not all(grounding.counts.values())
    if legend is True or (legend == "auto" and untold):
        canvas = add_legend(canvas, grounding, palette, font_size)
    return canvas


def fitting_font(grounding: Grounding) -> int:
    """Returns a font size in pixels for the picture and its number of objects.

    It grows a little slower than the picture: a large one is looked at in parts, too.
    """
    height, width = grounding.image.size
    size = 12 * ((height * width) / (640 * 480)) ** 0.45
    return max(10, round(size * max(0.6, min(1.0, (CROWD / max(1, len(grounding))) ** 0.25))))


def _draw_shapes(
    grounding: Grounding, palette: list[Color], line: int, *, boxes: bool, masks: bool
) -> np.ndarray:
    packed = compact(grounding.detections.mask)
    found = replace(grounding.detections, mask=packed)
    canvas = grounding.image.pixels.copy()
    # OpenCV draws on RGB as well as on BGR; supervision turns its colors around for BGR.
    color = sv.ColorPalette([sv.Color(*rgb[::-1]) for rgb in palette])
    if masks and packed is not None:
        colors = [palette[class_id] for class_id in np.asarray(found.class_id)]
        tint(canvas, packed, colors, MASK_OPACITY)
        canvas = sv.PolygonAnnotator(color, thickness=max(1, line // 2)).annotate(canvas, found)
    if boxes:
        # Lines of a box at the picture's edge would fall outside it.
        height, width = grounding.image.size
        found.xyxy = found.xyxy.clip(0, np.array([width - 1, height - 1] * 2, np.float32))
        canvas = sv.BoxAnnotator(color, thickness=line).annotate(canvas, found)
    return canvas


def _texts(grounding: Grounding, font_size: int, *, labels: bool, scores: bool) -> list[list[str]]:
    """Returns what could be written at each object, the fullest first.

    Long names are cut to their object's width or what any small object may have.
    """
    found = grounding.detections
    rows = zip(found.data["class_name"], np.asarray(found.confidence), found.xyxy, strict=True)
    texts = []
    for label, score, box in rows:
        name = shortened(label, font_size, max(int(box[2] - box[0]), 12 * font_size))
        choices = [f"{name} {score:.2f}", f"{score:.2f}"] if scores else [name]
        texts.append(choices if labels else choices[1:])
    return texts


def _enlarged(grounding: Grounding, min_side: int) -> Grounding:
    if isinstance(min_side, bool) or not isinstance(min_side, int) or min_side < 0:
        raise ConfigError(f"expected min_side as a number of pixels, got {min_side!r}")
    height, width = grounding.image.size
    # A sliver is not blown up without bound.
    factor = max(1.0, min(min_side / min(height, width), 4 * min_side / max(height, width)))
    return resized(grounding, (round(height * factor), round(width * factor)))
