"""COCO, as `pycocotools` and annotation tools read it.

Ids count from 1. Scores come with the annotations, so that the list of them also serves as COCO's
results format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from grounding_sdk.formats.annotated import (
    Annotated,
    ClassIds,
    Dataset,
    Object,
)
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.groundings import annotated, source_name
from grounding_sdk.formats.output import (
    Add,
    Folder,
    JsonItems,
    Splits,
    clean_name,
    dumps,
    load_json,
    pour,
    reading,
    split_files,
    split_name,
    spooled,
    streamed,
)
from grounding_sdk.formats.polygons import outlined
from grounding_sdk.formats.rle import rle_mask, rle_of
from grounding_sdk.grounding import Grounding

NAME = "annotations.json"
_INFO = {"description": "Made by grounding_sdk"}


def write_coco(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
) -> None:
    """Writes `annotations.json` (`annotations_<split>.json`) while the rows come.

    Annotations have `bbox` [x, y, width, height], `area` (pixels of the mask, or of the box where
    there is no mask), `segmentation` (compressed RLE, where there is a mask), `iscrowd`, and where
    there are any, `score`, `mask_score` and `phrase`.

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
        with streamed(out.path(split_name(NAME, split))) as file, spooled(out.root) as spool:
            file.write(f'{{"info": {dumps(_INFO)}, "licenses": [],\n"images": [')
            images, annotations = JsonItems(file.write), JsonItems(spool.write)
            yield _adder(images, annotations, ids)
            file.write('],\n"annotations": [')
            pour(spool, file)
            file.write('],\n"categories": [')
            categories = JsonItems(file.write)
            for category in _categories(ids):
                categories.add(category)
            file.write("]}\n")

    with Splits(opened) as splits:
        for row in rows:
            splits.add(row)
            if pictures:
                out.picture(row, f"images/{row.file_name}")


def write_coco_results(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
    truth: str | Path | None = None,
) -> None:
    """Writes `results.json`: the detections alone, as `COCO.loadRes` takes them.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; in the order in which they are met unless given.
        pictures: Whether to copy the pictures to `images/`.
        truth: The COCO file whose picture and category ids to use; names must agree. Without it,
            ids are those of `write_coco` for the same rows without splits.

    Raises:
        FormatError: If an object has no score, or a name is not in `truth`.
    """
    out, ids = Folder(folder), ClassIds(labels)
    image_ids: dict[str, int] | None = None
    category_ids: Callable[[str], int] = lambda label: ids[label] + 1  # noqa: E731
    if truth is not None:
        data = load_json(Path(truth))
        with reading(Path(truth)):
            image_ids = {clean_name(image["file_name"]): image["id"] for image in data["images"]}
            known = {each["name"]: each["id"] for each in data["categories"]}
        category_ids = lambda label: _known(known, label, "category", truth)  # noqa: E731

    with streamed(out.path("results.json")) as file:
        file.write("[")
        results = JsonItems(file.write)
        for number, row in enumerate(rows, 1):
            name = row.file_name
            image_id = number if image_ids is None else _known(image_ids, name, "image", truth)
            for each in row.objects:
                if each.score is None:
                    raise FormatError(
                        f"a {each.label!r} in {name} has no score, expected one for COCO's "
                        f"results: write the format coco"
                    )
                entry = {"image_id": image_id, "category_id": category_ids(each.label)}
                results.add(entry | _annotation(each, row))
            if pictures:
                out.picture(row, f"images/{row.file_name}")
        file.write("]\n")


def read_coco(path: str | Path) -> Dataset:
    """Reads COCO: polygons, both kinds of RLE, crowds, boxes.

    The whole file is in memory while it is read. Labels are in the order of their category ids.

    Args:
        path: The file; or the folder with `annotations.json` or `annotations_<split>.json`.

    Raises:
        FormatError: If something in it is not as expected.
    """
    files = [(file, split, load_json(file)) for file, split in split_files(Path(path), NAME)]
    names: dict[int, str] = {}
    for file, _, data in files:
        with reading(file):
            names |= {int(each["id"]): str(each["name"]) for each in data["categories"]}

    def rows() -> Iterator[Annotated]:
        for file, split, data in files:
            with reading(file):
                of_image: dict[Any, list[dict[str, Any]]] = {i["id"]: [] for i in data["images"]}
                for annotation in data.get("annotations", ()):
                    of_image[annotation["image_id"]].append(annotation)
                for image in data["images"]:
                    size = int(image["height"]), int(image["width"])
                    found = tuple(_object(each, names, size) for each in of_image[image["id"]])
                    name = clean_name(image["file_name"])
                    picture = file.parent / "images" / name
                    source = str(picture) if picture.is_file() else None
                    yield Annotated(name, size, found, split, source)

    return Dataset(rows, tuple(names[key] for key in sorted(names)))


def coco_dict(
    groundings: Iterable[Grounding], *, file_names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Turns results into one COCO dictionary of plain JSON types.

    Args:
        groundings: The results, consumed one by one.
        file_names: `file_name` of each picture; the last part of its path or URL unless given.

    Raises:
        ValueError: If there are fewer or more names than results.
    """
    writer = CocoWriter()
    if file_names is None:
        for grounding in groundings:
            writer.add(grounding)
    else:
        for grounding, name in zip(groundings, file_names, strict=True):
            writer.add(grounding, name)
    return writer.to_dict()


class CocoWriter:
    """Collects results in memory; keeps annotations only, neither pixels nor dense masks.

    Categories are the queries' labels, in order of first appearance; annotations are those of
    `write_coco`.
    """

    def __init__(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._ids = ClassIds()

    def add(self, grounding: Grounding, file_name: str | None = None) -> int:
        """Adds a picture, its query's labels and its objects.

        Returns:
            The picture's `image_id`.
        """
        image_id = len(self._images) + 1
        name = file_name or source_name(grounding.image.source) or f"image_{image_id}"
        for label in grounding.query.labels:
            self._ids[label]
        row = annotated(grounding, name)
        self._images.append(_image(row, image_id))
        for each in row.objects:
            ids = _ids(len(self._annotations) + 1, image_id, self._ids[each.label])
            self._annotations.append(ids | _annotation(each, row))
        return image_id

    def to_dict(self) -> dict[str, Any]:
        """Returns the COCO dictionary of all that was added so far."""
        return {
            "info": dict(_INFO),
            "licenses": [],
            "images": list(self._images),
            "annotations": list(self._annotations),
            "categories": _categories(self._ids),
        }


def _adder(images: JsonItems, annotations: JsonItems, ids: ClassIds) -> Add:
    def add(row: Annotated) -> None:
        images.add(_image(row, images.count + 1))
        for each in row.objects:
            entry = _ids(annotations.count + 1, images.count, ids[each.label])
            annotations.add(entry | _annotation(each, row))

    return add


def _image(row: Annotated, image_id: int) -> dict[str, Any]:
    height, width = row.size
    return {"id": image_id, "file_name": row.file_name, "width": width, "height": height}


def _ids(annotation_id: int, image_id: int, class_id: int) -> dict[str, Any]:
    return {"id": annotation_id, "image_id": image_id, "category_id": class_id + 1}


def _annotation(each: Object, row: Annotated) -> dict[str, Any]:
    x1, y1, x2, y2 = each.box
    # iscrowd is not 1 for holes or several parts, as some write: evaluators ignore such regions.
    annotation: dict[str, Any] = {
        "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
        "area": round((x2 - x1) * (y2 - y1), 3),
        "iscrowd": int(each.iscrowd),
    }
    if each.mask is not None:
        annotation |= {"area": each.mask.area, "segmentation": rle_of(each.mask, row.size)}
    extra = {"score": each.score, "mask_score": each.mask_score, "phrase": each.phrase}
    return annotation | {key: value for key, value in extra.items() if value is not None}


def _categories(ids: ClassIds) -> list[dict[str, Any]]:
    return [{"id": index + 1, "name": label} for label, index in ids.items()]


def _object(entry: dict[str, Any], names: dict[int, str], size: tuple[int, int]) -> Object:
    label = names[entry["category_id"]]
    fields: dict[str, Any] = {
        "score": entry.get("score"),
        "mask_score": entry.get("mask_score"),
        "phrase": entry.get("phrase"),
        "iscrowd": bool(entry.get("iscrowd", 0)),
    }
    shape = entry.get("segmentation")
    if isinstance(shape, dict):
        mask = rle_mask(shape)
        if tuple(shape["size"]) != size:
            raise FormatError(
                f"an RLE has the size {shape['size']}, expected the picture's {list(size)}"
            )
        outline = Object(label, mask.box, mask, **fields)
    elif shape:
        outline = outlined(label, shape, size, **fields)
    else:
        x, y, width, height = entry["bbox"]
        return Object(label, (x, y, x + width, y + height), **fields)
    if "bbox" not in entry:
        return outline
    x, y, width, height = entry["bbox"]
    return replace(outline, box=(x, y, x + width, y + height))


def _known(ids: dict[str, int], name: str, what: str, truth: str | Path | None) -> int:
    if name not in ids:
        raise FormatError(f"{truth} has no {what} {name!r}: the names of both must agree")
    return ids[name]
