"""Semantic maps: a PNG for each picture whose values are classes.

    maps/[SPLIT/]NAME.png      0 is the background, 1 the first label; coloured by a palette
    images/[SPLIT/]NAME.jpg    the pictures, if they are copied
    classes.txt                the labels, line by line from 0, which is `background`

Objects of a label become one; where several labels claim a pixel, the best score has it. Boxes
without a mask and regions marked as crowds leave no trace.
"""

from __future__ import annotations

import glob
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import PIL.Image

from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Mask, Object
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.output import Folder, read_text, reading, safe_name, split_path
from grounding_sdk.viz.palette import class_color

BACKGROUND = "background"


def write_semantic(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
) -> None:
    """Writes a PNG for each picture, and `classes.txt`.

    The PNGs have a palette; those with a class above 255 are 16-bit grey instead.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; in the order in which they are met unless given.
        pictures: Whether to copy the pictures to `images/`.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)
    for row in rows:
        place = PurePosixPath("maps", row.split, safe_name(row.file_name))
        out.write(place.with_suffix(".png"), _png(semantic_map(row, ids)))
        if pictures:
            out.picture(row, PurePosixPath("images", row.split, row.file_name))
    out.write("classes.txt", "".join(f"{label}\n" for label in [BACKGROUND, *ids]))


def read_semantic(path: str | Path) -> Dataset:
    """Reads what `write_semantic` wrote: one object for each label in a picture.

    Without the pictures, file names end in .png: the format does not keep their suffix.

    Args:
        path: The folder with `classes.txt`.

    Raises:
        FormatError: If something in it is not as expected.
    """
    folder = Path(path)
    labels = read_text(folder / "classes.txt").splitlines()

    def rows() -> Iterator[Annotated]:
        for file in sorted((folder / "maps").rglob("*.png")):
            with reading(file):
                classes = _values(file)
                found = [_object(classes, index, labels) for index in np.unique(classes) if index]
            place = file.relative_to(folder / "maps")
            same = (folder / "images" / place.parent).glob(f"{glob.escape(place.stem)}.*")
            source = next((str(each) for each in sorted(same)), None)
            split, name = split_path(place.with_name(Path(source).name) if source else place)
            yield Annotated(name, classes.shape, tuple(found), split, source)

    return Dataset(rows, tuple(labels[1:]))


def semantic_map(row: Annotated, class_ids: Mapping[str, int]) -> np.ndarray:
    """Returns the class of each pixel, (H, W) uint16: 0 where there is none, else its id plus 1.

    >>> dot = Object("dog", (1, 0, 2, 1), Mask(np.ones((1, 1), bool), 1, 0))
    >>> semantic_map(Annotated("a.jpg", (1, 3), (dot,)), {"cat": 0, "dog": 1}).tolist()
    [[0, 2, 0]]
    """
    classes = np.zeros(row.size, np.uint16)
    # The best is painted last; people's marks count as sure, and of equals the first is on top.
    ranked = sorted(row.objects, key=lambda each: -1.0 if each.score is None else -each.score)
    for each in ranked[::-1]:
        if each.mask is not None and not each.iscrowd:
            mask = each.mask
            window = classes[mask.y :, mask.x :][: mask.crop.shape[0], : mask.crop.shape[1]]
            inside = mask.crop[: window.shape[0], : window.shape[1]]
            window[inside] = class_ids[each.label] + 1
    return classes


def _png(classes: np.ndarray) -> bytes:
    if classes.max(initial=0) > 255:
        picture = PIL.Image.fromarray(classes)
    else:
        picture = PIL.Image.fromarray(classes.astype(np.uint8))
        picture.putpalette([0, 0, 0, *(value for i in range(255) for value in class_color(i))])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _values(file: Path) -> np.ndarray:
    try:
        with PIL.Image.open(file, formats=["PNG"]) as picture:
            if picture.mode not in ("P", "L", "1", "I;16"):
                raise FormatError(f"expected a PNG with a palette or of grey, got {picture.mode}")
            return np.asarray(picture).astype(np.uint16)
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise FormatError(f"no picture can be read: {error}") from error


def _object(classes: np.ndarray, index: int, labels: Sequence[str]) -> Object:
    if index >= len(labels):
        raise FormatError(
            f"a pixel has the class {index}, but classes.txt ends at {len(labels) - 1}"
        )
    mask = Mask(classes == index)
    return Object(labels[index], mask.box, mask)
