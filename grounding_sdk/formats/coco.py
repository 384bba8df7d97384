"""COCO: one dictionary for many pictures, as `pycocotools` and annotation tools read it.

Ids count from 1. Categories are the queries' labels, in order of first appearance. Scores come
with the annotations, so the list `annotations` also serves as COCO's results format.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote, urlsplit

from pycocotools import mask as coco_mask

from grounding_sdk.formats.objects import Object, objects
from grounding_sdk.grounding import Grounding


def coco_dict(
    groundings: Iterable[Grounding], *, file_names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Turns results into one COCO dictionary of plain JSON types.

    Args:
        groundings: The results, consumed one by one.
        file_names: `file_name` of each picture; the last part of its path or URL unless given.

    Raises:
        ValueError: If there are fewer or more names than results.
    """
    writer = CocoWriter()
    if file_names is None:
        for grounding in groundings:
            writer.add(grounding)
    else:
        for grounding, name in zip(groundings, file_names, strict=True):
            writer.add(grounding, name)
    return writer.to_dict()


class CocoWriter:
    """Collects results picture by picture; keeps annotations only, neither pixels nor dense masks.

    `annotations` have `bbox` [x, y, width, height], `area` (pixels of the mask, or of the box where
    there is no mask), `segmentation` (compressed RLE, where there is a mask), `iscrowd` 0, the
    detector's `score`, `phrase`, and `mask_score` where the segmenter gave one.
    """

    def __init__(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._category_ids: dict[str, int] = {}

    def add(self, grounding: Grounding, file_name: str | None = None) -> int:
        """Adds a picture, its query's labels and its objects.

        Returns:
            The picture's `image_id`.
        """
        image_id = len(self._images) + 1
        self._images.append(
            {
                "id": image_id,
                "file_name": file_name or _file_name(grounding.image.source, image_id),
                "width": grounding.image.width,
                "height": grounding.image.height,
            }
        )
        for label in grounding.query.labels:
            self._category_ids.setdefault(label, len(self._category_ids) + 1)
        for found in objects(grounding):
            ids = {
                "id": len(self._annotations) + 1,
                "image_id": image_id,
                "category_id": self._category_ids[found.label],
            }
            self._annotations.append(ids | _annotation(found))
        return image_id

    def to_dict(self) -> dict[str, Any]:
        """Returns the COCO dictionary of all that was added so far."""
        return {
            "info": {"description": "Made by grounding_sdk"},
            "licenses": [],
            "images": list(self._images),
            "annotations": list(self._annotations),
            "categories": [{"id": i, "name": label} for label, i in self._category_ids.items()],
        }


def _annotation(found: Object) -> dict[str, Any]:
    x1, y1, x2, y2 = found.box
    annotation: dict[str, Any] = {
        "bbox": [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
        "area": round((x2 - x1) * (y2 - y1), 2),
        # Not 1 for holes or several parts, as some write: evaluators ignore such regions.
        "iscrowd": 0,
        "score": found.score,
        "phrase": found.phrase,
    }
    if found.rle is not None:
        annotation |= {"area": int(coco_mask.area(found.rle)), "segmentation": found.rle}
    if found.mask_score is not None:
        annotation["mask_score"] = found.mask_score
    return annotation


def _file_name(source: str | None, image_id: int) -> str:
    if source and "://" in source:
        source = unquote(urlsplit(source).path)
    return PurePath(source or "").name or f"image_{image_id}"
