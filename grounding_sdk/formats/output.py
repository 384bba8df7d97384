"""Files of an export: always inside of its folder, and never half of one."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TextIO, TypeAlias

from grounding_sdk.files import write_file
from grounding_sdk.formats.annotated import Annotated
from grounding_sdk.formats.errors import FormatError

Add: TypeAlias = Callable[[Annotated], object]  # takes one row


def safe_name(name: str) -> PurePosixPath:
    """Returns the file name of a row as a path that stays where it is put.

    Raises:
        FormatError: If it is empty or absolute, climbs with "..", or holds a backslash, a drive or
            a character that is no text.

    >>> safe_name("day 1/café.jpg").parts
    ('day 1', 'café.jpg')
    """
    path = PurePosixPath(name)
    odd = re.search(r"[\x00-\x1f\x7f\ud800-\udfff\\]|^[A-Za-z]:", name)
    if odd or path.is_absolute() or ".." in path.parts or not path.name:
        raise FormatError(
            f"{name!r} cannot be a file of the dataset: expected a relative path with forward "
            f"slashes and without '..'. Give the row another file_name"
        )
    return path


def clean_name(name: str) -> str:
    r"""Turns a picture's path as a file states it into a relative one, which `safe_name` admits.

    Raises:
        FormatError: If nothing is left.

    >>> clean_name(r"C:\pictures\..\a b.jpg"), clean_name("/data/../a.jpg")
    ('pictures/a b.jpg', 'data/a.jpg')
    """
    plain = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]|^[A-Za-z]:", "", str(name))
    parts = [part for part in re.split(r"[\\/]", plain) if part not in ("", ".", "..")]
    if not parts:
        raise FormatError(f"expected the file name of a picture, got {name!r}")
    return str(safe_name("/".join(parts)))


class Folder:
    """The folder that an export goes to, made if need be.

    Raises:
        FormatError: If there is a file in its place.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if self.root.exists() and not self.root.is_dir():
            raise FormatError(f"{self.root} is a file, expected a folder to write to")
        self.root.mkdir(parents=True, exist_ok=True)
        self._written: set[int] = set()

    def path(self, place: str | PurePosixPath) -> Path:
        """Returns where a file of the export lies; its folders are made.

        Raises:
            FormatError: If that is outside of the folder.
        """
        path = self.root / safe_name(str(place))
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(self.root.resolve()):
            raise FormatError(f"{path} leads out of {self.root} by a link: remove the link")
        return path

    def write(self, place: str | PurePosixPath, content: bytes | str) -> None:
        """Writes a row's own file; one that an earlier export left is replaced.

        Raises:
            FormatError: If the name is not safe, or is that of another row's file.
        """
        self._claim(place)
        write_file(self.path(place), content)

    def picture(self, row: Annotated, place: str | PurePosixPath) -> None:
        """Copies a row's picture to a place in the folder.

        Raises:
            FormatError: If the row does not know where the picture lies, or its name is not safe
                or is that of another picture.
        """
        if not row.source or not os.path.isfile(row.source):
            raise FormatError(
                f"there is no file {row.source!r}, expected the picture {row.file_name!r}: set the "
                f"row's source to its path, or export without pictures"
            )
        safe_name(row.file_name)
        self._claim(place)
        path = self.path(place)
        if not (path.exists() and path.samefile(row.source)):
            with replacing(path) as part:
                shutil.copyfile(row.source, part)

    def _claim(self, place: str | PurePosixPath) -> None:
        key = hash(os.path.normcase(place))  # 8 bytes for each of perhaps a million names
        if key in self._written:
            raise FormatError(
                f"two pictures would both be written to {place}: expected names that differ, and "
                f"by more than the suffix where a format drops it. Rename one"
            )
        self._written.add(key)


class Splits:
    """What is written for each split: opened when its first row comes, finished at the end.

    Where there are no rows at all, the dataset without splits is opened and stays empty.
    """

    def __init__(self, open_split: Callable[[str], AbstractContextManager[Add]]) -> None:
        self._open = open_split
        self._adders: dict[str, Add] = {}
        self._stack = ExitStack()

    def add(self, row: Annotated) -> None:
        """Writes a row to its split."""
        self._adder(row.split)(row)

    def _adder(self, split: str) -> Add:
        if split not in self._adders:
            self._adders[split] = self._stack.enter_context(self._open(split))
        return self._adders[split]

    def __enter__(self) -> Splits:
        return self

    def __exit__(self, *error: Any) -> bool | None:
        if error[0] is None and not self._adders:
            self._adder("")
        return self._stack.__exit__(*error)


@contextmanager
def streamed(path: Path) -> Iterator[TextIO]:
    """Opens a text file (UTF-8) that comes to its place when all is written, else is gone."""
    with replacing(path) as part, open(part, "w", encoding="utf-8", newline="\n") as file:
        yield file


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside another, which what is written there replaces in the end."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def spooled(folder: Path) -> Iterator[TextIO]:
    """Opens a nameless text file in a folder: for what comes early and must be written late."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder) as file:
        yield file


def pour(spool: TextIO, into: TextIO) -> None:
    """Copies all that was written to a spool."""
    spool.seek(0)
    shutil.copyfileobj(spool, into)


class JsonItems:
    """Writes the items of a JSON list, each on a line of its own."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self.count = 0

    def add(self, item: Any) -> None:
        """Writes an item."""
        self._write(f"{',' * bool(self.count)}\n{dumps(item)}")
        self.count += 1


def split_name(name: str, split: str) -> str:
    """Returns the name of a split's file.

    >>> split_name("annotations.json", ""), split_name("annotations.json", "val")
    ('annotations.json', 'annotations_val.json')
    """
    path = PurePosixPath(name)
    return f"{path.stem}_{split}{path.suffix}" if split else name


def split_files(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    """Yields the files of a dataset and the split of each.

    Args:
        path: The file itself, or its folder.
        name: What the file without splits is called there.

    Raises:
        FormatError: If there is none.
    """
    path, pattern = Path(path), PurePosixPath(name)
    if path.is_file():
        yield path, ""
        return
    found = [path / name] if (path / name).is_file() else []
    found += sorted(path.glob(f"{pattern.stem}_*{pattern.suffix}"))
    if not found:
        raise FormatError(f"there is no {name} in {path}: name the file, or the folder it is in")
    for file in found:
        yield file, file.stem[len(pattern.stem) + 1 :]


def split_path(place: PurePath) -> tuple[str, str]:
    """Tells the split and the name of a path in a dataset whose splits are folders.

    >>> split_path(PurePosixPath("val/a/1.jpg")), split_path(PurePosixPath("a/1.jpg"))
    (('val', 'a/1.jpg'), ('', 'a/1.jpg'))
    """
    first, *rest = place.parts
    if rest and first in ("train", "val", "test"):
        return first, "/".join(rest)
    return "", place.as_posix()


def dumps(value: Any) -> str:
    """Returns a value as JSON on one line, names in their own script."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def load_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        FormatError: If it is missing or no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"cannot read {path} as JSON: {error}") from error


def read_text(path: Path) -> str:
    """Reads a text file in UTF-8.

    Raises:
        FormatError: If it is missing or something else.
    """
    try:
        return Path(path).read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read {path}: {error}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns the errors of a file with unexpected content into one that names it."""
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(
            f"{path} is not in the format expected: {type(error).__name__}: {error}"
        ) from error
