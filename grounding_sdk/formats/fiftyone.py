"""FiftyOne: a dataset that `fo.Dataset.from_dir(..., dataset_type=fo.types.FiftyOneDataset)` loads.

    samples.json       the samples; splits are their tags
    metadata.json      the classes
    data/NAME.jpg      the pictures, if they are copied

Detections are in the field `detections`: boxes from 0 to 1 with the masks inside of them.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grounding_sdk.detections import Size
from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Mask, Object
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.output import (
    Folder,
    JsonItems,
    clean_name,
    dumps,
    load_json,
    reading,
    streamed,
)
from grounding_sdk.formats.pictures import picture_size, source_in
from grounding_sdk.formats.rle import check_memory

FIELD = "detections"


def write_fiftyone(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
) -> None:
    """Writes `samples.json` while the rows come, and `metadata.json`.

    The box of an object with a mask is that of its pixels: FiftyOne stretches masks over boxes.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; in the order in which they are met unless given.
        pictures: Whether to copy the pictures to `data/`. Otherwise samples name the rows' sources,
            where these are known.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)
    with streamed(out.path("samples.json")) as file:
        file.write('{"samples": [')
        samples = JsonItems(file.write)
        for row in rows:
            for each in row.objects:
                ids[each.label]
            place = f"data/{row.file_name}"
            here = place if pictures or not row.source else str(Path(row.source).absolute())
            samples.add(_sample(row, here))
            if pictures:
                out.picture(row, place)
        file.write("]}\n")
    # No version in it: the form in which samples are written out, which every FiftyOne reads.
    out.write("metadata.json", dumps({"info": {"default_classes": list(ids)}}))


def read_fiftyone(path: str | Path, *, field: str = FIELD) -> Dataset:
    """Reads what `write_fiftyone` wrote, or another dataset in that form.

    Args:
        path: The folder with `samples.json`.
        field: The samples' field with the detections.

    Raises:
        FormatError: If something in it is not as expected.
    """
    folder = Path(path)
    file = folder / "samples.json"

    def rows() -> Iterator[Annotated]:
        samples = load_json(file)
        with reading(file):
            for sample in samples["samples"]:
                place = sample["filepath"]
                name = clean_name(sample.get("file_name") or place.removeprefix("data/"))
                source = source_in(folder, name=place)
                known = sample.get("metadata") or {}
                if "height" in known:
                    size = int(known["height"]), int(known["width"])
                else:
                    size = picture_size(source or place)
                entries = (sample.get(field) or {}).get("detections", ())
                tags = sample.get("tags") or [""]
                found = tuple(_object(entry, size) for entry in entries)
                yield Annotated(name, size, found, tags[0], source)

    metadata = folder / "metadata.json"
    info = load_json(metadata).get("info") or {} if metadata.is_file() else {}
    return Dataset(rows, tuple(info.get("default_classes") or ()))


def fiftyone_detection(each: Object, size: Size) -> dict[str, Any]:
    """Returns an object as the fields of `fiftyone.Detection`, for `Detection.from_dict`.

    >>> fiftyone_detection(Object("dog", (1, 0, 3, 2), score=0.5), (4, 4))["bounding_box"]
    [0.25, 0.0, 0.5, 0.5]
    """
    height, width = size
    filled = each.mask if each.has_pixels else None
    x1, y1, x2, y2 = each.box if filled is None else filled.box
    detection: dict[str, Any] = {
        "_cls": "Detection",
        "label": each.label,
        "bounding_box": [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height],
        "confidence": each.score,
        "mask_score": each.mask_score,
        "phrase": each.phrase,
        "iscrowd": int(each.iscrowd),
    }
    if filled is not None:
        detection["mask"] = {"$binary": {"base64": _packed(filled.crop), "subType": "00"}}
    return {key: value for key, value in detection.items() if value is not None}


def _sample(row: Annotated, filepath: str) -> dict[str, Any]:
    height, width = row.size
    found = [fiftyone_detection(each, row.size) for each in row.objects]
    return {
        "filepath": filepath,
        "file_name": row.file_name,
        "tags": [row.split] if row.split else [],
        "metadata": {"_cls": "ImageMetadata", "width": width, "height": height},
        FIELD: {"_cls": "Detections", "detections": found},
    }


def _packed(crop: np.ndarray) -> str:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(crop), allow_pickle=False)
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode("ascii")


def _unpacked(text: str, most: int) -> np.ndarray:
    """Decodes a mask of at most so many bytes."""
    unzip = zlib.decompressobj()
    content = unzip.decompress(base64.b64decode(text), most + 1000)  # some for numpy's header
    if unzip.unconsumed_tail:
        raise FormatError(f"a mask unpacks to more than {most} bytes, the size of its picture")
    return np.load(io.BytesIO(content), allow_pickle=False)


def _object(entry: dict[str, Any], size: Size) -> Object:
    height, width = size
    x, y, w, h = entry["bounding_box"]
    box = (x * width, y * height, (x + w) * width, (y + h) * height)
    fields: dict[str, Any] = {key: entry.get(key) for key in ("mask_score", "phrase")}
    fields |= {"score": entry.get("confidence"), "iscrowd": bool(entry.get("iscrowd"))}
    packed = entry.get("mask")
    if not packed:
        return Object(str(entry["label"]), box, None, **fields)
    text = packed["$binary"]["base64"] if isinstance(packed, dict) else packed
    crop = _unpacked(text, 8 * height * width) > 0
    x1, y1, x2, y2 = (round(value) for value in box)
    check_memory(y2 - y1, x2 - x1)
    if crop.shape != (y2 - y1, x2 - x1):  # FiftyOne stretches masks over their boxes
        rows = np.arange(max(y2 - y1, 1)) * crop.shape[0] // max(y2 - y1, 1)
        crop = crop[rows][:, np.arange(max(x2 - x1, 1)) * crop.shape[1] // max(x2 - x1, 1)]
    return Object(str(entry["label"]), box, Mask(crop, x1, y1), **fields)
