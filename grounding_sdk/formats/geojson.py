"""GeoJSON (RFC 7946): one FeatureCollection for each picture, `NAME.geojson`.

Coordinates are pixels, y downwards, unless the picture's place on the map is given as an affine
transform; RFC 7946 means longitude and latitude (EPSG:4326), for which the transform must be made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np

from grounding_sdk.formats.annotated import Annotated, ClassIds, Dataset, Object
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.output import (
    Folder,
    clean_name,
    dumps,
    load_json,
    reading,
    safe_name,
    split_path,
)
from grounding_sdk.formats.pictures import source_in
from grounding_sdk.formats.polygons import (
    Ring,
    box_ring,
    joined,
    mask_polygons,
    polygons_mask,
    signed_area,
)

# x = a * column + b * row + c, y = d * column + e * row + f: as rasterio's `dataset.transform[:6]`.
Affine: TypeAlias = tuple[float, float, float, float, float, float]
PIXELS: Affine = (1, 0, 0, 0, 1, 0)


def write_geojson(
    rows: Iterable[Annotated],
    folder: str | Path,
    labels: Sequence[str] = (),
    *,
    pictures: bool = False,
    transform: Callable[[Annotated], Affine] | None = None,
    crs: str | None = None,
    tolerance: float = 0.0,
) -> None:
    """Writes a file for each picture; splits are folders.

    Objects with a mask are (multi-)polygons with holes, others rectangles. Their properties are
    `label`, `score`, `mask_score`, `phrase`, `iscrowd`, and the `box` in pixels.

    Args:
        rows: The pictures, taken one by one.
        folder: Where to.
        labels: All labels; only checked, as the format keeps no list.
        pictures: Whether to copy the pictures beside the files.
        transform: Gives each picture's affine transform from pixels to the map, for example
            `lambda row: rasterio.open(row.source).transform[:6]`.
        crs: The transform's reference system, such as `"EPSG:32633"`, where it is not EPSG:4326.
            It is named as GeoJSON of 2008 did, which GDAL and QGIS read.
        tolerance: How far, in pixels, polygons may be from the masks' outlines.

    Raises:
        FormatError: If a row cannot be written.
    """
    out, ids = Folder(folder), ClassIds(labels)
    for row in rows:
        affine = PIXELS if transform is None else transform(row)
        for each in row.objects:
            ids[each.label]
        height, width = row.size
        content: dict[str, Any] = {
            "type": "FeatureCollection",
            "image": {"file_name": row.file_name, "height": height, "width": width},
            "transform": list(affine),
            "features": [_feature(each, affine, tolerance) for each in row.objects],
        }
        if crs:
            urn = "urn:ogc:def:crs:" + crs.replace(":", "::", 1)
            content["crs"] = {"type": "name", "properties": {"name": urn}}
        place = PurePosixPath(row.split, safe_name(row.file_name))
        out.write(place.with_suffix(".geojson"), dumps(content))
        if pictures:
            out.picture(row, place)


def read_geojson(path: str | Path) -> Dataset:
    """Reads what `write_geojson` wrote: other files do not tell their picture.

    Args:
        path: A folder, read with all below it, or one file.

    Raises:
        FormatError: If something is not as expected.
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(f"there is no folder {path}, expected one with files *.geojson")

    def rows() -> Iterator[Annotated]:
        for file in [path] if path.is_file() else sorted(path.rglob("*.geojson")):
            data = load_json(file)
            with reading(file):
                a, b, c, d, e, f = data["transform"]
                back = np.linalg.inv([[a, b, c], [d, e, f], [0, 0, 1]])
                image = data["image"]
                size = int(image["height"]), int(image["width"])
                found = tuple(_object(feature, back, size) for feature in data["features"])
                name = clean_name(image["file_name"])
            split, _ = split_path(file.relative_to(path.parent if path.is_file() else path))
            source = source_in(file.parent, name=PurePosixPath(name).name)
            yield Annotated(name, size, found, split, source)

    return Dataset(rows)


def _feature(each: Object, affine: Affine, tolerance: float) -> dict[str, Any]:
    x1, y1, x2, y2 = each.box
    polygons = mask_polygons(each.mask, tolerance) if each.mask is not None else []
    geometry = [
        [_closed(ring, affine, hole=index > 0) for index, ring in enumerate(polygon)]
        for polygon in polygons or [[box_ring(each.box)]]
    ]
    one = len(geometry) == 1
    properties = {
        "label": each.label,
        "box": [x1, y1, x2, y2],
        "has_mask": bool(polygons),
        "score": each.score,
        "mask_score": each.mask_score,
        "phrase": each.phrase,
        "iscrowd": each.iscrowd or None,
    }
    return {
        "type": "Feature",
        "properties": {key: value for key, value in properties.items() if value is not None},
        "geometry": {
            "type": "Polygon" if one else "MultiPolygon",
            "coordinates": geometry[0] if one else geometry,
        },
    }


def _closed(ring: Ring, affine: Affine, *, hole: bool) -> list[list[float]]:
    """A ring on the map, closed; outer rings run counterclockwise where y points up."""
    a, b, c, d, e, f = affine
    points = np.asarray(ring @ np.array([[a, d], [b, e]]) + np.array([c, f]))
    if (signed_area(points) > 0) == hole:
        points = points[::-1]
    return [*points.tolist(), points[0].tolist()]


def _object(feature: dict[str, Any], back: np.ndarray, size: tuple[int, int]) -> Object:
    properties, geometry = feature["properties"], feature["geometry"]
    x1, y1, x2, y2 = properties["box"]
    fields: dict[str, Any] = {key: properties.get(key) for key in ("score", "mask_score", "phrase")}
    mask = None
    if properties["has_mask"]:
        one = geometry["type"] == "Polygon"
        polygons = [geometry["coordinates"]] if one else geometry["coordinates"]
        turn, shift = back[:2, :2].T, back[:2, 2]
        pixels = [[np.array(ring)[:-1] @ turn + shift for ring in polygon] for polygon in polygons]
        mask = polygons_mask([joined([polygon]) for polygon in pixels], size)
    fields["iscrowd"] = bool(properties.get("iscrowd"))
    return Object(properties["label"], (x1, y1, x2, y2), mask, **fields)
