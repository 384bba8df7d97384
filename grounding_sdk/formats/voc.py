"""Pascal VOC: one XML file for each picture.

    JPEGImages/NAME.jpg            the pictures, if they are copied
    Annotations/NAME.xml           boxes, and the masks' polygons as supervision reads them
    ImageSets/Main/SPLIT.txt       the names of each split, where there are any

Pixels count from 1 and boxes include their last pixel, so that boxes are whole numbers. Scores
have no place in it. Regions marked as crowds are `difficult`, which evaluators ignore as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as Xml

import numpy as np

from grounding_sdk.detections import Size
from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Object
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.output import (
    Add,
    Folder,
    Splits,
    clean_name,
    read_text,
    reading,
    safe_name,
    streamed,
)
from grounding_sdk.formats.pictures import source_in
from grounding_sdk.formats.polygons import Ring, joined, mask_polygons, polygons_mask
from grounding_sdk.formats.xml import element, parse_xml, text_of


def write_voc(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
    tolerance: float = 0.0,
) -> None:
    """Writes a Pascal VOC dataset.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; only checked, as the format keeps no list.
        pictures: Whether to copy the pictures to `JPEGImages/`.
        tolerance: How far, in pixels, polygons may be from the masks' outlines.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)

    @contextmanager
    def listed(split: str) -> Iterator[Add]:
        if not split:
            yield lambda row: None
            return
        with streamed(out.path(f"ImageSets/Main/{split}.txt")) as file:
            yield lambda row: file.write(f"{_stem(row.file_name)}\n")

    with Splits(listed) as splits:
        for row in rows:
            for each in row.objects:
                ids[each.label]
            out.write(f"Annotations/{_stem(row.file_name)}.xml", _xml(row, tolerance))
            splits.add(row)
            if pictures:
                out.picture(row, f"JPEGImages/{row.file_name}")


def read_voc(path: str | Path) -> Dataset:
    """Reads Pascal VOC: boxes, and polygons where objects have them.

    Args:
        path: The dataset's folder, or that with the XML files.

    Raises:
        FormatError: If something in it is not as expected.
    """
    root = Path(path)
    folder = root / "Annotations" if (root / "Annotations").is_dir() else root
    if not folder.is_dir():
        raise FormatError(f"there is no folder {folder}, expected one with files *.xml")
    main = sorted((root / "ImageSets" / "Main").glob("*.txt"))
    lists = [file for file in main if file.stem != "trainval"]  # which holds two splits

    def rows() -> Iterator[Annotated]:
        split_by_stem = {
            line.strip(): file.stem for file in lists for line in read_text(file).splitlines()
        }
        for file in sorted(folder.rglob("*.xml")):
            with reading(file):
                stem = file.relative_to(folder).with_suffix("").as_posix()
                tree = parse_xml(file)
                size = _number(tree, "size/height"), _number(tree, "size/width")
                own = PurePosixPath(clean_name(text_of(tree, "filename"))).name
                found = tuple(_object(each, size) for each in tree.findall("object"))
            name = str(PurePosixPath(stem).with_name(own))
            source = source_in(root / "JPEGImages", folder, name=name)
            yield Annotated(name, size, found, split_by_stem.get(stem, ""), source)

    return Dataset(rows)


def _number(tree: Xml.Element, path: str) -> int:
    return int(float(text_of(tree, path)))


def _stem(name: str) -> str:
    return str(safe_name(name).with_suffix(""))


def _xml(row: Annotated, tolerance: float) -> bytes:
    height, width = row.size
    path = PurePosixPath(row.file_name)
    root = Xml.Element("annotation")
    element(root, "folder", "JPEGImages")
    element(root, "filename", path.name)
    size = element(root, "size")
    for name, value in (("width", width), ("height", height), ("depth", 3)):
        element(size, name, str(value))
    element(root, "segmented", str(int(any(each.has_pixels for each in row.objects))))
    for each in row.objects:
        entry = element(root, "object")
        element(entry, "name", each.label)
        element(entry, "pose", "Unspecified")
        element(entry, "truncated", "0")
        element(entry, "difficult", str(int(each.iscrowd)))
        x1, y1, x2, y2 = map(round, each.box)
        corners = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": max(x2, x1 + 1), "ymax": max(y2, y1 + 1)}
        box = element(entry, "bndbox")
        for name, value in corners.items():
            element(box, name, str(value))
        for polygon in mask_polygons(each.mask, tolerance) if each.mask is not None else ():
            outline = element(entry, "polygon")
            for number, (x, y) in enumerate((joined([polygon]) + 1).tolist(), 1):
                element(outline, f"x{number}", f"{x:g}")
                element(outline, f"y{number}", f"{y:g}")
    Xml.indent(root)
    return Xml.tostring(root, encoding="utf-8", xml_declaration=True)


def _object(entry: Xml.Element, size: Size) -> Object:
    corners = ("xmin", "ymin", "xmax", "ymax")
    x1, y1, x2, y2 = (float(text_of(entry, f"bndbox/{name}")) for name in corners)
    rings = [_ring(polygon) for polygon in entry.findall("polygon")]
    return Object(
        text_of(entry, "name"),
        (min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2), max(y1, y2)),
        polygons_mask(rings, size) if rings else None,
        iscrowd=(entry.findtext("difficult") or "0").strip() == "1",
    )


def _ring(polygon: Xml.Element) -> Ring:
    values = {child.tag: float(child.text or "") for child in polygon}
    points = [(values[f"x{i}"], values[f"y{i}"]) for i in range(1, len(values) // 2 + 1)]
    return np.array(points).reshape(-1, 2) - 1
