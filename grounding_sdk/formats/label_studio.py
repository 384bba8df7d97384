"""Label Studio: a list of tasks with predictions, to be imported, looked at and corrected.

    tasks.json    tasks (tasks_SPLIT.json); positions in percent of the picture's size
    config.xml    the labelling configuration that they fit

Masks are brush strokes: bit-packed run lengths of RGBA pixels, as Label Studio's own converter
reads them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as Xml

import numpy as np

from grounding_sdk.detections import Size
from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Mask, Object
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.output import (
    Add,
    Folder,
    JsonItems,
    Splits,
    clean_name,
    load_json,
    reading,
    split_files,
    split_name,
    streamed,
)
from grounding_sdk.formats.pictures import source_in
from grounding_sdk.formats.polygons import joined, mask_polygons, outlined
from grounding_sdk.formats.rle import image_runs, runs_mask
from grounding_sdk.formats.xml import element, parse_xml

NAME = "tasks.json"
_RUN_BITS = (3, 4, 8, 16)  # how many bits a run length may have, as Label Studio writes it


def write_label_studio(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
    shapes: Literal["brush", "polygon"] = "brush",
    tolerance: float = 0.0,
    url: str = "",
    model_version: str = "grounding_sdk",
) -> None:
    """Writes tasks with predictions, and the labelling configuration.

    Objects without a mask are rectangles; regions marked as crowds are left out. As a polygon, an
    object is one region, parts and holes joined by seams. A prediction's score is the mean of its
    objects'.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; in the order in which they are met unless given.
        pictures: Whether to copy the pictures to `images/`.
        shapes: What to make of masks.
        tolerance: How far, in pixels, polygons may be from the masks' outlines.
        url: What comes before the file name in a task's `image`, for example
            `"/data/local-files/?d=images/"` or `"s3://bucket/"`.
        model_version: The name under which Label Studio shows the predictions.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)

    @contextmanager
    def opened(split: str) -> Iterator[Add]:
        with streamed(out.path(split_name(NAME, split))) as file:
            file.write("[")
            tasks = JsonItems(file.write)
            yield lambda row: tasks.add(_task(row, shapes, tolerance, url, model_version))
            file.write("]\n")

    with Splits(opened) as splits:
        for row in rows:
            for each in row.objects:
                ids[each.label]
            splits.add(row)
            if pictures:
                out.picture(row, f"images/{row.file_name}")
    out.write("config.xml", _config(list(ids)))


def read_label_studio(path: str | Path, *, url: str = "") -> Dataset:
    """Reads tasks: their annotations if a person made any, else their predictions.

    Of several annotations or predictions the last is taken. Rectangles
    (where turned, the box around), polygons and brush strokes are read, other regions left out.

    Args:
        path: The JSON file; or the folder with `tasks.json` or `tasks_<split>.json`.
        url: What comes before the file name in a task's `image`.

    Raises:
        FormatError: If something in it is not as expected.
    """
    files = list(split_files(Path(path), NAME))
    folder = files[0][0].parent

    def rows() -> Iterator[Annotated]:
        for file, split in files:
            tasks = load_json(file)
            with reading(file):
                for task in tasks:
                    name = _file_name(str(task["data"]["image"]), url)
                    size, found = _objects(task)
                    source = source_in(folder / "images", folder, name=name)
                    yield Annotated(name, size, found, split, source)

    config = folder / "config.xml"
    listed = parse_xml(config).iter("Label") if config.is_file() else ()
    return Dataset(rows, tuple(dict.fromkeys(label.get("value", "") for label in listed)))


def brush_rle(mask: Mask, size: Size) -> list[int]:
    """Returns a mask in Label Studio's own run-length encoding of the picture's RGBA values.

    That is the format of @thi.ng/rle-pack: 32 bits for the number of values, 5 for the bits of
    a value, 4 x 4 for the bits that run lengths may have; then for each run 1, two bits for which
    of the four, its length less one, and its value.

    >>> brush_rle(Mask(np.ones((1, 1), bool)), (1, 1))
    [0, 0, 0, 4, 57, 27, 252, 127, 224]
    """
    height, width = size
    runs = 4 * image_runs(mask.crop.T, mask.y, mask.x, (width, height))
    bits = [f"{4 * height * width:032b}{8 - 1:05b}", *(f"{each - 1:04b}" for each in _RUN_BITS)]
    for value, run in zip(itertools.cycle((0, 255)), runs.tolist()):
        for length in [2**16] * (run // 2**16) + [run % 2**16] * (run % 2**16 > 0):
            which = next(i for i, most in enumerate(_RUN_BITS) if length <= 2**most)
            bits.append(f"1{which:02b}{length - 1:0{_RUN_BITS[which]}b}{value:08b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def brush_mask(rle: Sequence[int], size: Size) -> Mask:
    """Returns the mask of such an encoding: the pixels that are not quite transparent.

    Raises:
        FormatError: If it ends early, or is of a picture of another size.

    >>> brush_mask([0, 0, 0, 4, 57, 27, 252, 127, 224], (1, 1)).area
    1
    """
    text = "".join(map("{:08b}".format, bytes(rle)))
    at = 0

    def number(length: int) -> int:
        nonlocal at
        at += length
        if at > len(text):
            raise FormatError(f"a brush's RLE ends after {len(rle)} bytes, expected more of it")
        return int(text[at - length : at], 2)

    total, value_bits = number(32), number(5) + 1
    run_bits = [number(4) + 1 for _ in range(4)]
    height, width = size
    if total != 4 * height * width:
        raise FormatError(
            f"a brush's RLE has {total} values, expected 4 for each pixel of {width} x {height}"
        )
    shown: list[bool] = []
    lengths: list[int] = []
    done = 0
    while done < total:
        repeated, length = number(1), number(run_bits[number(2)]) + 1
        values = [number(value_bits) for _ in range(1 if repeated else length)]
        for value in values:
            # Alpha is the last of each pixel's four values: it tells how many pixels a run shows.
            after = min(done + (length if repeated else 1), total)
            shown.append(value > 0)
            lengths.append(after // 4 - done // 4)
            done = after
    changes = np.flatnonzero(np.diff(shown, prepend=False))
    starts = np.cumsum(lengths)[changes] - np.array(lengths)[changes]
    counts = np.diff(starts, prepend=0, append=height * width)
    across = runs_mask(counts, (width, height))
    return Mask(across.crop.T, across.y, across.x)


def _task(
    row: Annotated, shapes: str, tolerance: float, url: str, model_version: str
) -> dict[str, Any]:
    height, width = row.size
    found = [each for each in row.objects if not each.iscrowd]
    scores = [each.score for each in found if each.score is not None]
    prediction: dict[str, Any] = {
        "model_version": model_version,
        "result": [
            {
                "id": str(number),
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                **_region(each, row.size, shapes, tolerance),
            }
            for number, each in enumerate(found, 1)
        ],
    }
    if scores:
        prediction["score"] = round(sum(scores) / len(scores), 6)
    data = {"image": url + row.file_name, "width": width, "height": height}
    return {"data": data, "predictions": [prediction]}


def _region(each: Object, size: Size, shapes: str, tolerance: float) -> dict[str, Any]:
    percent = 100 / np.array(size[::-1])
    value: dict[str, Any]
    if each.mask is None or not each.has_pixels:
        x1, y1, x2, y2 = each.box
        corner, sides = (np.array([x1, y1]) * percent), (np.array([x2 - x1, y2 - y1]) * percent)
        keys = ("x", "y", "width", "height")
        numbers = [round(number, 6) for number in [*corner.tolist(), *sides.tolist()]]
        kind, value = "rectangle", dict(zip(keys, numbers, strict=True)) | {"rotation": 0}
    elif shapes == "polygon":
        points = joined(mask_polygons(each.mask, tolerance)) * percent
        kind, value = "polygon", {"points": points.round(6).tolist(), "closed": True}
    else:
        kind, value = "brush", {"format": "rle", "rle": brush_rle(each.mask, size)}
    region: dict[str, Any] = {
        "type": f"{kind}labels",
        "from_name": kind,
        "value": value | {f"{kind}labels": [each.label]},
    }
    region |= {} if each.score is None else {"score": each.score}
    return region | ({} if each.phrase is None else {"meta": {"text": [each.phrase]}})


def _config(labels: Sequence[str]) -> bytes:
    view = Xml.Element("View")
    element(view, "Image", name="image", value="$image")
    for tag in ("RectangleLabels", "PolygonLabels", "BrushLabels"):
        name = tag.removesuffix("Labels").lower()
        control = element(view, tag, name=name, toName="image")
        for label in labels:
            element(control, "Label", value=label)
    Xml.indent(view)
    return Xml.tostring(view, encoding="utf-8")


def _objects(task: dict[str, Any]) -> tuple[Size, tuple[Object, ...]]:
    """The picture's size, (0, 0) if nothing tells it, and what is marked in it."""
    done = [each for each in task.get("annotations") or () if not each.get("was_cancelled")]
    answers = done or task.get("predictions") or ()
    regions = answers[-1]["result"] if answers else ()
    data = task["data"]
    size = int(data.get("height") or 0), int(data.get("width") or 0)
    found = []
    for region in regions:
        if "original_height" in region:
            size = int(region["original_height"]), int(region["original_width"])
        each = _object(region, size)
        if each is not None:
            found.append(each)
    return size, tuple(found)


def _object(region: dict[str, Any], size: Size) -> Object | None:
    kind, value = str(region.get("type")), region.get("value") or {}
    names = value.get(kind) or value.get("labels")
    if not names or not {"x", "points", "rle"} & set(value) or "radiusX" in value:
        return None
    notes = (region.get("meta") or {}).get("text")
    note = notes[0] if isinstance(notes, list) and notes else None
    fields: dict[str, Any] = {"score": region.get("score"), "phrase": note}
    label, unit = str(names[0]), np.array(size[::-1]) / 100
    if "rle" in value:
        mask = brush_mask(value["rle"], size)
        return Object(label, mask.box, mask, **fields)
    if "points" in value:
        return outlined(label, [np.array(value["points"], float) * unit], size, **fields)
    if not {"y", "width", "height"} <= set(value):
        return None
    corner = np.array([value["x"], value["y"]]) * unit
    width, height = np.array([value["width"], value["height"]]) * unit
    turn = np.deg2rad(value.get("rotation") or 0)
    along = width * np.array([np.cos(turn), np.sin(turn)])
    down = height * np.array([-np.sin(turn), np.cos(turn)])
    corners = corner + np.array([0 * along, along, down, along + down])  # the box around, if turned
    (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Object(label, (x1, y1, x2, y2), **fields)


def _file_name(image: str, url: str) -> str:
    if url and image.startswith(url):
        return clean_name(image[len(url) :])
    if "?d=" in image:  # a local file, as Label Studio serves it
        return clean_name(parse_qs(urlsplit(image).query)["d"][0])
    return clean_name(unquote(urlsplit(image).path) if "://" in image else image)
