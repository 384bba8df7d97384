"""Masks as polygons, and back, without losing a pixel.

A mask's polygons run along the edges of its pixels, on whole coordinates: a single pixel is a
square, not a point, and filling the polygons gives the mask back exactly. Contours through the
middles of pixels, as OpenCV's are, lose half a pixel all around and every line one pixel wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import shapely
from pycocotools import mask as coco_mask

from grounding_sdk.detections import Size
from grounding_sdk.formats.annotated import Mask, Object
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.rle import rle_mask

Ring: TypeAlias = np.ndarray  # (n, 2) of x, y; the last point is not the first again
Polygon: TypeAlias = list[Ring]  # the outer ring, then the holes

MAX_LINK_POINTS = 2000  # of all rings that seams are sought between
MAX_OUTLINE = 10_000_000  # pixels; pycocotools takes 80 bytes for each, and crashes without memory


def mask_polygons(mask: Mask, tolerance: float = 0.0) -> list[Polygon]:
    """Returns one polygon for each part of a mask, largest first.

    Pixels that touch at a corner only are separate parts. All polygons are valid as OGC Simple
    Features has it; outer rings run clockwise on the screen, holes the other way.

    Args:
        mask: The mask.
        tolerance: How far, in pixels, the outline may be from the mask's. 0 is exact; 1 needs a
            fraction of the points and is easier to edit by hand.

    >>> mask_polygons(Mask(np.ones((1, 2), bool), 5, 7))[0][0].tolist()
    [[5, 7], [7, 7], [7, 8], [5, 8]]
    """
    if not mask.crop.size:
        return []
    _, parts = cv2.connectedComponents(mask.crop.astype(np.uint8), connectivity=4)
    polygons: dict[int, Polygon] = {}
    holes = []
    for ring in _rings(mask.crop):
        x, y = ring[0]  # its topmost point, and of those the leftmost
        if mask.crop[y, x]:
            polygons[int(parts[y, x])] = [ring]
        else:
            holes.append((int(parts[y - 1, x]), ring))
    for part, ring in holes:
        polygons[part].append(ring)
    corner = np.array([mask.x, mask.y])
    found = [[ring + corner for ring in polygon] for polygon in polygons.values()]
    found.sort(key=lambda polygon: -abs(signed_area(polygon[0])))
    return found if tolerance <= 0 else _simplified(found, tolerance)


def joined(polygons: Sequence[Polygon]) -> Ring:
    """Joins parts and holes to one ring, for formats that know nothing else.

    Rings are linked by seams: lines that are walked there and back, so that they have no area.
    Each seam is about as short as can be. Filled by the even-odd rule, the ring is the same mask.

    >>> dots = [[np.array([[0, 0], [1, 0], [1, 1], [0, 1]])], [np.array([[3, 0], [4, 0], [4, 1]])]]
    >>> joined(dots).tolist()
    [[0, 0], [1, 0], [3, 0], [4, 0], [4, 1], [3, 0], [1, 0], [1, 1], [0, 1]]
    """
    rings = [ring for polygon in polygons for ring in polygon]
    if len(rings) == 1:
        return rings[0]
    points = [ring.tolist() for ring in rings]
    paths: list[list[Any]] = [[] for _ in rings]
    seams = _seams(rings)
    guests: dict[tuple[int, int], list[int]] = {}
    for host, at, guest, _ in seams:
        guests.setdefault((host, at), []).append(guest)
    starts = {guest: start for _, _, guest, start in seams}
    # A ring's guests were linked after it, so that each path is ready when it is needed.
    for index in [*(guest for _, _, guest, _ in reversed(seams)), 0]:
        ring, start = points[index], starts.get(index, 0)
        path = paths[index]
        for at in [*range(start, len(ring)), *range(start)]:
            path.append(ring[at])
            for guest in guests.get((index, at), ()):
                path.extend(paths[guest])
                path.append(ring[at])
        if index:
            path.append(ring[start])
    return np.array(paths[0])


def polygons_mask(rings: Iterable[Any], size: Size) -> Mask:
    """Returns the union of filled rings, as pycocotools rasterises COCO's polygons.

    Args:
        rings: (n, 2) points x, y of each; those of fewer than three points are left out.
        size: (height, width) of the picture; what lies outside is cut off.

    Raises:
        FormatError: If coordinates are not finite, or the outline is longer than any can be.
    """
    height, width = size
    flat, length = [], 0.0
    for ring in rings:
        points = np.asarray(ring, float).reshape(-1, 2)
        length += float(np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum())
        if not (np.isfinite(points).all() and length + np.abs(points).max() <= MAX_OUTLINE):
            raise FormatError(
                f"a polygon reaches to {np.abs(points).max()}, expected pixels of a picture of "
                f"{width} x {height}: check the units"
            )
        if len(points) >= 3:
            flat.append(points.ravel().tolist())
    if not flat or not height or not width:
        return Mask(np.zeros((0, 0), bool))
    return rle_mask(coco_mask.merge(coco_mask.frPyObjects(flat, height, width)))


def outlined(label: str, rings: Sequence[Any], size: Size, **fields: Any) -> Object:
    """Makes an object of its outline: the mask, and the box around it.

    Where the outline is too thin to hold a pixel's middle, the box is that of the points.
    """
    mask = polygons_mask(rings, size)
    if mask.crop.size:
        return Object(label, mask.box, mask, **fields)
    points = np.concatenate([np.asarray(ring, float).reshape(-1, 2) for ring in rings])
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Object(label, (x1, y1, x2, y2), **fields)


def box_ring(box: Sequence[float]) -> Ring:
    """Returns the corners of a box, clockwise on the screen.

    >>> box_ring((0, 1, 2, 3)).tolist()
    [[0, 1], [2, 1], [2, 3], [0, 3]]
    """
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def signed_area(ring: Ring) -> float:
    """Returns a ring's area: positive if it runs clockwise where y points down.

    >>> signed_area(box_ring((0, 0, 2, 3)))
    6.0
    """
    x, y = np.asarray(ring, float).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _rings(crop: np.ndarray) -> list[Ring]:
    """All rings along the pixels' edges, corners only; each starts at its topmost leftmost point.

    The corners of a rectilinear outline, sorted along rows, pair up to its horizontal edges, and
    sorted along columns to its vertical ones; the rings alternate between the two (O'Rourke 1988,
    "Uniqueness of orthogonal connect-the-dots").
    """
    padded = np.pad(crop, 1).astype(np.int8)
    a, b = padded[:-1, :-1], padded[:-1, 1:]  # the pixels around each grid point:  a b
    c, d = padded[1:, :-1], padded[1:, 1:]  #                                      c d
    # Where two pixels meet at a corner only, there are two corners on one point.
    corners = ((a + b + c + d) % 2) + 2 * ((a == d) & (b == c) & (a != b))
    y, x = np.nonzero(corners)
    twice = corners[y, x] == 2
    falling = a[y, x][twice] == 1  # a and d are set, rather than b and c
    y, x = np.repeat(y, 1 + twice), np.repeat(x, 1 + twice)
    first = np.flatnonzero(np.repeat(twice, 1 + twice))[::2]

    # Row by row the points are in order. The first of two corners is that of the upper pixel, which
    # is the left one too if they fall to the right; else the two change places.
    along_rows = np.arange(len(y))
    along_rows[first[~falling]] += 1
    along_rows[first[~falling] + 1] -= 1
    along_columns = np.lexsort([y, x])  # stable: the upper corner stays first
    row_partner, column_partner = np.empty_like(along_rows), np.empty_like(along_rows)
    for order, partner in ((along_rows, row_partner), (along_columns, column_partner)):
        partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]

    rings = []
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    on_row, on_column = row_partner.tolist(), column_partner.tolist()
    walked = [False] * len(points)
    for at, (column, row) in enumerate(points):
        if walked[at]:
            continue
        # The top left corner of a part or of a hole: set off so that the part is on the right.
        one, other = (on_row, on_column) if crop[row, column] else (on_column, on_row)
        path = []
        while not walked[at]:
            path += [points[at], points[one[at]]]
            walked[at] = walked[one[at]] = True
            at = other[one[at]]
        rings += _simple([*path, path[0]])
    return rings


def _simple(path: list[tuple[int, int]]) -> list[Ring]:
    """Cuts a closed path, whose last point is its first, wherever it meets itself."""
    rings = []
    walked: list[tuple[int, int]] = []
    place: dict[tuple[int, int], int] = {}
    for point in path:
        if point in place:
            loop = walked[place[point] :]
            del walked[place[point] :]
            for gone in loop:
                del place[gone]
            ring = np.array(loop)
            rings.append(np.roll(ring, -np.lexsort(ring.T)[0], axis=0))
        place[point] = len(walked)
        walked.append(point)
    return rings


def _seams(rings: Sequence[Ring]) -> list[tuple[int, int, int, int]]:
    """Links all rings, nearest first: (ring linked, its point, ring to link, its point).

    Prim's algorithm over the rings' points, or some of them where there are very many.
    """
    step = -(-sum(map(len, rings)) // MAX_LINK_POINTS)
    points = np.concatenate([ring[::step] for ring in rings]).astype(float)
    owner = np.concatenate([np.full(len(ring[::step]), i) for i, ring in enumerate(rings)])
    at = np.concatenate([np.arange(0, len(ring), step) for ring in rings])
    distance = np.full(len(points), np.inf)
    nearest = np.zeros(len(points), int)
    newest, seams = 0, []
    waiting = owner != 0
    for _ in rings[1:]:
        new, open_ = np.flatnonzero(owner == newest), np.flatnonzero(waiting)
        for chunk in np.array_split(new, -(-len(new) // 256)):
            apart = ((points[open_, None] - points[None, chunk]) ** 2).sum(axis=2)
            closest = apart.argmin(axis=1)
            shorter = apart[np.arange(len(open_)), closest]
            better = shorter < distance[open_]
            distance[open_[better]] = shorter[better]
            nearest[open_[better]] = chunk[closest[better]]
        pick = open_[distance[open_].argmin()]
        newest = int(owner[pick])
        waiting &= owner != newest
        host = nearest[pick]
        seams.append((int(owner[host]), int(at[host]), newest, int(at[pick])))
    return seams


def _simplified(polygons: list[Polygon], tolerance: float) -> list[Polygon]:
    simple = []
    for outer, *holes in polygons:
        shape = shapely.simplify(shapely.Polygon(outer, holes), tolerance)
        rings = [shape.exterior, *shape.interiors]
        kept = [np.array(ring.coords)[:-1] for ring in rings if len(ring.coords) > 3]
        simple.append(kept or [outer])
    return simple
