"""Colours, text and the placing of labels."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grounding_sdk.viz.labels import place_labels
from grounding_sdk.viz.palette import class_color, contrast, text_color
from grounding_sdk.viz.text import draw_text, line_height, shortened, text_alpha, text_width


def test_the_first_colours_are_far_apart():
    colors = np.array([class_color(i) for i in range(12)], float)
    for one, other in itertools.combinations(colors, 2):
        assert np.linalg.norm(one - other) > 60


def test_no_colour_comes_twice():
    assert len({class_color(i) for i in range(300)}) == 300


@pytest.mark.parametrize("class_id", range(100))
def test_text_is_readable_on_every_colour(class_id):
    color = class_color(class_id)
    assert contrast(color, text_color(color)) >= 3.9  # WCAG asks for 3 of large text


def ink(text, size=20):
    return text_alpha(text, size)


@pytest.mark.parametrize(
    "text", ["собака", "κύων", "kůň", "狗", "犬", "いぬ", "강아지", "كلب", "כלב"]
)
def test_letters_of_many_scripts_are_drawn(text):
    for char in text:
        missing = ink("\U000e0fff")  # a code point that no font has
        questions = ink("?")
        drawn = ink(char)
        assert drawn.any()
        for substitute in (missing, questions):
            assert drawn.shape != substitute.shape or (drawn != substitute).any()


def test_chinese_characters_differ():
    assert ink("狗").shape != ink("猫").shape or (ink("狗") != ink("猫")).any()


@pytest.mark.parametrize("text", ["dog 🐶", "🐕‍🦺 dog", "dog ❤️".replace("❤", "🖤")])
def test_emoji_are_left_out(text):
    assert (ink(text) == ink("dog")).all()


@given(st.text(max_size=30), st.sampled_from([1, 10, 33]))
def test_any_text_is_drawn_in_the_height_of_a_line(text, size):
    alpha = text_alpha(text, size)
    assert alpha.dtype == np.uint8
    assert alpha.shape[0] == line_height(size)


@given(st.text(max_size=60), st.integers(0, 300))
def test_shortened_text_fits(text, max_width):
    assert text_width(shortened(text, 14, max_width), 14) <= max_width


def test_text_that_fits_is_not_shortened():
    assert shortened("a red car", 14, 200) == "a red car"
    assert shortened("a red car on a road", 14, 60).endswith("…")


@pytest.mark.parametrize(("x", "y"), [(-10, -5), (35, 2), (0, 12), (100, 100), (-500, 0)])
def test_text_beyond_the_edge_is_cut(x, y):
    canvas = np.full((15, 40, 3), 255, np.uint8)
    large = np.full((400, 1200, 3), 255, np.uint8)
    draw_text(canvas, "label", x, y, 12, (0, 0, 0))
    draw_text(large, "label", x + 600, y + 200, 12, (0, 0, 0))
    assert (canvas == large[200:215, 600:640]).all()


boxes_in_frame = st.lists(
    st.tuples(*[st.floats(0, 200, allow_nan=False)] * 4).map(
        lambda v: [min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]) + 1, max(v[1], v[3]) + 1]
    ),
    max_size=25,
)


@given(boxes_in_frame, st.sampled_from([(202, 202), (250, 400), (15, 300), (300, 15), (1, 1)]))
def test_labels_never_overlap_and_stay_inside(boxes, size):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    labels = place_labels(boxes, [["some label 0.50", "0.50"]] * len(boxes), 10, size)
    painted = np.zeros(size, int)
    for _, _, (x1, y1, x2, y2) in labels:
        assert 0 <= x1 < x2 <= size[1]
        assert 0 <= y1 < y2 <= size[0]
        painted[y1:y2, x1:x2] += 1
    assert painted.max(initial=0) <= 1


def test_the_best_objects_have_their_labels_first():
    boxes = np.array([[50, 50, 60, 60]] * 40, np.float32)
    rows = [label.row for label in place_labels(boxes, [["label"]] * 40, 10, (200, 200))]
    assert rows
    assert rows == list(range(len(rows)))


def test_a_label_without_room_shrinks_to_the_next_text():
    boxes = np.array([[0, 0, 30, 60]], np.float32)
    (label,) = place_labels(boxes, [["a very long label 0.5", "0.5"]], 10, (100, 60))
    assert label.text == "0.5"


def test_a_label_does_not_hide_a_neighbour_if_it_can_be_elsewhere():
    boxes = np.array([[100, 100, 160, 160], [100, 85, 120, 99]], np.float32)
    first, _ = place_labels(boxes, [["label"], ["label"]], 10, (300, 300))
    x1, y1, x2, y2 = first.box
    assert not (x1 < 120 and x2 > 100 and y1 < 99 and y2 > 85)
