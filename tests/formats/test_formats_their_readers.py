"""What we write is read by others: those of their readers that our dependencies bring.

`against_their_readers.py` tries the others.
"""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import supervision as sv
from formats.dataset_rows import LABELS, ROWS, SIZE, with_picture
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from grounding_sdk.formats import (
    Annotated,
    FormatError,
    from_supervision,
    read_coco,
    to_supervision,
    write_coco,
    write_coco_results,
    write_labelme,
    write_voc,
    write_yolo,
)

WITH_MASKS = [
    row for row in ROWS.values() if row.objects and all(each.has_pixels for each in row.objects)
]


@pytest.fixture
def rows(tmp_path):
    flat = [replace(row, file_name=f"{i} é.jpg") for i, row in enumerate(ROWS.values())]
    return [with_picture(row, tmp_path / "pictures") for row in flat]


def scored(row):
    return replace(row, objects=tuple(replace(each, score=0.5) for each in row.objects))


def test_pycocotools_decodes_the_same_masks(tmp_path):
    write_coco(ROWS.values(), tmp_path, LABELS)
    coco = COCO(tmp_path / "annotations.json")
    assert [category["name"] for category in coco.dataset["categories"]] == list(LABELS)
    for image_id, row in enumerate(ROWS.values(), 1):
        assert coco.imgs[image_id]["file_name"] == row.file_name
        annotations = coco.imgToAnns[image_id]
        assert len(annotations) == len(row.objects)
        for annotation, each in zip(annotations, row.objects, strict=True):
            assert annotation["iscrowd"] == each.iscrowd
            assert LABELS[annotation["category_id"] - 1] == each.label
            if each.mask is not None:
                dense = coco.annToMask(annotation)
                assert (dense == each.mask.dense(SIZE)).all()
                assert annotation["area"] == dense.sum()


def test_cocoeval_scores_our_results_against_our_truth(tmp_path):
    rows = [scored(row) for row in WITH_MASKS]
    write_coco(rows, tmp_path, LABELS)
    write_coco_results(rows[::-1], tmp_path, truth=tmp_path / "annotations.json")
    truth = COCO(tmp_path / "annotations.json")
    for kind in ("bbox", "segm"):
        evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1.0)


def test_results_need_scores_and_names_that_the_truth_knows(tmp_path):
    write_coco([ROWS["hole"]], tmp_path, LABELS)
    with pytest.raises(FormatError, match="no score"):
        write_coco_results([ROWS["hole"]], tmp_path)
    other = scored(replace(ROWS["hole"], file_name="other.jpg"))
    with pytest.raises(FormatError, match=r"no image 'other.jpg'"):
        write_coco_results([other], tmp_path, truth=tmp_path / "annotations.json")


def test_polygons_and_list_counts_are_read_as_pycocotools_does(tmp_path):
    polygons = [[2, 2, 9.5, 2.25, 7, 11.75], [20, 3, 30, 3, 30, 9, 20, 9, 25, 6]]
    runs = {"size": [30, 40], "counts": [31, 5, 25, 5, 1134]}
    shapes = [polygons, runs]
    data = {
        "images": [{"id": 7, "file_name": "C:\\data\\..\\a.jpg", "width": 40, "height": 30}],
        "categories": [{"id": 90, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 90, "segmentation": shape, "iscrowd": i % 2}
            | {"bbox": [1, 2, 3, 4], "area": 1}
            for i, shape in enumerate(shapes)
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(data))
    dataset = read_coco(path)
    assert dataset.labels == ("dog", "cat")
    (row,) = dataset
    assert row.file_name == "data/a.jpg"
    coco = COCO(path)
    for index, each in enumerate(row.objects):
        assert (each.mask.dense(SIZE) == coco.annToMask(coco.anns[index])).all()
        assert (each.label, each.box, each.iscrowd) == ("cat", (1, 2, 4, 6), bool(index % 2))


def test_supervision_reads_our_coco(tmp_path, rows):
    write_coco(rows, tmp_path, LABELS, pictures=True)
    dataset = sv.DetectionDataset.from_coco(
        str(tmp_path / "images"), str(tmp_path / "annotations.json"), force_masks=True
    )
    assert dataset.classes == list(LABELS)
    for row in rows:
        found = dataset.annotations[str(tmp_path / "images" / row.file_name)]
        assert [LABELS[i] for i in found.class_id] == [each.label for each in row.objects]
        for dense, each in zip(found.mask if len(found) else (), row.objects, strict=True):
            assert each.mask is None or (np.asarray(dense) == each.mask.dense(SIZE)).all()


def test_supervision_reads_our_yolo_boxes(tmp_path, rows):
    write_yolo(rows, tmp_path, LABELS, pictures=True)
    dataset = sv.DetectionDataset.from_yolo(
        str(tmp_path / "images"), str(tmp_path / "labels"), str(tmp_path / "data.yaml")
    )
    assert dataset.classes == list(LABELS)
    assert len(dataset) == len(rows)
    for row in rows:
        found = dataset.annotations[str(tmp_path / "images" / row.file_name)]
        kept = [each for each in row.objects if not each.iscrowd]
        assert [LABELS[i] for i in found.class_id] == [each.label for each in kept]
        boxes = np.array([each.box for each in kept]).reshape(-1, 4)
        assert found.xyxy == pytest.approx(boxes, abs=1e-3)


def test_supervision_reads_our_yolo_polygons(tmp_path, rows):
    write_yolo(rows, tmp_path, LABELS, pictures=True, shapes="polygon")
    dataset = sv.DetectionDataset.from_yolo(
        str(tmp_path / "images"), str(tmp_path / "labels"), str(tmp_path / "data.yaml")
    )
    for row in rows:
        found = dataset.annotations[str(tmp_path / "images" / row.file_name)]
        kept = [each for each in row.objects if not each.iscrowd]
        assert len(found) == len(kept)  # one line for each object, however many parts
        for index, each in enumerate(kept):
            if each.has_pixels:
                assert found.xyxy[index] == pytest.approx(each.mask.box, abs=1e-3)
                assert_covers(found.mask[index], each)


def assert_covers(theirs, each):
    """OpenCV fills polygons with their outline, a pixel further to the right and below."""
    ours = each.mask.dense(SIZE)
    assert (theirs | ~ours).all()
    if each.mask == ROWS["hole"].objects[0].mask:  # no seams across what is not the object
        grown = cv2.dilate(ours.astype(np.uint8), np.ones((3, 3), np.uint8))
        assert (grown.astype(bool) | ~theirs).mean() > 0.99


def test_supervision_reads_our_voc(tmp_path, rows):
    write_voc(rows, tmp_path, LABELS, pictures=True)
    dataset = sv.DetectionDataset.from_pascal_voc(
        str(tmp_path / "JPEGImages"), str(tmp_path / "Annotations")
    )
    for row in rows:
        found = dataset.annotations[str(tmp_path / "JPEGImages" / row.file_name)]
        labels = [dataset.classes[i] for i in found.class_id]
        assert labels == [each.label for each in row.objects]
        for index, each in enumerate(row.objects):
            assert found.xyxy[index].tolist() == [round(value) for value in each.box]
            if each.has_pixels:
                assert_covers(np.asarray(found.mask[index]), each)


def test_supervision_reads_our_labelme(tmp_path, rows):
    write_labelme(rows, tmp_path, LABELS, pictures=True)
    dataset = sv.DetectionDataset.from_labelme(str(tmp_path), str(tmp_path))
    for row in rows:
        found = dataset.annotations[str(tmp_path / row.file_name)]
        labels = [dataset.classes[i] for i in found.class_id]
        assert labels == [each.label for each in row.objects]  # parts are one object, by group
        for index, each in enumerate(row.objects):
            assert found.xyxy[index] == pytest.approx(each.box)


def test_a_dataset_of_supervision_and_back(rows):
    unscored = [
        replace(row, objects=tuple(replace(e, score=None, phrase=None) for e in row.objects))
        for row in rows
    ]
    dataset = to_supervision(unscored, LABELS)
    assert (dataset.classes, len(dataset)) == (list(LABELS), len(rows))
    path, picture, found = dataset[1]
    assert (path, picture.shape) == (rows[1].source, (*SIZE, 3))
    assert (np.asarray(found.mask[0]) == rows[1].objects[0].mask.dense(SIZE)).all()
    for got, row in zip(from_supervision(dataset), unscored, strict=True):
        expected = [
            replace(e, mask=e.mask if e.has_pixels else None, mask_score=None) for e in row.objects
        ]
        assert (got.file_name, got.size, list(got.objects)) == (row.file_name, SIZE, expected)


def test_a_dataset_of_supervision_needs_the_pictures():
    with pytest.raises(FormatError, match="set the rows' sources"):
        to_supervision([Annotated("a.jpg", SIZE)])


@pytest.mark.filterwarnings("ignore:Skipping COCO polygon")  # its contour of a single pixel
def test_the_crowds_that_supervision_writes_are_only_ours(tmp_path, rows):
    """Left to itself it marks each mask with holes or parts as a crowd, which scores ignore."""
    to_supervision(rows, LABELS).as_coco(None, str(tmp_path / "annotations.json"))
    written = {row.file_name: row for row in read_coco(tmp_path)}
    for row in rows:
        found = written[row.file_name].objects
        assert [each.iscrowd for each in found] == [each.iscrowd for each in row.objects]
        assert [each.label for each in found] == [each.label for each in row.objects]
