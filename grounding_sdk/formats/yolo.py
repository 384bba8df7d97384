"""YOLO as ultralytics has it: one text file for each picture, one line for each object.

    images/[SPLIT/]NAME.jpg    the pictures, if they are copied
    labels/[SPLIT/]NAME.txt    `class x y w h` or `class x1 y1 x2 y2 ...`, 0 to 1; empty if nothing
    data.yaml                  where the pictures are, and the names of the classes, from 0

Scores have no place in it, and regions marked as crowds are left out: they are no instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import yaml

from grounding_sdk.detections import Size
from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Object
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.output import Folder, read_text, reading, safe_name
from grounding_sdk.formats.pictures import find_pictures, picture_size
from grounding_sdk.formats.polygons import box_ring, joined, mask_polygons, outlined


def write_yolo(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
    shapes: Literal["box", "polygon"] = "box",
    tolerance: float = 0.0,
) -> None:
    """Writes a YOLO dataset.

    As polygons, parts and holes of a mask are joined by seams, so that one object stays one line,
    and objects without a mask are their box's corners: readers take a file either for boxes or
    for polygons.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; in the order in which they are met unless given.
        pictures: Whether to copy the pictures to `images/`.
        shapes: `"box"` for detection, `"polygon"` for segmentation.
        tolerance: How far, in pixels, polygons may be from the masks' outlines.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)
    splits: dict[str, None] = {}
    for row in rows:
        splits[row.split] = None
        place = PurePosixPath("images", row.split, safe_name(row.file_name))
        height, width = row.size
        lines = []
        for each in row.objects:
            if each.iscrowd:
                continue
            values = _polygon(each, tolerance) if shapes == "polygon" else _box(each)
            numbers = (values / (width, height)).ravel()
            lines.append(" ".join([str(ids[each.label]), *(f"{value:.6g}" for value in numbers)]))
        out.write(_label_path(place), "".join(f"{line}\n" for line in lines))
        if pictures:
            out.picture(row, place)
    for split in splits or [""]:  # even if the pictures are still to be put there
        out.path(PurePosixPath("images", split, "picture"))
    out.write("data.yaml", _data_yaml(list(splits), list(ids)))


def read_yolo(path: str | Path) -> Dataset:
    """Reads a YOLO dataset of boxes or polygons, with or without scores at the lines' ends.

    The pictures must be there: the files of labels do not tell their sizes. Those without a file
    of labels have no objects.

    Args:
        path: `data.yaml`, or its folder.

    Raises:
        FormatError: If something in it is not as expected.
    """
    file = Path(path) / "data.yaml" if Path(path).is_dir() else Path(path)
    try:
        data = yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        raise FormatError(f"cannot read {file} as YAML: {error}") from error
    with reading(file):
        names = data["names"]
        names = [names[key] for key in sorted(names)] if isinstance(names, dict) else names
        labels = tuple(str(name) for name in names)
        places = _places(data)
    root = file.parent / str(data.get("path") or "")
    root = root if root.is_dir() else file.parent  # ultralytics means a folder of its settings

    def rows() -> Iterator[Annotated]:
        for split, place in places.items():
            for name, picture in _pictures(root, place):
                size, lines = picture_size(picture), Path(_label_path(picture))
                with reading(lines):
                    text = read_text(lines) if lines.is_file() else ""
                    filled = (line.split() for line in text.splitlines() if line.strip())
                    found = tuple(_object(values, labels, size) for values in filled)
                yield Annotated(name, size, found, split, str(picture))

    return Dataset(rows, labels)


def _box(each: Object) -> np.ndarray:
    x1, y1, x2, y2 = each.box
    return np.array([((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1)])


def _polygon(each: Object, tolerance: float) -> np.ndarray:
    if each.mask is None or not each.has_pixels:
        return box_ring(each.box)
    return joined(mask_polygons(each.mask, tolerance))


def _label_path(picture: PurePosixPath | Path) -> Any:
    """The file of labels of a picture: `labels` for the last `images`, as ultralytics does it.

    >>> str(_label_path(PurePosixPath("images/train/a.b.jpg")))
    'labels/train/a.b.txt'
    """
    parts = list(picture.with_suffix(".txt").parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return type(picture)(*parts)


def _data_yaml(splits: Sequence[str], labels: Sequence[str]) -> str:
    # No `path`: readers take the file's own folder, while "." would be that of their settings.
    first = splits[0] if splits else ""
    named = {"train": first, "val": first} | {split: split for split in splits if split}
    data: dict[str, Any] = {key: f"images/{split}".rstrip("/") for key, split in named.items()}
    data |= {"nc": len(labels), "names": list(labels)}
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False)


def _places(data: dict[str, Any]) -> dict[str, list[str]]:
    """Where the pictures of each split are; a place named twice counts once."""
    places: dict[str, list[str]] = {}
    for key, value in data.items():
        known = key in ("train", "val", "test") or value == f"images/{key}"
        place = [value] if isinstance(value, str) else value
        if known and place and place not in places.values():
            places[key] = [str(each) for each in place]
    if len(places) == 1:
        ((split, place),) = places.items()
        return {split if split in PurePosixPath(place[0]).parts else "": place}
    return places


def _pictures(root: Path, places: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yields the name and path of each picture in folders and in text files that list pictures."""
    for place in places:
        path = root / place
        if not path.exists() and place.startswith("../"):  # as Roboflow writes it
            path = root / place[3:]
        if path.is_dir():
            for picture in find_pictures(path):
                yield picture.relative_to(path).as_posix(), picture
        elif path.is_file():
            for line in read_text(path).split("\n"):
                if line.strip():
                    yield PurePosixPath(line.strip()).name, path.parent / line.strip()
        else:
            raise FormatError(f"there is no folder {path}, expected the pictures of the dataset")


def _object(values: list[str], labels: Sequence[str], size: Size) -> Object:
    """Makes an object of a line: 5 values are a box, 7 or more a polygon; one more is a score."""
    height, width = size
    if len(values) < 5:
        raise FormatError(f"expected 'class x y w h' or a polygon, got {' '.join(values)!r:.80}")
    numbers = [float(value) for value in values]
    index, score = int(numbers[0]), None
    if not (index == numbers[0] and 0 <= index < len(labels)) or not np.isfinite(numbers).all():
        raise FormatError(
            f"expected finite numbers and a class from 0 to {len(labels) - 1}, got "
            f"{' '.join(values)!r:.80}: data.yaml and the files of labels must belong together"
        )
    if len(values) % 2 == 0:
        score = numbers.pop()
    points = np.array(numbers[1:]).reshape(-1, 2) * (width, height)
    if len(points) > 2:
        return outlined(labels[index], [points], size, score=score)
    (x, y), (w, h) = points.tolist()
    return Object(labels[index], (x - w / 2, y - h / 2, x + w / 2, y + h / 2), score=score)
