from __future__ import annotations

import os
import weakref
from dataclasses import replace

import numpy as np
import pytest
from formats.dataset_rows import LABELS, ROWS, SIZE, with_picture

from grounding_sdk.formats import (
    FORMATS,
    Annotated,
    FormatError,
    annotated,
    in_splits,
    read_coco,
    split_of,
    to_detections,
    write_coco,
)
from grounding_sdk.grounding import Grounding
from grounding_sdk.models.fakes import FakeDetector
from grounding_sdk.stages import Detect


@pytest.mark.parametrize("name", FORMATS)
def test_no_row_is_held_longer_than_it_takes_to_write_it(name, tmp_path):
    marks = tuple(replace(each, score=0.5) for each in ROWS["parts"].objects)
    given, alive = [], []

    def rows():
        for index in range(20):
            row = Annotated(f"{index}.jpg", SIZE, marks, ("train", "val")[index % 2])
            given.append(weakref.ref(row))
            yield row
            del row
            alive.append(sum(each() is not None for each in given))

    FORMATS[name].write(rows(), tmp_path, LABELS)
    assert max(alive) <= 1


def test_a_failed_export_leaves_the_one_before(tmp_path):
    write_coco([ROWS["hole"]], tmp_path)
    before = (tmp_path / "annotations.json").read_bytes()

    def rows():
        yield ROWS["parts"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coco(rows(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["annotations.json"]
    assert (tmp_path / "annotations.json").read_bytes() == before


def test_a_link_does_not_lead_out_of_the_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "out" / "labels")
    with pytest.raises(FormatError, match="by a link"):
        FORMATS["yolo"].write([ROWS["hole"]], tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(FormatError, match="is a file"):
        write_coco([], tmp_path / "out")


def test_copying_a_picture_onto_itself_is_no_loss(tmp_path):
    row = with_picture(ROWS["hole"], tmp_path)
    before = (tmp_path / "hole.jpg").read_bytes()
    FORMATS["labelme"].write([row], tmp_path, pictures=True)
    assert (tmp_path / "hole.jpg").read_bytes() == before


def test_two_pictures_of_one_name_are_refused(tmp_path):
    rows = [with_picture(ROWS["hole"], tmp_path / folder) for folder in ("a", "b")]
    with pytest.raises(FormatError, match="Rename one"):
        write_coco(rows, tmp_path / "out", pictures=True)


def test_a_label_listed_twice_is_refused(tmp_path):
    with pytest.raises(FormatError, match="'dog' is listed twice"):
        write_coco([], tmp_path, ["dog", "cat", "dog"])


def test_splits_do_not_change_when_pictures_are_added():
    names = [f"picture {number}.jpg" for number in range(2000)]
    splits = {row.file_name: row.split for row in in_splits(Annotated(n, SIZE) for n in names)}
    later = {row.file_name: row.split for row in in_splits(Annotated(n, SIZE) for n in names[::-7])}
    assert all(splits[name] == split for name, split in later.items())
    counts = {split: list(splits.values()).count(split) for split in ("train", "val", "test")}
    assert counts["train"] == pytest.approx(1600, abs=60)
    assert counts["val"] == pytest.approx(200, abs=45)


def test_a_picture_leaves_a_split_only_for_one_that_grew():
    for number in range(500):
        before = split_of(str(number), {"train": 80, "val": 20})
        after = split_of(str(number), {"train": 90, "val": 10})
        assert before == after or (before, after) == ("val", "train")


def test_splits_by_content_and_of_one_share():
    assert split_of(b"pixels") == split_of("pixels")
    assert split_of("a.jpg", {"all": 1, "none": 0}) == "all"


@pytest.mark.parametrize("shares", [{}, {"train": 0}, {"train": -1, "val": 2}, {"a": np.nan}])
def test_shares_that_share_nothing_are_refused(shares):
    with pytest.raises(FormatError, match="expected shares"):
        split_of("a.jpg", shares)


def test_a_result_becomes_a_row_and_detections_again():
    start = Grounding.ask(np.zeros((*SIZE, 3), np.uint8), "dog . cat")
    (found,) = Detect(FakeDetector())([start])
    row = annotated(found, "a.jpg")
    assert (row.file_name, row.size, len(row.objects)) == ("a.jpg", SIZE, len(found))
    back = to_detections(row, ("dog", "cat"))
    assert (back.xyxy == found.detections.xyxy).all()
    assert (back.confidence == found.detections.confidence).all()
    assert (back.class_id == found.detections.class_id).all()
    assert to_detections(Annotated("a.jpg", SIZE), ()).xyxy.shape == (0, 4)


def test_coco_keeps_scores_to_the_last_bit(tmp_path):
    scores = np.random.default_rng(0).random(50, np.float32)
    marks = tuple(replace(ROWS["box"].objects[0], score=float(str(score))) for score in scores)
    write_coco([Annotated("a.jpg", SIZE, marks)], tmp_path)
    (row,) = read_coco(tmp_path)
    assert (np.array([each.score for each in row.objects], np.float32) == scores).all()
