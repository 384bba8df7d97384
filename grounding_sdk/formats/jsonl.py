"""JSON lines: one row on each line with all that is known of it. Nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Object
from grounding_sdk.formats.output import (
    Add,
    Folder,
    Splits,
    clean_name,
    dumps,
    load_json,
    reading,
    split_files,
    split_name,
    streamed,
)
from grounding_sdk.formats.rle import rle_mask, rle_of

NAME = "annotations.jsonl"


def write_jsonl(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
) -> None:
    """Writes `annotations.jsonl` (`annotations_<split>.jsonl`) and `labels.json`.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; in the order in which they are met unless given.
        pictures: Whether to copy the pictures to `images/`.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)

    @contextmanager
    def opened(split: str) -> Iterator[Add]:
        with streamed(out.path(split_name(NAME, split))) as file:
            yield lambda row: file.write(dumps(row_dict(row)) + "\n")

    with Splits(opened) as splits:
        for row in rows:
            for each in row.objects:
                ids[each.label]
            splits.add(row)
            if pictures:
                out.picture(row, f"images/{row.file_name}")
    out.write("labels.json", dumps(list(ids)))


def read_jsonl(path: str | Path) -> Dataset:
    """Reads what `write_jsonl` wrote.

    Raises:
        FormatError: If something in it is not as expected.
    """
    files = list(split_files(Path(path), NAME))
    folder = files[0][0].parent

    def rows() -> Iterator[Annotated]:
        for file, _ in files:
            with open(file, encoding="utf-8") as lines, reading(file):
                for line in lines:
                    yield row_from_dict(json.loads(line))

    labels = folder / "labels.json"
    return Dataset(rows, tuple(load_json(labels)) if labels.is_file() else ())


def row_dict(row: Annotated) -> dict[str, Any]:
    """Returns a row as plain JSON types, masks as COCO's compressed RLE; empty fields left out."""
    data = {
        "file_name": row.file_name,
        "size": list(row.size),
        "split": row.split,
        "source": row.source,
        "objects": [_object_dict(each, row) for each in row.objects],
    }
    return {key: value for key, value in data.items() if value not in ("", None)}


def row_from_dict(data: dict[str, Any]) -> Annotated:
    """Makes a row of what `row_dict` returned."""
    found = []
    for each in data["objects"]:
        fields = dict(each)
        mask = fields.pop("segmentation", None)
        fields["box"] = tuple(fields["box"])
        found.append(Object(**fields, mask=None if mask is None else rle_mask(mask)))
    height, width = data["size"]
    return Annotated(
        clean_name(data["file_name"]),
        (height, width),
        tuple(found),
        data.get("split", ""),
        data.get("source"),
    )


def _object_dict(each: Object, row: Annotated) -> dict[str, Any]:
    data = {
        "label": each.label,
        "box": list(each.box),
        "score": each.score,
        "mask_score": each.mask_score,
        "phrase": each.phrase,
        "iscrowd": each.iscrowd or None,
        "margin": each.margin,
        "segmentation": None if each.mask is None else rle_of(each.mask, row.size),
    }
    return {key: value for key, value in data.items() if value is not None}
