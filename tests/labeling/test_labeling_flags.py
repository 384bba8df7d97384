from __future__ import annotations

import numpy as np
import pytest

from grounding_sdk.formats import Annotated, Mask, Object
from grounding_sdk.labeling import LabelingError
from grounding_sdk.labeling.flags import (
    KINDS,
    Flag,
    job_flags,
    picture_doubt,
    review_queue,
    row_flags,
    usual,
)

SIZE = (100, 200)


def dog(box=(20, 20, 60, 60), score=0.9, label="dog", mask=None):
    return Object(label, box, mask, score)


def row(*objects, name="a.jpg"):
    return Annotated(name, SIZE, objects)


def filled(x1, y1, x2, y2):
    return Mask(np.ones((y2 - y1, x2 - x1), bool), x1, y1)


def kinds(flags):
    return {flag.kind for flag in flags}


@pytest.mark.parametrize(
    "objects, kind, value, where, words",
    [
        # a good object, with and without a mask, has nothing
        ([dog()], None, None, None, None),
        ([dog(mask=filled(20, 20, 60, 60))], None, None, None, None),
        ([dog(score=None)], None, None, None, None),
        # scores
        ([dog(score=0.2)], "low_score", 0.2, (0,), "score 0.20"),
        # two labels at one place
        (
            [dog(), dog(label="wolf", score=0.4)],
            "overlap",
            1.0,
            (0, 1),
            "'dog' and 'wolf' cover the same place",
        ),
        (
            [dog(score=0.80), dog(label="wolf", score=0.75)],
            "margin",
            pytest.approx(0.05),
            (0, 1),
            "0.05 apart",
        ),
        # shapes
        ([dog((20, 20, 25, 30))], "tiny", 50, (0,), "5 x 10"),
        (
            [
                dog(mask=filled(20, 20, 60, 60)),
                dog((100, 20, 140, 60), mask=filled(110, 20, 112, 24)),
            ],
            "tiny",
            8,
            (1,),
            "only 8 pixels",
        ),
        ([dog((0, 20, 60, 60))], "border", 0, (0,), "border"),
        ([dog((150, 20, 199.5, 60))], "border", 0.5, (0,), "border"),
        ([dog((50, 20, 90, 60), mask=filled(50, 20, 90, 100))], "border", 0, (0,), "border"),
        ([dog(mask=filled(0, 0, 0, 0))], "box_mask", 0, (0,), "empty"),
        ([dog(mask=filled(20, 20, 40, 60))], "box_mask", 0.5, (0,), "IoU 0.50"),
    ],
)
def test_each_doubt_has_a_number_and_words(objects, kind, value, where, words):
    flags = row_flags(row(*objects))
    if kind is None:
        assert flags == ()
        return
    flag = next(each for each in flags if each.kind == kind)
    assert (flag.value, flag.objects) == (value, where)
    assert words in flag.words
    assert kinds(flags) <= set(KINDS)
    assert all(0 <= each.doubt <= 1 for each in flags)


def test_a_mask_that_is_only_a_frame_fills_little_of_its_box():
    frame = np.ones((80, 80), bool)
    frame[1:-1, 1:-1] = False
    (flag,) = row_flags(row(dog((10, 10, 90, 90), mask=Mask(frame, 10, 10))))
    assert (flag.kind, flag.value) == ("fill", pytest.approx(316 / 6400))


def test_one_label_twice_or_masks_apart_are_no_rivals():
    assert row_flags(row(dog(), dog())) == ()
    halves = dog(mask=filled(20, 20, 60, 36)), dog(label="wolf", mask=filled(20, 44, 60, 60))
    assert "overlap" not in kinds(row_flags(row(*halves)))


def test_scores_and_counts_are_held_against_the_jobs_own():
    rows = [row(dog(score=0.10 + 0.002 * i), name=f"{i:03}.jpg") for i in range(100)]
    known = usual(rows)
    low = [each.file_name for each in rows if "low_score" in kinds(row_flags(each, known))]
    assert low == [f"{i:03}.jpg" for i in range(5)]

    many = row(*(dog(score=0.3) for _ in range(9)))
    (flag,) = row_flags(many, known)
    assert (flag.kind, flag.value, flag.objects) == ("count", 9, ())
    assert flag.words == "9 'dog', where other pictures have up to 3"
    (flag,) = row_flags(row(), known)
    assert flag.kind == "empty"


def test_what_is_alike_everywhere_is_not_doubtful():
    rows = [row(dog(score=0.2), name=f"{i}.jpg") for i in range(50)]
    assert all(row_flags(each, usual(rows)) == () for each in rows)
    empty = [row(name=f"{i}.jpg") for i in range(50)]
    assert row_flags(empty[0], usual(empty)) == ()


def test_two_jobs_are_matched_by_place_then_label():
    here = row(dog(), dog((100, 20, 140, 60)), dog((150, 50, 180, 80), label="cat"))
    there = row(
        dog((22, 20, 60, 60), label="wolf", score=0.6),  # the first, under another name
        dog((150, 50, 180, 82), label="cat"),  # the third
        dog((20, 70, 50, 95), label="bird", score=0.8),  # nobody's
    )
    flags = {flag.kind: flag for flag in job_flags(here, there)}
    assert flags["label_differs"].objects == (0,)
    assert flags["label_differs"].words == "the other job calls it 'wolf' (score 0.60)"
    assert flags["extra"].objects == (1,)
    assert (flags["missing"].box, flags["missing"].objects) == ((20, 70, 50, 95), ())
    assert len(flags) == 3
    assert job_flags(here, here) == ()
    assert kinds(job_flags(here, row())) == {"extra"}
    assert kinds(job_flags(row(), there)) == {"missing"}


def test_of_two_boxes_at_one_place_the_one_of_the_label_is_matched():
    here = row(dog())
    there = row(dog((20, 20, 60, 59), label="wolf"), dog((20, 20, 60, 50)))
    assert kinds(job_flags(here, there)) == {"missing"}


def test_the_queue_begins_with_the_most_doubtful():
    rows = [
        row(dog(), name="fine.jpg"),
        row(dog(score=0.1), dog((0, 0, 5, 5)), name="bad.jpg"),
        row(dog((0, 20, 60, 60)), name="border.jpg"),
        row(dog(), name="a fine one.jpg"),
    ]
    queue = review_queue(rows)
    assert [each.item for each in queue] == ["bad.jpg", "border.jpg", "a fine one.jpg", "fine.jpg"]
    assert queue[0].kinds == ("low_score", "tiny", "border")
    assert queue[-1].doubt == 0
    assert review_queue(rows, limit=2) == queue[:2]

    others = {"fine.jpg": row(dog(label="wolf"), name="fine.jpg")}
    assert review_queue(rows, other=others.get, limit=1)[0].item == "bad.jpg"
    assert review_queue(rows, other=others.get)[1].kinds == ("label_differs",)


def test_rows_that_can_be_read_once_are_refused():
    with pytest.raises(LabelingError, match="more than once"):
        review_queue(iter([row(dog())]))


def test_more_kinds_of_doubt_are_more_doubt_and_many_of_one_kind_are_not():
    border = Flag("border", 0, 0.1, "")
    assert picture_doubt([]) == 0
    assert picture_doubt([border] * 50) == pytest.approx(0.1)
    assert picture_doubt([border, Flag("tiny", 1, 0.5, "")]) == pytest.approx(0.55)


def test_a_label_that_was_almost_another_is_flagged():
    sure = Object("dog", (0, 0, 50, 50), score=0.8, margin=0.5)
    unsure = Object("cat", (60, 0, 90, 50), score=0.6, margin=0.01)
    row = Annotated("a.jpg", (100, 100), (sure, unsure))
    (flag,) = [flag for flag in row_flags(row, usual([row])) if flag.kind == "margin"]
    assert flag.objects == (1,)
    assert flag.words == "another label scores only 0.01 less than 'cat'"
