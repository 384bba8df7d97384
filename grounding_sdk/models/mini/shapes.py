"""A set of generated pictures, to see the recipe at work in seconds and with no data at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from grounding_sdk.models.mini.attributes import COLOURS

SHAPES = ("disc", "square", "triangle")
SIDE = 160


def write_shapes(folder: str | Path, pictures: int = 24, seed: int = 0) -> Path:
    """Write a COCO-format set of coloured shapes on grey: `images/` and `annotations.json`.

    Returns:
        The folder.
    """
    random = np.random.default_rng(seed)
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i in range(pictures):
        pixels = np.full((SIDE, SIDE, 3), random.integers(100, 200), np.uint8)
        for corner in random.permutation(4)[: random.integers(1, 4)]:  # one a quarter
            shape = int(random.integers(len(SHAPES)))
            radius = random.uniform(18, 38)
            centre = SIDE / 4 + SIDE / 2 * np.array([corner % 2, corner // 2])
            outline = _outline(SHAPES[shape], radius) + centre
            colour = COLOURS[str(random.choice(list(COLOURS)))][0]
            cv2.fillPoly(pixels, [outline.round().astype(np.int32)], colour, cv2.LINE_AA)
            low, high = outline.min(0), outline.max(0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i + 1,
                    "category_id": shape + 1,
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "area": float(cv2.contourArea(outline.astype(np.float32))),
                    "segmentation": [outline.ravel().tolist()],
                    "iscrowd": 0,
                }
            )
        file = f"{i + 1}.png"
        cv2.imwrite(str(folder / "images" / file), pixels[..., ::-1])
        images.append({"id": i + 1, "file_name": file, "width": SIDE, "height": SIDE})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(SHAPES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def _outline(shape: str, radius: float) -> np.ndarray:
    """Corners (n, 2) around the origin."""
    corners = {"disc": 40, "square": 4, "triangle": 3}[shape]
    angles = (np.arange(corners) + 0.5) * 2 * np.pi / corners
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])
