import numpy as np
import pytest

from grounding_sdk.errors import PromptError
from grounding_sdk.models.segmenters.prompts import check_prompts, chunks

BOX, POINT = [[0, 0, 5, 5]], [[[1, 2]]]
NAN, INF = float("nan"), float("inf")


def check(boxes=None, points=None, point_labels=None, masks=None):
    return check_prompts(boxes, points, point_labels, masks, (16, 16))


@pytest.mark.parametrize(
    "prompts, message",
    [
        ({}, r"no prompt: give boxes \(N, 4\)"),
        ({"boxes": BOX, "point_labels": [[1]]}, "without points"),
        ({"boxes": [0, 0, 5, 5]}, r"\(N, 4\), got \(4,\): one of them is boxes\[None\]"),
        ({"boxes": [[0, 0, 5]]}, r"\(N, 4\), got \(1, 3\)"),
        ({"boxes": [[[0, 0, 5, 5]]]}, r"\(N, 4\), got \(1, 1, 4\)"),
        ({"boxes": 7}, r"\(N, 4\), got \(\)"),
        ({"boxes": [[0, 0, 5, 5], [1, 2]]}, "boxes as numbers"),
        ({"boxes": [["a", 0, 5, 5]]}, "boxes as numbers"),
        ({"boxes": [[0, 0, None, 5]]}, "finite boxes"),
        ({"boxes": [[0, 0, NAN, 5]]}, "finite boxes"),
        ({"boxes": [[0, 0, INF, 5]]}, "finite boxes"),
        ({"boxes": [[0, 0, 1e300, 5]]}, "finite boxes"),
        ({"boxes": [BOX[0], [9, 0, 5, 5]]}, r"x1 <= x2.*\[9.0, 0.0, 5.0, 5.0\] in row 1"),
        ({"boxes": [[0, 9, 5, 5]]}, "y1 <= y2"),
        ({"points": [[1, 2]]}, r"\(N, P, 2\), got \(1, 2\): one of them is points\[None\]"),
        ({"points": [[[1, 2, 3]]]}, r"got \(1, 1, 3\)"),
        ({"points": [[[NAN, 2]]]}, "finite points"),
        ({"points": POINT, "point_labels": [1]}, r"shape \(1, 1\), got \(1,\)"),
        ({"points": POINT, "point_labels": [[1, 1]]}, r"shape \(1, 1\), got \(1, 2\)"),
        ({"points": POINT, "point_labels": [[2]]}, "-1 .padding., got 2"),
        ({"points": POINT, "point_labels": [[0.5]]}, "got 0.5"),
        ({"points": POINT, "point_labels": [[-1]]}, "prompt 0 has padding points only"),
        ({"points": np.zeros((2, 0, 2))}, "prompt 0 has padding points only"),
        ({"masks": np.zeros((16, 16))}, r"\(N, 16, 16\), got \(16, 16\): one of them"),
        ({"masks": np.zeros((1, 40, 60))}, r"\(N, 16, 16\), got \(1, 40, 60\)"),
        ({"masks": np.full((1, 16, 16), -INF)}, "finite logits"),
        ({"boxes": BOX, "points": POINT * 2}, "got 1 boxes, 2 points"),
        ({"boxes": [], "points": POINT}, "got 0 boxes, 1 points"),
        ({"boxes": BOX * 3, "masks": np.zeros((2, 16, 16))}, "got 3 boxes, 2 masks"),
    ],
)
def test_what_does_not_fit_is_refused(prompts, message):
    with pytest.raises(PromptError, match=message):
        check(**prompts)


@pytest.mark.parametrize(
    "prompts, count",
    [
        ({"boxes": []}, 0),
        ({"boxes": np.empty((0, 4), np.float32)}, 0),
        ({"points": []}, 0),
        ({"points": np.empty((0, 3, 2)), "point_labels": np.empty((0, 3))}, 0),
        ({"points": np.empty((0, 3, 2)), "point_labels": []}, 0),
        ({"masks": []}, 0),
        ({"boxes": [[5, 5, 5, 5]]}, 1),  # a box without area is a point to the models
        ({"boxes": [[-9, -9, 1e6, 1e6]]}, 1),
        ({"boxes": np.array(BOX, np.int64)}, 1),
        ({"points": [[[NAN, INF], [1, 2]]], "point_labels": [[-1, 1]]}, 1),
        ({"boxes": BOX, "points": POINT, "point_labels": [[-1]]}, 1),
        ({"points": POINT, "point_labels": [[True]]}, 1),
    ],
)
def test_what_fits_is_taken(prompts, count):
    assert len(check(**prompts)) == count


def test_labels_are_foreground_unless_given():
    assert check(points=[[[1, 2], [3, 4]]]).labels.tolist() == [[1, 1]]


def test_chunks_cover_every_prompt_once_without_padding():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 2, (50, 4))
    labels[:, 1] = 1
    points = rng.uniform(0, 9, (50, 4, 2))
    boxes = np.tile(BOX, (50, 1))
    seen = []
    for rows, chunk in chunks(check(boxes, points, labels), 8):
        assert len(rows) == len(chunk) == len(chunk.boxes) <= 8
        assert (chunk.labels != -1).all()
        for row, real_points in zip(rows, chunk.points, strict=True):
            np.testing.assert_array_equal(real_points, points[row][labels[row] != -1])
        seen += rows.tolist()
    assert sorted(seen) == list(range(50))


@pytest.mark.parametrize(
    "prompts, ambiguous",
    [
        ({"points": POINT}, True),
        ({"points": [[[1, 2], [3, 4]]]}, False),
        ({"points": POINT, "boxes": BOX}, False),
        ({"points": POINT, "masks": np.zeros((1, 16, 16))}, False),
        ({"boxes": BOX}, False),
        ({"masks": np.zeros((1, 16, 16))}, False),
    ],
)
def test_only_a_single_point_is_ambiguous(prompts, ambiguous):
    assert check(**prompts).ambiguous == ambiguous
