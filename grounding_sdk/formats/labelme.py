"""LabelMe: one JSON file for each picture, which lies beside it.

Parts of one object share a `group_id`. Scores and phrases are kept, in `score` and `description`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import PIL.Image

from grounding_sdk.detections import Size
from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Mask, Object, union
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.output import (
    Folder,
    clean_name,
    dumps,
    load_json,
    reading,
    safe_name,
    split_path,
)
from grounding_sdk.formats.pictures import picture_size, source_in
from grounding_sdk.formats.polygons import box_ring, joined, mask_polygons, polygons_mask

Shape = dict[str, Any]


def write_labelme(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
    shapes: Literal["polygon", "mask"] = "polygon",
    tolerance: float = 0.0,
) -> None:
    """Writes `NAME.json` for each picture and `labels.txt`, for `labelme --labels`.

    Objects without a mask are rectangles. As polygons, each part of a mask is a shape, and holes
    are joined to it by seams. Splits are folders.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to; that of the pictures, if they are not copied.
        labels: All labels; in the order in which they are met unless given.
        pictures: Whether to copy the pictures beside the JSON files.
        shapes: What to make of masks: polygons, or LabelMe's masks.
        tolerance: How far, in pixels, polygons may be from the masks' outlines.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)
    for row in rows:
        place = PurePosixPath(row.split, safe_name(row.file_name))
        entries: list[Shape] = []
        for group, each in enumerate(row.objects, 1):
            ids[each.label]
            parts = _shapes(each, shapes, tolerance)
            shared: Shape = {
                "label": each.label,
                "group_id": group if len(parts) > 1 else None,
                "description": each.phrase or "",
                "flags": {"iscrowd": True} if each.iscrowd else {},
            }
            shared |= {} if each.score is None else {"score": each.score}
            entries += [shared | part for part in parts]
        content: Shape = {
            "version": "5.5.0",
            "flags": {},
            "shapes": entries,
            "imagePath": place.name,
            "imageData": None,
            "imageHeight": row.size[0],
            "imageWidth": row.size[1],
        }
        out.write(place.with_suffix(".json"), dumps(content))
        if pictures:
            out.picture(row, place)
    out.write("labels.txt", "".join(f"{label}\n" for label in ids))


def read_labelme(path: str | Path) -> Dataset:
    """Reads LabelMe's files: rectangles, polygons and masks; other shapes are left out.

    Shapes of one label and one `group_id` are one object.

    Args:
        path: A folder, read with all below it, or one file.

    Raises:
        FormatError: If something is not as expected.
    """
    path = Path(path)
    folder = path.parent if path.is_file() else path
    if not path.exists():
        raise FormatError(f"there is no folder {path}, expected one with LabelMe's JSON files")

    def rows() -> Iterator[Annotated]:
        for file in [path] if path.is_file() else sorted(path.rglob("*.json")):
            data = load_json(file)
            with reading(file):
                # Only the name: LabelMe means a path from the JSON file, often one that is gone.
                own = PurePosixPath(clean_name(data["imagePath"])).name
                place = file.relative_to(folder).with_name(own)
                source = source_in(folder, name=str(place))
                size = data.get("imageHeight"), data.get("imageWidth")
                if None in size:
                    size = picture_size(source or file.with_name(own))
                found = tuple(_objects(data["shapes"], (int(size[0]), int(size[1]))))
            split, name = split_path(place)
            yield Annotated(name, (int(size[0]), int(size[1])), found, split, source)

    names = folder / "labels.txt"
    labels = names.read_text("utf-8").splitlines() if names.is_file() else ()
    return Dataset(rows, tuple(label for label in labels if label))


def _shapes(each: Object, shapes: str, tolerance: float) -> list[Shape]:
    x1, y1, x2, y2 = each.box
    if each.mask is None or not each.has_pixels:
        return [{"shape_type": "rectangle", "points": [[x1, y1], [x2, y2]]}]
    if shapes == "mask":
        x1, y1, x2, y2 = each.mask.box
        corners = [[x1, y1], [x2 - 1, y2 - 1]]  # of the first and of the last pixel
        return [{"shape_type": "mask", "points": corners, "mask": _png(each.mask.crop)}]
    polygons = mask_polygons(each.mask, tolerance)
    return [{"shape_type": "polygon", "points": joined([p]).tolist()} for p in polygons]


def _objects(shapes: list[Shape], size: Size) -> Iterator[Object]:
    groups: dict[Any, list[Shape]] = {}
    for index, shape in enumerate(shapes):
        if shape.get("shape_type", "polygon") in ("rectangle", "polygon", "mask"):
            group = shape.get("group_id")
            key = ("alone", index) if group is None else (str(shape["label"]), str(group))
            groups.setdefault(key, []).append(shape)
    for parts in groups.values():
        boxes = all(part.get("shape_type") == "rectangle" for part in parts)
        mask = union([] if boxes else [_mask(part, size) for part in parts])
        corners = np.concatenate([np.array(part["points"], float) for part in parts])
        (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        first = parts[0]
        yield Object(
            str(first["label"]),
            mask.box if mask.crop.size else (x1, y1, x2, y2),
            mask if mask.crop.size else None,
            score=first.get("score"),
            phrase=first.get("description") or None,
            iscrowd=bool((first.get("flags") or {}).get("iscrowd")),
        )


def _mask(part: Shape, size: Size) -> Mask:
    points = part["points"]
    if part.get("shape_type") == "mask":
        (x1, y1), (x2, y2) = ((int(x), int(y)) for x, y in points)
        return Mask(_from_png(part["mask"], (y2 - y1 + 1, x2 - x1 + 1)), x1, y1)
    if part.get("shape_type") == "rectangle":
        points = box_ring([*points[0], *points[1]])
    return polygons_mask([points], size)


def _png(crop: np.ndarray) -> str:
    buffer = io.BytesIO()
    PIL.Image.fromarray(crop.astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _from_png(text: str, shape: Size) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]) as picture:
        if picture.size != shape[::-1]:  # said by the header: nothing is decoded yet
            raise FormatError(
                f"a mask has {picture.width} x {picture.height} pixels, expected {shape[1]} x "
                f"{shape[0]} by its points"
            )
        pixels = np.asarray(picture.convert("L") if picture.mode == "P" else picture)
    return pixels.reshape(*shape, -1)[..., 0] > 0
