"""CVAT: its file "CVAT for images 1.1", and the shapes of its SDK's auto-annotation functions.

    annotations.xml    all pictures, with their splits as subsets
    images/NAME.jpg    the pictures, if they are copied

Masks are kept exactly: run lengths along the rows of their box. Scores have no place in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as Xml

import numpy as np

from grounding_sdk.detections import Size
from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Mask, Object, union
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.output import Folder, clean_name, pour, reading, spooled, streamed
from grounding_sdk.formats.pictures import source_in
from grounding_sdk.formats.polygons import joined, mask_polygons, outlined
from grounding_sdk.formats.rle import from_run_lengths, run_lengths
from grounding_sdk.formats.xml import element, xml_events

NAME = "annotations.xml"


def write_cvat(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
    shapes: Literal["mask", "polygon"] = "mask",
    tolerance: float = 0.0,
) -> None:
    """Writes `annotations.xml` while the rows come.

    Objects without a mask are boxes. As polygons, the parts of a mask share a group, and holes are
    joined to them by seams. Regions marked as crowds are left out.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; in the order in which they are met unless given.
        pictures: Whether to copy the pictures to `images/`.
        shapes: What to make of masks.
        tolerance: How far, in pixels, polygons may be from the masks' outlines.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)
    with streamed(out.path(NAME)) as file, spooled(out.root) as spool:
        for number, row in enumerate(rows):
            image = _image(row, number, shapes, tolerance)
            for shape in image:
                ids[shape.get("label", "")]
            Xml.indent(image, level=1)
            spool.write(f"  {Xml.tostring(image, encoding='unicode').strip()}\n")
            if pictures:
                out.picture(row, f"images/{row.file_name}")
        meta = Xml.tostring(_meta(list(ids)), encoding="unicode").strip()
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        file.write(f"  <version>1.1</version>\n  {meta}\n")
        pour(spool, file)
        file.write("</annotations>\n")


def read_cvat(path: str | Path) -> Dataset:
    """Reads "CVAT for images 1.1": boxes (where turned, the box around), polygons and masks.

    Polygons and masks of one label and one group are one object. Other shapes are left out.

    Args:
        path: The XML file; or the folder with `annotations.xml`.

    Raises:
        FormatError: If something in it is not as expected.
    """
    file = Path(path) / NAME if Path(path).is_dir() else Path(path)

    def rows() -> Iterator[Annotated]:
        for _, image in xml_events(file):
            if image.tag == "track":
                raise FormatError(
                    f"{file} holds tracks of a video, expected pictures: export it from CVAT as "
                    f"'CVAT for images 1.1'"
                )
            if image.tag != "image":
                continue
            with reading(file):
                name = clean_name(image.attrib["name"])
                size = int(image.attrib["height"]), int(image.attrib["width"])
                found = tuple(_objects(image, size))
                split = image.attrib.get("subset", "")
            yield Annotated(name, size, found, split, source_in(file.parent / "images", name=name))
            image.clear()  # else the whole file would be in memory in the end

    return Dataset(rows, _labels(file))


def cvat_shapes(
    row: Annotated, label_ids: Mapping[str, int], min_score: float = 0.0
) -> list[dict[str, Any]]:
    """Returns a picture's objects as the fields of CVAT's `LabeledShapeRequest`.

    For the `detect` of an auto-annotation function: `[models.LabeledShapeRequest(**shape) for
    shape in cvat_shapes(row, ids, context.conf_threshold or 0)]`.

    Args:
        row: The picture.
        label_ids: The id of each label in the function's spec; objects of others are left out.
        min_score: Objects that score less are left out.

    >>> row = Annotated("a.jpg", (4, 4), (Object("dog", (1, 1, 3, 2), Mask(np.eye(2), 1, 1)),))
    >>> cvat_shapes(row, {"dog": 7})
    [{'type': 'mask', 'frame': 0, 'label_id': 7, 'points': [0, 1, 2, 1, 1, 1, 2, 2]}]
    """
    shapes = []
    for each in row.objects:
        if each.label not in label_ids or (each.score is not None and each.score < min_score):
            continue
        kind, points = "rectangle", list(each.box)
        if each.mask is not None and each.has_pixels:
            x1, y1, x2, y2 = (int(value) for value in each.mask.box)
            runs = run_lengths(each.mask.crop.ravel()).tolist()
            kind, points = "mask", [*runs, x1, y1, x2 - 1, y2 - 1]
        shape = {"type": kind, "frame": 0, "label_id": label_ids[each.label], "points": points}
        shapes.append(shape | ({} if each.score is None else {"score": each.score}))
    return shapes


def _image(row: Annotated, number: int, shapes: str, tolerance: float) -> Xml.Element:
    height, width = row.size
    attributes = {"id": str(number), "name": row.file_name}
    attributes |= {"subset": row.split} if row.split else {}
    image = Xml.Element("image", attributes, width=str(width), height=str(height))
    for group, each in enumerate(row.objects, 1):
        if each.iscrowd:
            continue
        shared = {"label": each.label, "source": "auto", "occluded": "0"}
        if each.mask is None or not each.has_pixels:
            corners = zip(("xtl", "ytl", "xbr", "ybr"), each.box, strict=True)
            box = {name: f"{value:.2f}" for name, value in corners}
            element(image, "box", **shared, **box, z_order="0")
        elif shapes == "mask":
            x1, y1, x2, y2 = (int(value) for value in each.mask.box)
            runs = run_lengths(each.mask.crop.ravel())
            place = {"left": x1, "top": y1, "width": x2 - x1, "height": y2 - y1}
            numbers = {name: str(value) for name, value in place.items()}
            rle = ", ".join(map(str, runs.tolist()))
            element(image, "mask", **shared, rle=rle, **numbers, z_order="0")
        else:
            polygons = mask_polygons(each.mask, tolerance)
            shared |= {"group_id": str(group)} if len(polygons) > 1 else {}
            for polygon in polygons:
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in joined([polygon]).tolist())
                element(image, "polygon", **shared, points=points, z_order="0")
    return image


def _meta(labels: Sequence[str]) -> Xml.Element:
    meta = Xml.Element("meta")
    listed = element(element(meta, "task"), "labels")
    for label in labels:
        entry = element(listed, "label")
        element(entry, "name", label)
        element(entry, "attributes")
    Xml.indent(meta, level=1)
    return meta


def _labels(file: Path) -> tuple[str, ...]:
    for _, tag in xml_events(file):
        if tag.tag in ("meta", "image"):
            return tuple(name.text or "" for name in tag.iterfind(".//label/name"))
    return ()


def _objects(image: Xml.Element, size: Size) -> Iterator[Object]:
    groups: dict[Any, list[Object]] = {}
    for index, shape in enumerate(image):
        each = _object(shape, size)
        if each is None:
            continue
        group = shape.attrib.get("group_id", "0")
        alone = group == "0" or not each.has_pixels
        groups.setdefault(index if alone else (each.label, group), []).append(each)
    for parts in groups.values():
        if len(parts) == 1:
            yield parts[0]
        else:
            mask = union(part.mask for part in parts if part.mask is not None)
            yield Object(parts[0].label, mask.box, mask)


def _object(shape: Xml.Element, size: Size) -> Object | None:
    values = shape.attrib
    if shape.tag == "box":
        x1, y1, x2, y2 = (float(values[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
        turn = np.deg2rad(float(values.get("rotation", 0)))
        middle = np.array([x1 + x2, y1 + y2]) / 2
        across, down = abs(np.cos(turn)), abs(np.sin(turn))
        width, height = (x2 - x1) * across + (y2 - y1) * down, (x2 - x1) * down + (y2 - y1) * across
        if turn:
            x1, y1 = (middle - np.array([width, height]) / 2).tolist()
            x2, y2 = (middle + np.array([width, height]) / 2).tolist()
        return Object(values["label"], (x1, y1, x2, y2))
    if shape.tag == "polygon":
        points = [[float(v) for v in pair.split(",")] for pair in values["points"].split(";")]
        return outlined(values["label"], [np.array(points)], size)
    if shape.tag == "mask":
        left, top, width, height = (int(values[k]) for k in ("left", "top", "width", "height"))
        runs = [int(run) for run in values["rle"].split(",")]
        if not (left >= 0 and top >= 0 and left + width <= size[1] and top + height <= size[0]):
            raise FormatError(f"a mask lies outside of the picture of {size[1]} x {size[0]}")
        mask = Mask(from_run_lengths(runs, (height, width)), left, top)
        return Object(values["label"], mask.box, mask)
    return None
