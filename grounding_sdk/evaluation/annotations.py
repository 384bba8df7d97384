"""Reading COCO JSON for evaluation, with errors that say what is missing where."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from grounding_sdk.errors import GroundingError

AnnotationsLike: TypeAlias = Mapping[str, Any] | str | Path
Box: TypeAlias = tuple[float, float, float, float]  # xyxy in pixels


class AnnotationsError(GroundingError, ValueError):
    """Annotations that cannot be read or lack what is needed of them."""


def load_annotations(annotations: AnnotationsLike) -> Mapping[str, Any]:
    """Reads a COCO JSON file; a mapping that was read already is returned as it is.

    Raises:
        AnnotationsError: If the file cannot be read or is no JSON object.
    """
    if isinstance(annotations, Mapping):
        return annotations
    try:
        data = json.loads(Path(annotations).read_bytes())
    except OSError as error:
        raise AnnotationsError(
            f"cannot read the annotations {annotations}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise AnnotationsError(f"{annotations} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise AnnotationsError(
            f"expected {annotations} to hold a JSON object as COCO has it, got a "
            f"{type(data).__name__}"
        )
    return data


def entries(data: Mapping[str, Any], key: str, *fields: str) -> Iterator[Mapping[str, Any]]:
    """Yields the entries of one of the lists, each with the fields that are needed.

    Raises:
        AnnotationsError: If the list or a field of an entry is missing.
    """
    found = data.get(key)
    if not isinstance(found, list):
        raise AnnotationsError(
            f"expected a list under {key!r} in the annotations, got {_named(found)}; "
            f"there are {', '.join(map(repr, data)) or 'no keys'}"
        )
    for index, entry in enumerate(found):
        if not isinstance(entry, Mapping):
            raise AnnotationsError(f"expected {key}[{index}] as an object, got {_named(entry)}")
        for field in fields:
            if field not in entry:
                raise AnnotationsError(f"{key}[{index}] has no {field!r}: {_short(entry)}")
        yield entry


def xyxy(entry: Mapping[str, Any]) -> Box:
    """Returns the corners of an entry's `bbox`, which COCO has as x, y, width, height.

    Raises:
        AnnotationsError: If it is no box with an area.

    >>> xyxy({"bbox": [10, 20, 30, 40]})
    (10.0, 20.0, 40.0, 60.0)
    """
    box = entry.get("bbox")
    try:
        x, y, width, height = (float(value) for value in box)  # type: ignore[union-attr]
    except (TypeError, ValueError):
        raise AnnotationsError(
            f"expected 'bbox' as [x, y, width, height], got {_short(box)} in {_short(entry)}"
        ) from None
    if not (all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0):
        raise AnnotationsError(f"'bbox' {_short(box)} has no area in {_short(entry)}")
    return x, y, x + width, y + height


def _named(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:160]}..."
