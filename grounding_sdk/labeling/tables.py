"""Lists and tables that name pictures or hold them: text, CSV, JSON lines, Parquet, Arrow.

The column with the pictures is the first of `COLUMNS` that there is.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from grounding_sdk.errors import MissingExtraError
from grounding_sdk.formats.output import reading
from grounding_sdk.labeling.errors import LabelingError

COLUMNS = "file_name filename image_path file_path filepath path file image img url".split()
SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})


@dataclass(frozen=True)
class Embedded:
    """A picture file inside of a table.

    Attributes:
        name: A path for it that is no other's.
        file: The table's file.
        content: Gives the bytes of the picture file.
    """

    name: str
    file: str
    content: Callable[[], bytes]


Value: TypeAlias = str | Embedded | None


def pictures(path: str) -> Iterator[tuple[int, Value]]:
    """Yields the number of each row, from 1, and the path, URL or picture in it; None if neither.

    Args:
        path: A list, a table, or the folder of a saved dataset.

    Raises:
        LabelingError: If it has no column with pictures, or cannot be read.
        MissingExtraError: If it needs pyarrow, which is not installed.
    """
    suffix = Path(path).suffix.lower()
    if os.path.isdir(path):
        values = _saved(path)
    elif suffix == ".parquet":
        values = _arrow_values(path)
    else:
        values = _text_values(path, suffix)
    try:
        with reading(Path(path)):
            yield from enumerate(values, 1)
    except (OSError, csv.Error) as error:
        raise LabelingError(f"cannot read {path}: {error}") from error


def is_saved_dataset(folder: str) -> bool:
    """Tells whether a folder holds tables as `datasets` saves or publishes them."""
    here = Path(folder)
    saved = any((here / name).is_file() for name in ("dataset_dict.json", "state.json"))
    return saved or bool(_parquet_files(here))


def _text_values(path: str, suffix: str) -> Iterator[Value]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        if suffix in (".csv", ".tsv"):
            rows = csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",")
            column = _column(rows.fieldnames or (), path)
            yield from ((row.get(column) or "").strip() for row in rows)
        elif suffix in (".jsonl", ".ndjson"):
            for line in file:
                if line.strip():
                    row = json.loads(line)
                    yield str(row[_column(row, path)] or "")
        else:
            yield from (line.strip() for line in file if line.strip())


def _saved(folder: str) -> Iterator[Value]:
    """Yields the pictures of all splits of a dataset in a folder."""
    here = Path(folder)
    if (here / "dataset_dict.json").is_file():
        for split in json.loads((here / "dataset_dict.json").read_text())["splits"]:
            yield from _saved(str(here / split))
    elif (here / "state.json").is_file():
        for each in json.loads((here / "state.json").read_text())["_data_files"]:
            yield from _arrow_values(str(here / each["filename"]))
    else:
        for file in _parquet_files(here):
            yield from _arrow_values(str(file))


def _parquet_files(folder: Path) -> list[Path]:
    found = [*folder.glob("*.parquet"), *(folder / "data").glob("*.parquet")]
    return sorted(file for file in found if file.name != "metadata.parquet")  # of an imagefolder


def _arrow_values(path: str) -> Iterator[Value]:
    number = 0
    for batch, column in _batches(path):
        for scalar in batch.column(column):
            number += 1
            yield _value(scalar.as_py(), path, number)


def _value(value: Any, path: str, number: int) -> Value:
    """Reads a path, the bytes of a file, or both as the `Image` feature of `datasets` has them."""
    known = value if isinstance(value, dict) else {}
    data = value if isinstance(value, bytes) else known.get("bytes")
    given = known.get("path") or ""
    if data:
        stem = os.path.splitext(path)[0]
        name = "_".join(filter(None, [f"{number:08d}", os.path.basename(given)]))
        return Embedded(os.path.join(stem, name), path, lambda: data)
    return given if known else value


def _batches(path: str) -> Iterator[tuple[Any, str]]:
    """Yields the record batches of a file, small ones, and the name of the column to read."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{path} needs pyarrow, which is not installed: "
            f"run `pip install 'grounding_sdk[tables]'`"
        ) from error
    try:
        if path.endswith(".parquet"):
            with parquet.ParquetFile(path) as file:
                column = _column(file.schema_arrow.names, path)
                for batch in file.iter_batches(batch_size=32, columns=[column]):
                    yield batch, column
        else:
            with arrow.memory_map(path) as source, arrow.ipc.open_stream(source) as stream:
                column = _column(stream.schema.names, path)
                for batch in stream:
                    yield batch, column
    except arrow.ArrowException as error:
        raise LabelingError(f"cannot read {path}: {error}") from error


def _column(names: Iterable[str], path: str) -> str:
    found = {name.strip().lower(): name for name in names if name}
    for column in COLUMNS:
        if column in found:
            return found[column]
    raise LabelingError(
        f"{path} has the columns {list(found.values())}: expected one called {', '.join(COLUMNS)}"
    )
