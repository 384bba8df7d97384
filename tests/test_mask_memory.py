"""Masks stay crops from the logits to the file: what many on a large picture take at their peak."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from grounding_sdk import Detect, FakeDetector, Grounding, Image, Merge, Pipeline, Refine, Segment
from grounding_sdk.detections import detections_from_scores, mask_crop, pack_masks
from grounding_sdk.formats import annotated, coco_dict, row_dict, row_from_dict
from grounding_sdk.models.ports import MaskPrediction
from grounding_sdk.models.segmenters.upscale import resize_axis, upscale_masks
from grounding_sdk.query import Query
from grounding_sdk.stages.seams import _with_unions

MB = 1_000_000
COUNT = 64


@contextmanager
def at_most(megabytes):
    """Checks how much more memory numpy and Python hold at the worst moment of what is inside."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < megabytes * MB


@dataclass
class EllipseLogits:
    """A segmenter whose model gives 64 x 64 logits for each box: the ellipse inside of it."""

    name: str = "ellipses"

    def encode(self, images):
        return [image.size for image in images]

    def decode(self, embedding, boxes=None, **others):
        height, width = embedding
        x, y = ((np.arange(64) + 0.5) / 64 * side for side in (width, height))
        logits = []
        for x1, y1, x2, y2 in boxes:
            across = (x - (x1 + x2) / 2) / ((x2 - x1) / 2)
            down = (y - (y1 + y2) / 2) / ((y2 - y1) / 2)
            logits.append(4 - 4 * (across**2 + down[:, None] ** 2))
        rows, columns = resize_axis(64, (height, height)), resize_axis(64, (width, width))
        masks = upscale_masks(np.array(logits, np.float32), rows, columns)
        return MaskPrediction(masks, np.ones((len(boxes), 1), np.float32))


def test_many_boxes_on_a_large_photo_take_a_fraction_of_dense_masks():
    size = 3000, 4000  # 64 dense masks take 768 MB, as float32 logits 3 GB
    image = Image(np.zeros((*size, 3), np.uint8))
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 0.9, (COUNT, 2)) * (4000, 3000)
    boxes = np.hstack([corners, corners + rng.uniform(0.03, 0.1, (COUNT, 2)) * (4000, 3000)])
    table = {"dog": [(box, 0.5 + index / 200) for index, box in enumerate(boxes.tolist())]}
    stages = [Segment(EllipseLogits(), cache=None), Merge(overlap=0.9), Refine()]
    found = Pipeline([Detect(FakeDetector(table))])(image, "dog")
    with at_most(60):
        result = Pipeline(stages, given=("xyxy", "confidence")).run([found])[0]
    assert len(result) > 50
    with at_most(40):
        rows = coco_dict([result])["annotations"]
    assert len(rows) == len(result)
    with at_most(40):
        row = row_from_dict(row_dict(annotated(result)))
    assert sum(each.mask.area for each in row.objects) == result.detections.mask.area.sum()
    with at_most(3 * image.pixels.nbytes / MB + 10):  # the picture, a painted one, a blended one
        result.picture(labels=False)


def test_of_masks_as_large_as_the_picture_only_some_are_unpacked_at_a_time():
    size = 300, 400
    full, query = np.ones(size, bool), Query.of("dog")
    full[::150] = False
    masks = pack_masks(((full, 0, 0) for _ in range(COUNT)), size)
    boxes = np.tile([0, 0, 400, 300], (COUNT, 1))
    found = detections_from_scores(size, query, boxes, np.ones((COUNT, 1)), 0.5, masks)
    result = Grounding(Image(np.zeros((*size, 3), np.uint8)), query, found)
    with at_most(3):  # of 7.7 MB
        refined = Refine()([result])[0]
    assert len(refined.detections.mask) == COUNT
    with at_most(2):
        row = annotated(result)
    assert len(row.objects) == COUNT
    with at_most(2):
        united = _with_unions(found, [[0, 1, 2], [5, 6]], size)
    np.testing.assert_array_equal(mask_crop(united.mask, 5)[0], mask_crop(masks, 5)[0])
