import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from grounding_sdk.detections import compact_masks, detections_from_scores, with_columns
from grounding_sdk.formats import CocoWriter, coco_dict, grounding_dict
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image
from grounding_sdk.query import Query

SIZE = (30, 40)


def result(query, boxes, class_ids, *, masks=(), mask_scores=None, source=None):
    """A grounding with a score of 0.9, 0.8... for boxes of the given phrases."""
    query = Query.of(query)
    scores = np.zeros((len(boxes), len(query)), np.float32)
    for row, phrase in enumerate(class_ids):
        scores[row, phrase] = 0.9 - 0.1 * row
    found = detections_from_scores(SIZE, query, np.array(boxes), scores, 0.0)
    if masks:
        found = with_columns(
            found, mask=compact_masks(masks, [(0, 0)] * len(masks), SIZE), mask_score=mask_scores
        )
    return Grounding(Image(np.zeros((*SIZE, 3), np.uint8), source), query, found)


def ring():
    mask = np.zeros(SIZE, bool)
    mask[5:15, 10:20] = True
    mask[8:12, 13:17] = False
    return mask


def two_dogs(source="shots/dogs.jpg"):
    stripes = np.zeros(SIZE, bool)
    stripes[20:30:2, 25:40] = True
    return result(
        {"a pup": "dog", "cat": "cat", "dog": "dog"},
        [[10, 5, 20, 15], [24.5, 19.256, 40, 30]],
        [0, 2],
        masks=[ring(), stripes],
        mask_scores=[0.75, np.nan],
        source=source,
    )


def load(tmp_path, data):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(data, allow_nan=False))
    return COCO(path)


def test_pycocotools_reads_images_boxes_labels_and_masks(tmp_path):
    grounding = two_dogs()
    coco = load(tmp_path, coco_dict([grounding]))
    assert coco.imgs == {1: {"id": 1, "file_name": "dogs.jpg", "width": 40, "height": 30}}
    assert coco.cats == {1: {"id": 1, "name": "dog"}, 2: {"id": 2, "name": "cat"}}
    first, second = coco.loadAnns([1, 2])
    assert first["bbox"] == [10, 5, 10, 10]
    assert second["bbox"] == [24.5, 19.256, 15.5, 10.744]
    for annotation, dense in zip((first, second), grounding.detections.mask, strict=True):
        assert (coco.annToMask(annotation) == dense).all()
        assert annotation["area"] == dense.sum()
        assert annotation["iscrowd"] == 0
        assert isinstance(annotation["segmentation"]["counts"], str)
    assert (first["category_id"], first["phrase"], first["score"]) == (1, "a pup", 0.9)
    assert (second["category_id"], second["phrase"], second["score"]) == (1, "dog", 0.8)


def test_a_missing_mask_score_is_left_out_rather_than_nan():
    first, second = coco_dict([two_dogs()])["annotations"]
    assert first["mask_score"] == 0.75
    assert "mask_score" not in second


def test_boxes_without_masks():
    (only,) = coco_dict([result("dog", [[1, 2, 4.5, 8]], [0])])["annotations"]
    assert only["area"] == 21
    assert "segmentation" not in only


def test_an_empty_mask_has_no_area():
    empty = result("dog", [[1, 2, 4, 8]], [0], masks=[np.zeros((0, 0), bool)], mask_scores=[0.1])
    (only,) = coco_dict([empty])["annotations"]
    assert only["area"] == 0
    assert not coco_mask.decode(only["segmentation"]).any()


def test_nothing_found_keeps_the_image_and_the_categories(tmp_path):
    data = coco_dict([result("dog . cat", np.empty((0, 4)), [])])
    assert data["annotations"] == []
    assert [category["name"] for category in data["categories"]] == ["dog", "cat"]
    assert len(load(tmp_path, data).imgs) == 1


def test_no_results_at_all():
    data = coco_dict([])
    assert (data["images"], data["annotations"], data["categories"]) == ([], [], [])


def test_different_queries_share_one_list_of_categories():
    data = coco_dict(
        [result("dog . cat", [[0, 0, 5, 5]], [1]), result("bird . dog", [[0, 0, 5, 5]], [1])]
    )
    assert [(c["id"], c["name"]) for c in data["categories"]] == [
        (1, "dog"),
        (2, "cat"),
        (3, "bird"),
    ]
    assert [(a["id"], a["image_id"], a["category_id"]) for a in data["annotations"]] == [
        (1, 1, 2),
        (2, 2, 1),
    ]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("shots/dogs.jpg", "dogs.jpg"),
        ("https://example.org/a/my%20dog.png?size=2#top", "my dog.png"),
        ("https://example.org", "image_1"),
        (None, "image_1"),
    ],
)
def test_file_names_from_sources(source, name):
    assert coco_dict([two_dogs(source)])["images"][0]["file_name"] == name


def test_given_file_names_win_and_must_be_as_many_as_the_results():
    data = coco_dict([two_dogs(), two_dogs()], file_names=["a/1.jpg", "b/1.jpg"])
    assert [image["file_name"] for image in data["images"]] == ["a/1.jpg", "b/1.jpg"]
    with pytest.raises(ValueError, match="shorter"):
        coco_dict([two_dogs(), two_dogs()], file_names=["a/1.jpg"])


def test_a_writer_can_be_read_midway():
    writer = CocoWriter()
    assert writer.add(two_dogs()) == 1
    before = writer.to_dict()
    assert writer.add(two_dogs(), "second.jpg") == 2
    assert len(before["images"]) == 1
    assert [a["id"] for a in writer.to_dict()["annotations"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_cocoeval_takes_the_annotations_as_results(tmp_path, kind, capsys):
    data = coco_dict([two_dogs()])
    truth = load(tmp_path, data)
    evaluation = COCOeval(truth, truth.loadRes(data["annotations"]), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_json_of_one_result():
    data = grounding_dict(two_dogs(), masks=True)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["image"] == {"source": "shots/dogs.jpg", "width": 40, "height": 30}
    assert data["query"]["phrases"][0] == {
        "text": "a pup",
        "label": "dog",
        "threshold": None,
        "role": "find",
    }
    first, second = data["objects"]
    assert (first["label"], first["phrase"], first["score"]) == ("dog", "a pup", 0.9)
    assert first["box"] == [10, 5, 20, 15]
    assert (first["mask_score"], second["mask_score"]) == (0.75, None)
    assert (coco_mask.decode(first["segmentation"]) == ring()).all()


def test_json_without_masks():
    boxes_only = result("dog", [[0, 0, 5, 5]], [0])
    assert grounding_dict(boxes_only, masks=True)["objects"][0]["segmentation"] is None
    assert "segmentation" not in grounding_dict(two_dogs())["objects"][0]


def test_json_of_nothing_found_keeps_every_key():
    data = grounding_dict(result("dog", np.empty((0, 4)), []))
    assert sorted(data) == ["image", "objects", "query"]
    assert data["objects"] == []
