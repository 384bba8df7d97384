"""What detection is judged by: COCO annotations, their pictures, and results made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pycocotools import mask as rle

from grounding_sdk.errors import ImageNotFoundError
from grounding_sdk.evaluation.annotations import (
    AnnotationsError,
    AnnotationsLike,
    entries,
    load_annotations,
    xyxy,
)

Result = dict[str, Any]  # as COCO has it: image_id, category_id, bbox, score, segmentation


def read_truth(annotations: AnnotationsLike, limit: int | None = None) -> dict[str, Any]:
    """The lists that are needed of COCO JSON, of the first `limit` pictures.

    Raises:
        AnnotationsError: If something is missing or there is no picture.
    """
    if limit is not None and limit < 1:
        raise AnnotationsError(f"expected a limit of 1 or more, got {limit}")
    data = load_annotations(annotations)
    images = list(entries(data, "images", "id", "file_name"))[:limit]
    kept = {image["id"] for image in images}
    categories = list(entries(data, "categories", "id", "name"))
    objects: list[dict[str, Any]] = []
    for entry in entries(data, "annotations", "image_id", "category_id", "bbox"):
        if entry["image_id"] in kept:
            x0, y0, x1, y1 = xyxy(entry)
            area = entry.get("area", (x1 - x0) * (y1 - y0))
            filled = {"iscrowd": 0, **entry, "area": area, "id": len(objects) + 1}
            objects.append(filled)
    if not images or not categories:
        raise AnnotationsError("expected images and categories in the annotations, found none")
    return {"images": images, "categories": categories, "annotations": objects}


def read_results(
    results: Sequence[Mapping[str, Any]] | str | Path, truth: Mapping[str, Any]
) -> list[Result]:
    """Results in COCO's format, checked against the annotations that they are for.

    Args:
        results: A list, or the path of a JSON file that holds one; a box that is missing is that
            of the mask.
        truth: From `read_truth`.

    Raises:
        AnnotationsError: If something is missing or unknown.
    """
    listed = _load_results(results) if isinstance(results, str | Path) else list(results)
    listed = [_with_box(result) for result in listed]
    needed = ("image_id", "category_id", "score", "bbox")
    read = [dict(result) for result in entries({"results": listed}, "results", *needed)]
    for key, there in (("image_id", truth["images"]), ("category_id", truth["categories"])):
        unknown = {r[key] for r in read} - {entry["id"] for entry in there}
        if unknown:
            raise AnnotationsError(
                f"the results have {key} {min(unknown)!r}, which the annotations do not have: "
                f"are these the annotations that the results are for?"
            )
    for result in read:
        xyxy(result)
    return read


def find_pictures(folder: str | Path, images: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Where each picture is.

    Raises:
        ImageNotFoundError: If one is missing: a figure over fewer pictures would mislead.
    """
    folder = Path(folder)
    paths, missing = [], []
    for entry in images:
        name = str(entry["file_name"])
        places = (folder / name, folder / "images" / name, folder / Path(name).name)
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            missing.append(name)
        else:
            paths.append(path)
    if missing:
        raise ImageNotFoundError(
            f"{len(missing)} of {len(images)} annotated pictures are not in {folder}, such as "
            f"{missing[0]!r}: expected them there or in its folder 'images'"
        )
    return paths


def _with_box(result: Any) -> Any:
    """A result; where it has a mask alone, with the mask's box."""
    if not isinstance(result, Mapping) or result.get("bbox") or not result.get("segmentation"):
        return result
    try:
        return {**result, "bbox": rle.toBbox(result["segmentation"]).tolist()}
    except (TypeError, ValueError, KeyError) as error:
        raise AnnotationsError(
            f"expected the segmentation of a result as compressed RLE, got {error}"
        ) from error


def _load_results(path: str | Path) -> list[Any]:
    try:
        data = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise AnnotationsError(f"cannot read the results {path}: {error.strerror}") from error
    except ValueError as error:
        raise AnnotationsError(f"{path} is no JSON: {error}") from error
    if isinstance(data, dict):  # the annotations that this package writes have scores, too
        data = data.get("annotations")
    if not isinstance(data, list):
        raise AnnotationsError(f"expected {path} to hold a list of results, as COCO has them")
    return data
