import resource
from dataclasses import replace

import numpy as np
import pytest
import supervision as sv

from grounding_sdk.detections import compact_masks, detections_from_scores, with_columns
from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image
from grounding_sdk.query import Query
from grounding_sdk.viz import annotate, class_color
from grounding_sdk.viz.annotate import MASK_OPACITY
from grounding_sdk.viz.tint import tint

GREY = 128


def grounded(size, query, boxes, phrase_ids, *, masks=False, scores=None):
    """A result on a grey picture; with `masks`, each is the ellipse in its box."""
    query = Query.of(query)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    table = np.zeros((len(boxes), len(query)))
    table[np.arange(len(boxes)), phrase_ids] = np.linspace(0.9, 0.5, len(boxes))
    if scores is not None:
        table[np.arange(len(boxes)), phrase_ids] = scores
    found = detections_from_scores(size, query, boxes, table, 0.0)
    if masks:
        corners = found.xyxy.astype(int)
        shapes = corners[:, [3, 2]] - corners[:, [1, 0]]
        crops = [ellipse(*shape) for shape in shapes]
        packed = compact_masks(crops, [tuple(corner) for corner in corners[:, :2]], size)
        found = with_columns(found, mask=packed, mask_score=np.ones(len(found)))
    return Grounding(Image(np.full((*size, 3), GREY, np.uint8)), query, found)


def ellipse(height, width):
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return x**2 + y**2 <= 1


def random_boxes(count, size, side=20, seed=0):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, np.array([size[1], size[0]]) - side, (count, 2))
    return np.hstack([corners, corners + side])


def changed(picture, grounding):
    return (picture != grounding.image.pixels).any(axis=2)


DOG = ((200, 300), "dog", [[100, 60, 180, 140]], [0])


def test_pixels_away_from_the_object_stay_as_they_are():
    grounding = grounded(*DOG, masks=True)
    drawn = changed(annotate(grounding), grounding)
    near = np.zeros((200, 300), bool)
    near[60 - 25 : 140 + 3, 100 - 3 : 180 + 3] = True  # box, line width, label above
    assert drawn[near].any()
    assert not drawn[~near].any()


def test_nothing_is_drawn_where_nothing_was_asked_to_be_drawn():
    grounding = grounded(*DOG, masks=True)
    plain = annotate(grounding, boxes=False, masks=False, labels=False, scores=False)
    assert not changed(plain, grounding).any()


def test_the_box_has_the_colour_of_its_class():
    picture = annotate(grounded(*DOG))
    for row, column in [(60, 140), (140, 140), (100, 100), (100, 180)]:
        assert tuple(picture[row, column]) == class_color(0)
    assert (picture[100, 140] == GREY).all()


def test_the_mask_is_tinted_with_the_colour_of_its_class():
    grounding = grounded((100, 200), "cat . dog", [[10, 10, 90, 90]], [1], masks=True)
    picture = annotate(grounding, boxes=False, labels=False, scores=False)
    tint = picture[50, 50].astype(int) - GREY
    color = np.array(class_color(1)) - GREY
    assert np.abs(tint - 0.4 * color).max() <= 1
    assert (picture[12, 12] == GREY).all()  # in the box, outside the ellipse


def test_small_objects_show_on_top_of_large_ones():
    boxes = [[50, 50, 60, 60], [0, 0, 100, 100]]
    grounding = grounded((100, 100), "cat . dog", boxes, [0, 1], masks=True)
    picture = annotate(grounding, boxes=False, labels=False, scores=False)
    red, _, blue = (int(value) for value in picture[55, 55])
    assert blue < GREY < red  # coral, not azure


def test_a_dense_mask_is_drawn_like_a_compact_one():
    grounding = grounded(*DOG, masks=True)
    dense = Grounding(grounding.image, grounding.query, grounding.detections[:])
    dense.detections.mask = grounding.detections.mask.to_dense()
    assert (annotate(dense) == annotate(grounding)).all()


def test_the_label_is_written_above_the_box_on_the_colour_of_its_class():
    grounding = grounded(*DOG)
    picture = annotate(grounding, boxes=False)
    rows, columns = np.nonzero(changed(picture, grounding))
    assert rows.max() < 60
    assert columns.min() == 100
    label = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    of_color = (label == class_color(0)).all(axis=2)
    assert of_color.mean() > 0.5
    assert (label.max(axis=2) < 80).any()  # dark letters


@pytest.mark.parametrize("box", [[0, 0, 40, 40], [260, 0, 300, 30], [250, 170, 300, 200]])
def test_labels_at_the_edge_stay_inside(box):
    grounding = grounded((200, 300), "a rather long label", [box], [0])
    drawn = changed(annotate(grounding, boxes=False), grounding)
    rows, columns = np.nonzero(drawn)
    everywhere = grounded((200, 300), "a rather long label", [[100, 100, 140, 140]], [0])
    other = np.nonzero(changed(annotate(everywhere, boxes=False), everywhere))
    assert np.ptp(rows) == np.ptp(other[0])
    assert np.ptp(columns) == np.ptp(other[1])  # the whole label, only moved


def test_scores_can_be_left_out_and_labels_too():
    grounding = grounded(*DOG)
    widths = []
    for options in ({}, {"scores": False}, {"labels": False}):
        drawn = changed(annotate(grounding, boxes=False, **options), grounding)
        widths.append(np.ptp(np.nonzero(drawn)[1]))
    assert widths[0] > widths[1] > 0
    assert widths[0] > widths[2] > 0


def test_two_phrases_of_one_label_share_its_colour():
    boxes = [[10, 20, 40, 80], [60, 20, 90, 80]]
    query = {"person": "human", "pedestrian": "human", "dog": "dog"}
    picture = annotate(grounded((100, 100), query, boxes, [0, 1]), labels=False, scores=False)
    assert tuple(picture[80, 25]) == tuple(picture[80, 75]) == class_color(0)


def test_colours_can_be_chosen_by_label():
    picture = annotate(grounded(*DOG), colors={"dog": (1, 2, 3)}, labels=False, scores=False)
    assert tuple(picture[140, 140]) == (1, 2, 3)


def test_the_input_is_not_changed():
    grounding = grounded(*DOG, masks=True)
    before = grounding.detections.xyxy.copy()
    annotate(grounding, legend=True, min_side=500)
    assert (grounding.image.pixels == GREY).all()
    assert (grounding.detections.xyxy == before).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5), (40, 60)])
@pytest.mark.parametrize("legend", [True, False, "auto"])
def test_tiny_pictures(size, legend):
    height, width = size
    grounding = grounded(size, "dog . cat", [[0, 0, width, height]] * 3, [0, 1, 0], masks=True)
    picture = annotate(grounding, legend=legend)
    assert picture.dtype == np.uint8
    assert picture.shape[0] >= height
    if not legend:
        assert picture.shape == (*size, 3)


def test_a_small_picture_can_be_enlarged():
    grounding = grounded((40, 60), "dog", [[6, 4, 30, 20]], [0], masks=True)
    picture = annotate(grounding, min_side=400, labels=False, scores=False)
    assert picture.shape == (400, 600, 3)
    assert tuple(picture[200, 180]) == class_color(0)  # the lower edge of the box, ten times as far


def test_a_large_picture_is_not_enlarged():
    grounding = grounded(*DOG)
    assert annotate(grounding, min_side=100).shape == (200, 300, 3)


def test_a_sliver_is_not_blown_up_without_bound():
    grounding = grounded((1, 2000), "dog", [[0, 0, 50, 1]], [0])
    assert annotate(grounding, min_side=400).size < 2_000_000


@pytest.mark.parametrize("masks", [True, False])
def test_nothing_found(masks):
    grounding = grounded((60, 80), "dog", [], [], masks=masks)
    assert not changed(annotate(grounding), grounding).any()


def test_an_empty_mask_draws_nothing():
    grounding = grounded(*DOG)
    empty = compact_masks([np.zeros((0, 0), bool)], [(0, 0)], (200, 300))
    found = with_columns(grounding.detections, mask=empty)
    grounding = Grounding(grounding.image, grounding.query, found)
    picture = annotate(grounding, boxes=False, labels=False, scores=False)
    assert not changed(picture, grounding).any()


def test_a_crowd_leaves_most_of_the_picture_to_see():
    size = (480, 640)
    grounding = grounded(size, "sheep", random_boxes(300, size), [0] * 300)
    labels_only = changed(annotate(grounding, boxes=False), grounding)
    assert 0.01 < labels_only.mean() <= 0.3


def test_lines_get_finer_in_a_crowd_and_wider_on_a_large_picture():
    def line_width(grounding):
        picture = annotate(grounding, labels=False, scores=False)
        middle = int(grounding.detections.xyxy[0, [1, 3]].mean())
        return changed(picture, grounding)[middle].sum() / 2

    def frames(size, count):
        return grounded(size, "dog", [[100, 100, 200, 200]] * count, [0] * count)

    normal = line_width(frames((480, 640), 1))
    assert line_width(frames((480, 640), 200)) < normal < line_width(frames((2400, 3200), 1))


def test_the_legend_goes_below_the_picture():
    grounding = grounded(*DOG)
    picture = annotate(grounding, legend=True)
    assert picture.shape[0] > 200
    assert (picture[:200] == annotate(grounding)).all()
    assert (picture[200:] == class_color(0)).all(axis=2).sum() > 20  # the swatch


@pytest.mark.parametrize(
    ("query", "boxes", "phrase_ids", "wanted"),
    [
        ("dog", [[100, 60, 180, 140]], [0], False),  # all found, all labelled
        ("dog . cat", [[100, 60, 180, 140]], [0], True),  # something not found
        ("dog", [], [], True),  # nothing found
        ("dog", [[100, 60, 110, 70]] * 30, [0] * 30, True),  # no room for all the labels
        ("a dog " + "that barks " * 20, [[100, 60, 180, 140]], [0], True),  # label cut
    ],
)
def test_an_automatic_legend_comes_where_the_picture_does_not_tell_all(
    query, boxes, phrase_ids, wanted
):
    picture = annotate(grounded((200, 300), query, boxes, phrase_ids), legend="auto")
    assert (picture.shape[0] > 200) == wanted


def test_a_long_vocabulary_has_a_short_legend():
    names = [f"thing {i}" for i in range(1203)]
    grounding = grounded((480, 640), names, [[0, 0, 50, 50]], [7])
    assert annotate(grounding, legend=True).shape[0] < 700


@pytest.mark.parametrize(
    "options",
    [{"legend": "yes"}, {"legend": None}, {"min_side": -1}, {"min_side": 0.5}, {"font_size": 0}],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(ConfigError, match="expected"):
        annotate(grounded(*DOG), **options)


def test_many_objects_on_a_large_photo_take_no_dense_masks():
    size = (3000, 4000)
    grounding = grounded(size, "dog", random_boxes(64, size, side=400), [0] * 64, masks=True)
    annotate(grounded(*DOG, masks=True))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    annotate(grounding)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 400  # MB, where dense masks alone would be 768


def crowd(size=(60, 90)):
    """A result with masks that overlap, reach the edges, are empty, lines, and everything."""
    boxes = [[0, 0, 90, 60], [5, 5, 50, 50], [30, 20, 90, 60], [40, 0, 41, 60], [0, 7, 90, 8]]
    boxes += [[89, 59, 90, 60], [10, 10, 30, 30], [12, 12, 28, 28], [60, 30, 62, 32], [3, 3, 9, 9]]
    boxes += random_boxes(12, size).tolist()
    count = len(boxes)
    grounding = grounded(size, "dog . cat . cup", boxes, np.arange(count) % 3, masks=True)
    packed = grounding.detections.mask
    empty = compact_masks([np.zeros((4, 4), bool)], [(3, 3)], size)
    masks = sv.CompactMask.merge([*(packed[[i]] for i in range(count - 1)), empty])
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    found = with_columns(grounding.detections, mask=masks)
    return replace(grounding, image=Image(pixels), detections=found)


@pytest.mark.parametrize("opacity", [0.0, 0.3, 0.4, 0.5, 1.0])
def test_masks_are_tinted_as_supervision_tints_dense_ones(opacity):
    grounding = crowd()
    found = grounding.detections
    colors = [class_color(index) for index in found.class_id]
    canvas = grounding.image.pixels.copy()
    tint(canvas, found.mask, colors, opacity)

    dense = replace(found, mask=found.mask.to_dense())
    palette = sv.ColorPalette([sv.Color(*class_color(index)[::-1]) for index in range(3)])
    expected = sv.MaskAnnotator(palette, opacity).annotate(grounding.image.pixels.copy(), dense)
    np.testing.assert_array_equal(canvas, expected)


@pytest.mark.parametrize("masks", [0, 1])
def test_nothing_to_tint_is_left_as_it_is(masks):
    canvas = np.full((9, 9, 3), GREY, np.uint8)
    tint(canvas, compact_masks([np.zeros((2, 2), bool)] * masks, [(1, 1)] * masks, (9, 9)), [], 0.5)
    assert (canvas == GREY).all()


def test_shapes_are_drawn_from_crops_as_supervision_draws_dense_masks():
    grounding = crowd()
    dense = replace(grounding.detections, mask=grounding.detections.mask.to_dense())
    palette = sv.ColorPalette([sv.Color(*class_color(index)) for index in range(3)])
    expected = grounding.image.pixels[:, :, ::-1].copy()
    expected = sv.MaskAnnotator(palette, MASK_OPACITY).annotate(expected, dense)
    expected = sv.PolygonAnnotator(palette, thickness=1).annotate(expected, dense)
    drawn = annotate(grounding, boxes=False, labels=False, scores=False)
    np.testing.assert_array_equal(drawn, expected[:, :, ::-1])
    assert np.array_equal(annotate(replace(grounding, detections=dense)), annotate(grounding))
