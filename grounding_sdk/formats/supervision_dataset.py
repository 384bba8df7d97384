"""`supervision.DetectionDataset`, in memory, from rows and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv

from grounding_sdk.detections import mask_crop
from grounding_sdk.formats.annotated import (
    Annotated,
    ClassIds,
    Dataset,
    Mask,
    Object,
    to_detections,
)
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.pictures import picture_size


def to_supervision(rows: Iterable[Annotated], labels: Sequence[str] = ()) -> sv.DetectionDataset:
    """Makes a dataset of rows whose pictures are on this machine.

    Args:
        rows: The pictures; their `source` is where they lie.
        labels: All labels; in the order in which they are met unless given.

    Returns:
        The dataset; all annotations are in memory, masks compact, pictures read when asked for.

    Raises:
        FormatError: If a row has no source, or two have the same.
    """
    ids = ClassIds(labels)
    annotations: dict[str, sv.Detections] = {}
    for row in rows:
        if row.source is None or row.source in annotations:
            raise FormatError(
                f"{row.file_name!r} has the source {row.source!r}, expected the path of a picture "
                f"that no other row has: set the rows' sources"
            )
        for each in row.objects:
            ids[each.label]
        annotations[row.source] = to_detections(row, list(ids))
    return sv.DetectionDataset(list(ids), list(annotations), annotations)


def from_supervision(dataset: sv.DetectionDataset) -> Dataset:
    """Makes rows of a dataset, named by the last part of their paths.

    Raises:
        FormatError: If the size of a picture cannot be told, when its row is asked for.
    """

    def rows() -> Iterator[Annotated]:
        for path in dataset.image_paths:
            found: Any = dataset.annotations[path]
            size = picture_size(path) if found.mask is None else found.mask.shape[1:]
            objects = tuple(_object(found, index, dataset.classes) for index in range(len(found)))
            yield Annotated(Path(path).name, size, objects, source=path)

    return Dataset(rows, tuple(dataset.classes))


def _object(found: Any, index: int, labels: Sequence[str]) -> Object:
    x1, y1, x2, y2 = np.asarray(found.xyxy[index], float).tolist()
    score = None if found.confidence is None else float(found.confidence[index])
    crowd = found.data.get("iscrowd")
    mask = None if found.mask is None else Mask(*mask_crop(found.mask, index))
    return Object(
        labels[int(found.class_id[index])],
        (x1, y1, x2, y2),
        mask if mask is not None and mask.crop.size else None,
        score=score,
        iscrowd=crowd is not None and bool(crowd[index]),
    )
