from __future__ import annotations

import numpy as np
import pytest

from grounding_sdk.evaluation.threshold_curve import Ranking
from grounding_sdk.viz.curves import LINES, RIGHT, WRONG, curve_sheet, draw_curve
from grounding_sdk.viz.palette import INK


def curve(scores, right, objects):
    scores, right = np.array(scores, np.float32), np.array(right, bool)
    picture = np.zeros(len(scores), int)
    return Ranking(scores, right, picture, np.array([objects]), 0.01).curve()


EASY = curve([0.8, 0.6, 0.4], [True, True, False], 4)


def places(picture, color):
    return np.argwhere((picture == color).all(axis=2))


def test_lines_are_where_their_values_are():
    picture = draw_curve(EASY, "dog")
    assert (picture.shape, picture.dtype) == ((400, 640, 3), np.uint8)
    grid = np.flatnonzero((picture == (228, 230, 235)).all(axis=2).mean(axis=1) > 0.4)
    tops = {name: places(picture[60:], color)[:, 0].min() for name, color in LINES.items()}
    # Precision reaches 1, which is the highest line of the grid; recall one half; F1 2/3.
    assert tops["precision"] < tops["F1"] < tops["recall"]
    assert len(grid)
    # Above the best score nothing is found: there is no precision, and recall is 0.
    columns = {name: places(picture[60:300], color)[:, 1] for name, color in LINES.items()}
    assert columns["precision"].max() < columns["recall"].max()


def test_each_detection_is_a_tick():
    picture = draw_curve(EASY, "dog")
    below = picture[338:362]  # under the axis, over its numbers
    for color, scores in ((RIGHT, (0.8, 0.6)), (WRONG, (0.4,))):
        columns = {x for x in places(below, color)[:, 1].tolist() if x > 42}
        assert columns == {round(42 + score * (640 - 14 - 42)) for score in scores}


def test_the_choice_and_its_interval_are_marked():
    plain = draw_curve(EASY, "dog")
    marked = draw_curve(EASY, "dog", threshold=0.5, interval=(0.45, 0.55))
    column = np.flatnonzero((marked[100:250] == INK).all(axis=(0, 2)))
    assert len(column) == 1
    assert not (plain[100:250] == INK).all(axis=(0, 2)).any()
    shaded = np.flatnonzero((marked[100:102] == (240, 242, 246)).all(axis=2).any(axis=0))
    assert shaded.min() < column[0] < shaded.max()


@pytest.mark.parametrize(
    "made",
    [
        curve([], [], 0),
        curve([], [], 3),
        curve([1.0], [True], 1),
        curve([0.01, 0.01], [False, False], 0),
    ],
)
def test_nothing_and_extremes_are_drawn_too(made):
    picture = draw_curve(made, "\u72ac " * 60, threshold=1.0, interval=(1.0, 1.0), size=(200, 300))
    assert picture.shape == (200, 300, 3)


def test_a_sheet_holds_all():
    sheet = curve_sheet([draw_curve(EASY, str(i)) for i in range(4)], columns=3)
    assert sheet.shape == (800, 1920, 3)
    assert (sheet[400:, 640:] == 255).all()
