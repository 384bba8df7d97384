"""The images of a dataset, one by one, from whatever lists them.

`find_items` takes a folder, a pattern, a list or table of paths, a COCO file, a saved Hugging Face
dataset or a video. Items are made while they are asked for and hold no pixels; a folder's come in
the order of their names.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grounding_sdk.errors import GroundingError, ImageError
from grounding_sdk.formats.output import clean_name
from grounding_sdk.image import Image
from grounding_sdk.labeling import tables, video
from grounding_sdk.labeling.errors import LabelingError
from grounding_sdk.sources import SUFFIXES

_ODD = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\\]|(?<=^[A-Za-z]):")


@dataclass(frozen=True)
class Item:
    """An image of a dataset, not read yet.

    Attributes:
        name: In the dataset: a relative path with forward slashes; "clip.mp4#000120" for a frame.
        source: Path or URL of the picture; of the file it is in, with "#" and its number there.
        file: The file whose size and time tell whether it is still the same; None for a URL.
        content: Gives what is no file of its own: the bytes of a picture file, or RGB uint8
            (H, W, 3). To be called before the next item is asked for.
        error: Why there is no picture, where that is known already.
    """

    name: str
    source: str
    file: str | None = None
    content: Callable[[], bytes | np.ndarray] | None = None
    error: str | None = None

    def stamp(self) -> str:
        """Returns size and time of the file; "" where there is none."""
        try:
            found = os.stat(self.file or "")
        except (OSError, ValueError):
            return ""
        return f"{found.st_size}-{found.st_mtime_ns}"


@dataclass(frozen=True)
class Items:
    """The images of a source. Iterating over them starts anew each time.

    Attributes:
        begin: Starts iterating.
        count: Tells how many there are; None where only reading all would tell.
    """

    begin: Callable[[], Iterator[Item]]
    count: Callable[[], int | None]

    def __iter__(self) -> Iterator[Item]:
        return self.begin()


def find_items(source: Any, *, every: int = 1, root: str | Path | None = None) -> Items:
    """Finds the images that a source stands for.

    Args:
        source: One of these.

            - A folder: the picture files in it and below it; hidden ones are left out.
            - A pattern such as "photos/**/*.jpg".
            - A list (.txt) with a path or URL on each line.
            - A table (.csv, .tsv, .jsonl, .parquet) with a column of paths, or a COCO file (.json).
            - A Hugging Face dataset: a folder as `save_to_disk` wrote it, with .parquet files, or
              with pictures.
            - A video, of which every n-th frame is taken.
            - A picture, or an iterable of paths, URLs and `Item`s.
        every: Takes every n-th frame of a video.
        root: The folder that paths in a list or table are relative to; its own folder unless given.

    Raises:
        LabelingError: If there is no such source, or its kind is not known.
        MissingExtraError: If it needs pyarrow, which is not installed.
    """
    if every < 1:
        raise LabelingError(f"expected every n-th frame with n from 1, got {every}")
    if isinstance(source, str) and _is_url(source):
        return _counted(lambda: iter([_url_item(source)]))
    if not isinstance(source, str | os.PathLike):
        if not isinstance(source, Iterable):
            raise LabelingError(f"expected a path or an iterable, got {type(source).__name__}")
        begin = lambda: _given(source, every)  # noqa: E731
        return Items(begin, lambda: None) if isinstance(source, Iterator) else _counted(begin)
    path = os.path.abspath(os.fspath(source))
    if os.path.isdir(path):
        if tables.is_saved_dataset(path):
            return _counted(lambda: _table(path, root, every))
        return _counted(lambda: _walk(path, "", ()))
    if glob.has_magic(path) and not os.path.exists(path):
        return _counted(lambda: _matches(path, every))
    if not os.path.exists(path):
        raise LabelingError(
            f"there is no {source} (looked from {os.getcwd()}): expected a folder, a pattern, a "
            f"list or table of paths, a COCO file or a video"
        )
    suffix = os.path.splitext(path)[1].lower()
    if _is_video(path):
        return Items(
            lambda: _named(os.path.basename(path), path, every),
            lambda: video.frame_count(path, every),
        )
    if suffix == ".json":
        return _counted(lambda: _coco(path, root))
    if suffix == ".txt" or suffix in tables.SUFFIXES:
        return _counted(lambda: _table(path, root, every))
    return _counted(lambda: _named(os.path.basename(path), path, every))


def item_name(path: str) -> str:
    r"""Makes the name of an item of a relative path; what no dataset's name may have is escaped.

    >>> item_name("./a b/ü.jpg"), item_name("a\nb\\c.jpg")
    ('a b/ü.jpg', 'a%0Ab%5Cc.jpg')
    """
    return clean_name(_escaped(path))


def load_source(source: str) -> Image:
    """Loads the picture of a row's `source`: a path, a URL, or a frame of a video.

    Raises:
        ImageError: If it cannot be read.
    """
    path, _, number = source.rpartition("#")
    if not os.path.exists(source) and number.isdigit() and _is_video(path):
        return Image(video.frame(path, int(number)), source)
    return Image.load(source)


def _escaped(path: str) -> str:
    return _ODD.sub(lambda odd: f"%{ord(odd.group()) & 0xFF:02X}", path)


def _counted(begin: Callable[[], Iterator[Item]]) -> Items:
    return Items(begin, lambda: sum(1 for _ in begin()))


def _named(name: str, path: str, every: int) -> Iterator[Item]:
    """Yields a picture, or the frames of a video."""
    name = item_name(name)
    if not _is_video(path):
        yield Item(name, path, path)
        return
    try:
        for number, pixels in video.frames(path, every):
            yield Item(f"{name}#{number:06d}", f"{path}#{number:06d}", path, pixels)
    except ImageError as error:
        yield Item(name, path, path, error=str(error))


def _walk(folder: str, place: str, above: tuple[tuple[int, int], ...]) -> Iterator[Item]:
    """Yields the pictures in a folder and below it, in the order of their relative paths."""
    try:
        found = os.stat(folder)
        here = (found.st_dev, found.st_ino)
        if here in above:  # a link to a folder that it is in
            return
        with os.scandir(folder) as entries:
            shown = (entry for entry in entries if not entry.name.startswith("."))
            names = sorted(entry.name + "/" * entry.is_dir() for entry in shown)
    except OSError as error:
        yield Item(
            _escaped(place.rstrip("/") or os.path.basename(folder)),
            folder,
            error=f"cannot list it: {error.strerror}",
        )
        return
    for name in names:
        empty, plain = True, name.rstrip("/")
        path = f"{folder}/{plain}"
        if plain != name:
            for item in _walk(path, place + name, (*above, here)):
                empty = False
                yield item
        if empty and _is_picture(plain):
            yield Item(_escaped(place + plain), path, path)


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in video.SUFFIXES


def _matches(pattern: str, every: int) -> Iterator[Item]:
    parts = Path(pattern).parts
    plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    base = os.path.join(*parts[:plain])
    for path in sorted(glob.iglob(pattern, recursive=True)):
        if not os.path.isdir(path) or _is_picture(path):
            yield from _named(os.path.relpath(path, base), path, every)


def _given(sources: Iterable[Any], every: int) -> Iterator[Item]:
    for source in sources:
        if isinstance(source, Item):
            yield source
        elif isinstance(source, str | os.PathLike):
            yield from _listed(os.fspath(source), os.getcwd(), every)
        else:
            raise LabelingError(f"expected paths, URLs or Items, got {type(source).__name__}")


def _listed(text: str, root: str, every: int) -> Iterator[Item]:
    """Yields what a path or URL in a list stands for."""
    if _is_url(text):
        yield _url_item(text)
        return
    path = os.path.abspath(os.path.join(root, os.path.expanduser(text)))
    inside = os.path.relpath(path, root)
    yield from _named(path if inside.startswith("..") else inside, path, every)


def _table(path: str, root: str | Path | None, every: int) -> Iterator[Item]:
    base = os.path.abspath(root or (path if os.path.isdir(path) else os.path.dirname(path)))
    for number, value in tables.pictures(path):
        if isinstance(value, tables.Embedded):
            name = item_name(os.path.relpath(value.name, base))
            yield Item(name, f"{value.file}#{number}", value.file, value.content)
        elif value:
            yield from _listed(value, base, every)
        else:
            row = f"{os.path.basename(path)}#{number}"
            yield Item(item_name(row), f"{path}#{number}", path, error="the row names no picture")


def _coco(path: str, root: str | Path | None) -> Iterator[Item]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            names = [str(image["file_name"]) for image in json.load(file)["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelingError(
            f"expected a COCO file with 'images', each with its 'file_name', in {path}: "
            f"{type(error).__name__}: {error}"
        ) from error
    folder = os.path.dirname(path)
    places = [os.path.abspath(root)] if root else [folder, os.path.join(folder, "images")]
    for name in names:
        if _is_url(name):
            yield _url_item(name)
            continue
        paths = [os.path.join(place, name) for place in places]
        found = next((each for each in paths if os.path.exists(each)), paths[0])
        try:
            yield Item(clean_name(name), found, found)  # as the readers of annotations have it
        except GroundingError as error:
            yield Item(item_name(f"image {name!r}"), found, error=str(error))


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _url_item(url: str) -> Item:
    return Item(item_name(url.partition("://")[2]), url)
