import hypothesis.extra.numpy as npst
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from grounding_sdk.formats import FormatError, Mask, joined, mask_polygons, polygons_mask
from grounding_sdk.formats.polygons import signed_area

SIZE = (20, 24)
crops = npst.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
places = st.integers(0, 8)


def shapes(polygons):
    return [shapely.Polygon(outer, holes) for outer, *holes in polygons]


@given(crops, places, places)
def test_polygons_hold_each_pixel_and_nothing_else(crop, x, y):
    mask = Mask(crop, x, y)
    polygons = mask_polygons(mask)
    found = shapes(polygons)
    assert all(shape.is_valid for shape in found)
    assert sum(shape.area for shape in found) == mask.area
    for outer, *holes in polygons:
        assert signed_area(outer) > 0
        assert all(signed_area(hole) < 0 for hole in holes)
    inside = shapely.contains_xy(shapely.MultiPolygon(found), *(np.mgrid[:24, :20] + 0.5))
    assert (mask.dense(SIZE) == inside.T).all()


@given(crops, places, places)
def test_one_ring_with_seams_is_the_same_mask(crop, x, y):
    mask = Mask(crop, x, y)
    polygons = mask_polygons(mask)
    if polygons:
        ring = joined(polygons)
        assert polygons_mask([ring], SIZE) == mask
        assert abs(signed_area(ring)) == mask.area


def test_parts_come_largest_first_and_touching_at_a_corner_they_are_two():
    crop = np.array([[0, 0, 1], [1, 1, 0], [1, 1, 0]], bool)
    first, second = mask_polygons(Mask(crop))
    assert first[0].tolist() == [[0, 1], [2, 1], [2, 3], [0, 3]]
    assert second[0].tolist() == [[2, 0], [3, 0], [3, 1], [2, 1]]


def test_seams_are_short():
    row = np.zeros((1, 9), bool)
    row[0, ::4] = True  # three pixels in a row, gaps of three
    ring = joined(mask_polygons(Mask(row)))
    steps = np.linalg.norm(np.roll(ring, -1, axis=0) - ring, axis=1)
    assert steps.max() == 3


def test_many_specks_are_one_ring_in_reasonable_memory():
    noise = np.random.default_rng(0).random((120, 120)) > 0.7
    mask = Mask(noise)
    assert polygons_mask([joined(mask_polygons(mask))], (120, 120)) == mask


def test_a_tolerance_saves_points_and_keeps_the_parts():
    y, x = np.mgrid[:100, :100]
    disc = (x - 50) ** 2 + (y - 50) ** 2 < 45**2
    disc[48:52, 48:52] = False
    disc[0, 0] = True
    exact, simple = mask_polygons(Mask(disc)), mask_polygons(Mask(disc), 1.0)
    assert [len(polygon) for polygon in simple] == [2, 1]
    assert len(simple[0][0]) < len(exact[0][0]) / 4
    back = polygons_mask([joined(simple)], (100, 100)).dense((100, 100))
    assert (back != disc).sum() < 0.02 * disc.sum()


def test_nothing_has_no_polygons():
    assert mask_polygons(Mask(np.zeros((3, 3), bool))) == []
    assert polygons_mask([], SIZE).area == 0


@given(npst.arrays(float, (5, 2), elements=st.floats(-5, 30)))
def test_rasterises_as_pycocotools_does(points):
    theirs = coco_mask.merge(coco_mask.frPyObjects([points.ravel().tolist()], *SIZE))
    assert (polygons_mask([points], SIZE).dense(SIZE) == coco_mask.decode(theirs)).all()


def test_two_points_are_no_polygon():
    """pycocotools would take four numbers for a box: x, y, width, height."""
    assert polygons_mask([[[1, 1], [5, 5]]], SIZE).area == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_points_that_are_nowhere_are_refused(value):
    with pytest.raises(FormatError, match="check the units"):
        polygons_mask([[[0, 0], [1, value], [2, 2]]], SIZE)


def test_a_polygon_that_would_take_all_memory_is_refused():
    zigzag = np.array([[0, 0], [1000, 1000]] * 10_000)
    with pytest.raises(FormatError, match="check the units"):
        polygons_mask([zigzag], (1000, 1000))
