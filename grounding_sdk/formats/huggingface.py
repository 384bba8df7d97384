"""Hugging Face datasets: what `load_dataset("imagefolder", data_dir=...)` loads.

    [SPLIT/]metadata.jsonl    one line for each picture, with its `objects`
    [SPLIT/]NAME.jpg          the pictures, if they are copied; the loader wants them there
    labels.json               the names of the categories

`objects` has a list for each of `id`, `area`, `bbox` (x, y, width, height in pixels), `category`
(from 0), `label`, `score`, `iscrowd` and `segmentation` (COCO's RLE as JSON; "" where there is no
mask): the fields that the library's object detection examples use, and ours.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Object
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.output import (
    Add,
    Folder,
    Splits,
    clean_name,
    dumps,
    load_json,
    reading,
    streamed,
)
from grounding_sdk.formats.pictures import source_in
from grounding_sdk.formats.rle import rle_mask, rle_of

NAME = "metadata.jsonl"


def write_huggingface(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
) -> None:
    """Writes `metadata.jsonl`, in a folder for each split, and `labels.json`.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; in the order in which they are met unless given.
        pictures: Whether to copy the pictures beside `metadata.jsonl`.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)
    images, numbers = itertools.count(), itertools.count()

    @contextmanager
    def opened(split: str) -> Iterator[Add]:
        with streamed(out.path(PurePosixPath(split, NAME))) as file:
            yield lambda row: file.write(dumps(_entry(row, ids, next(images), numbers)) + "\n")

    with Splits(opened) as splits:
        for row in rows:
            splits.add(row)
            if pictures:
                out.picture(row, PurePosixPath(row.split, row.file_name))
    out.write("labels.json", dumps(list(ids)))


def read_huggingface(path: str | Path) -> Dataset:
    """Reads what `write_huggingface` wrote.

    Args:
        path: The folder with `metadata.jsonl`, or with a folder for each split.

    Raises:
        FormatError: If something in it is not as expected.
    """
    folder = Path(path)
    files = [*folder.glob(NAME), *sorted(folder.glob(f"*/{NAME}"))]
    if not files:
        raise FormatError(f"there is no {NAME} in {folder} or in a folder of it")
    labels = load_json(folder / "labels.json")

    def rows() -> Iterator[Annotated]:
        for file in files:
            split = file.parent.relative_to(folder).as_posix().removeprefix(".")
            with open(file, encoding="utf-8") as lines, reading(file):
                for line in lines:
                    entry = json.loads(line)
                    name = clean_name(entry["file_name"])
                    size = int(entry["height"]), int(entry["width"])
                    found = tuple(_objects(entry["objects"], labels))
                    yield Annotated(name, size, found, split, source_in(file.parent, name=name))

    return Dataset(rows, tuple(labels))


def _entry(row: Annotated, ids: ClassIds, image_id: int, numbers: Iterator[int]) -> dict[str, Any]:
    boxes = [each.box for each in row.objects]
    # Lists of numbers and of text, never of null: the library takes the types from the first lines.
    objects = {
        "id": [next(numbers) for _ in row.objects],
        "area": [_area(each) for each in row.objects],
        "bbox": [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in boxes],
        "category": [ids[each.label] for each in row.objects],
        "label": [each.label for each in row.objects],
        "score": [-1.0 if each.score is None else each.score for each in row.objects],
        "iscrowd": [int(each.iscrowd) for each in row.objects],
        "segmentation": [
            "" if each.mask is None else dumps(rle_of(each.mask, row.size)) for each in row.objects
        ],
    }
    height, width = row.size
    place = {"file_name": row.file_name, "image_id": image_id, "width": width, "height": height}
    return place | {"objects": objects}


def _area(each: Object) -> float:
    x1, y1, x2, y2 = each.box
    return float((x2 - x1) * (y2 - y1) if each.mask is None else each.mask.area)


def _objects(lists: dict[str, list[Any]], labels: Sequence[str]) -> Iterator[Object]:
    columns = [lists[name] for name in ("bbox", "category", "score", "iscrowd", "segmentation")]
    for (x, y, width, height), category, score, iscrowd, rle in zip(*columns, strict=True):
        yield Object(
            labels[category],
            (x, y, x + width, y + height),
            rle_mask(json.loads(rle)) if rle else None,
            score=None if score < 0 else score,
            iscrowd=bool(iscrowd),
        )
