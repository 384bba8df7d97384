from __future__ import annotations

import numpy as np
import pytest

from grounding_sdk import (
    ConfigError,
    FakeSegmenter,
    Grounding,
    Merge,
    Parse,
    Phrase,
    Query,
    Refine,
    Segment,
)
from grounding_sdk.detections import compact_masks, detections_from_scores, with_columns
from grounding_sdk.query import LabelRule
from grounding_sdk.stages import Detect
from grounding_sdk.stages.refine import refine_mask
from grounding_sdk.target import Condition, Target

PICTURE = np.zeros((60, 80, 3), np.uint8)


def found(query, boxes, scores, masks=None):
    """A grounding whose detector found these boxes."""
    item = Grounding.ask(PICTURE, query)
    detections = detections_from_scores(
        item.image.size, item.query, np.array(boxes), np.array(scores), 0.0
    )
    if masks is not None:
        detections = with_columns(detections, mask=masks)
    return Grounding(item.image, item.query, detections)


def test_parse_reads_prompts_and_leaves_lists_alone():
    prompt, listed = Grounding.ask(PICTURE, "dog . cat"), Grounding.ask(PICTURE, ["dog . cat"])
    whole = Parse("whole")([prompt, listed])
    assert [item.query.texts for item in whole] == [("dog . cat",), ("dog . cat",)]
    assert whole[0].detections["phrase_scores"].shape == (0, 1)
    assert Parse()([whole[0]])[0].query.texts == ("dog", "cat")


NEAR, FAR = [[0, 0, 20, 20], [1, 1, 21, 21]], [[0, 0, 20, 20], [40, 40, 60, 60]]


@pytest.mark.parametrize(
    "stage, boxes, scores, labels",
    [
        (Merge(), NEAR, [[0.9, 0], [0.8, 0]], ["dog"]),
        (Merge(), FAR, [[0.9, 0], [0.8, 0]], ["dog", "dog"]),
        (Merge(), NEAR, [[0.9, 0], [0, 0.8]], ["dog", "cat"]),  # other labels are not compared
        (Merge(within="all"), NEAR, [[0.8, 0], [0, 0.9]], ["cat"]),
        (Merge("soft-nms", min_score=0.5), NEAR, [[0.9, 0], [0.8, 0]], ["dog"]),
        (Merge("soft-nms", min_score=0.01), NEAR, [[0.9, 0], [0.8, 0]], ["dog", "dog"]),
        (Merge("merge"), NEAR, [[0.9, 0], [0.8, 0]], ["dog"]),
    ],
)
def test_merge_keeps_one_of_each_object(stage, boxes, scores, labels):
    item = stage([found("dog . cat", boxes, scores)])[0]
    assert item.detections["class_name"].tolist() == labels
    assert item.detections["phrase_scores"].shape == (len(labels), 2)
    assert (np.diff(item.detections.confidence) <= 0).all()


def test_merging_unites_the_boxes():
    item = Merge("merge")([found("dog . cat", NEAR, [[0.9, 0], [0.8, 0]])])[0]
    assert item.detections.xyxy.tolist() == [[0, 0, 21, 21]]


DOG, CAT = Phrase("dog"), Phrase("cat")
THREE = [[0, 0, 20, 20], [0, 0, 20, 15], [0, 0, 20, 9]]  # IoU 0.75 and 0.45 with the first


@pytest.mark.parametrize(
    "stage, rules, scores, expected",
    [
        (Merge(), [], "dog dog dog", [0.9, 0.7]),
        (Merge(), [LabelRule("dog", nms=0.4)], "dog dog dog", [0.9]),
        (Merge(), [LabelRule("dog", nms=0.8)], "dog dog dog", [0.9, 0.8, 0.7]),
        (Merge(), [LabelRule("cat", nms=0.4)], "dog dog dog", [0.9, 0.7]),
        (Merge(), [LabelRule("dog", nms=0.4)], "dog cat dog", [0.9, 0.8]),
        (
            Merge(),
            [LabelRule("dog", nms=0.4), LabelRule("cat", nms=1)],
            "dog cat cat",
            [0.9, 0.8, 0.7],
        ),
        (Merge(), [LabelRule("dog", max_count=1)], "dog dog dog", [0.9]),
        (Merge(), [LabelRule("dog", max_count=2)], "dog dog dog", [0.9, 0.7]),  # after suppression
        (Merge(), [LabelRule("dog", max_count=1)], "dog cat dog", [0.9, 0.8]),
        (Merge(), [LabelRule("dog", nms=0.8, max_count=2)], "dog dog dog", [0.9, 0.8]),
        (Merge(), [LabelRule("dog", max_count=1)], "cat", [0.9]),
        # A rule drops, and keeps scores and boxes as they are, whatever the method.
        (Merge("soft-nms"), [LabelRule("dog", nms=0.4)], "dog dog dog", [0.9]),
        (Merge("merge"), [LabelRule("dog", nms=0.8)], "dog dog dog", [0.9, 0.8, 0.7]),
        # Across labels, the stage's own overlap has the last word.
        (Merge(within="all"), [LabelRule("dog", nms=0.4)], "dog cat dog", [0.9]),
        (Merge(within="all"), [LabelRule("dog", nms=0.8)], "dog cat dog", [0.9, 0.7]),
    ],
)
def test_label_rules_come_before_the_stages_settings(stage, rules, scores, expected):
    rows = [
        [score * (label == "dog"), score * (label == "cat")]
        for label, score in zip(scores.split(), (0.9, 0.8, 0.7), strict=False)
    ]
    item = stage([found(Query((DOG, CAT), rules=rules), THREE[: len(rows)], rows)])[0]
    np.testing.assert_allclose(item.detections.confidence, expected)
    assert item.detections["phrase_scores"].shape == (len(expected), 2)


def test_a_labels_phrases_count_together():
    query = Query(
        (Phrase("person", "human"), Phrase("boy", "human")), rules=[LabelRule("human", max_count=1)]
    )
    item = Merge()([found(query, FAR, [[0.5, 0], [0, 0.6]])])[0]
    assert item.detections["phrase"].tolist() == ["boy"]


def test_candidates_of_a_target_are_not_counted_before_it_chooses():
    query = Query(
        (Phrase("dog", role="part"),),
        targets=(Target("dog", conditions=(Condition("rightmost"),)),),
        rules=(LabelRule("dog", max_count=1),),
    )
    assert len(Merge()([found(query, FAR, [[0.9], [0.8]])])[0]) == 2


def test_rules_keep_masks_with_their_rows():
    masks = compact_masks(
        [np.ones((n, n), bool) for n in (5, 6, 7)], [(0, 0), (0, 0), (30, 30)], (60, 80)
    )
    query = Query((DOG, CAT), rules=(LabelRule("dog", nms=0.5),))
    item = Merge()(
        [found(query, [*NEAR, [30, 30, 40, 40]], [[0.7, 0], [0, 0.8], [0.9, 0]], masks)]
    )[0]
    assert item.detections.mask.area.tolist() == [25, 36, 49]


def test_segment_gives_each_box_its_mask_and_score_and_keeps_the_detectors_score():
    item = Segment(FakeSegmenter())([found("dog", FAR, [[0.9], [0.8]])])[0]
    assert len(item.detections.mask) == 2
    np.testing.assert_allclose(item.detections.confidence, [0.9, 0.8])
    assert np.isfinite(item.detections["mask_score"]).all()


def test_segment_costs_nothing_where_nothing_was_found_and_keeps_masks_that_are_there():
    class Untouchable(FakeSegmenter):
        def encode(self, images):
            raise AssertionError("encoded for nothing")

    masks = compact_masks([np.ones((5, 5), bool)], [(2, 2)], PICTURE.shape[:2])
    with_mask = found("dog", [[0, 0, 20, 20]], [[0.9]], masks)
    nothing, kept = Segment(Untouchable())([Grounding.ask(PICTURE, "dog"), with_mask])
    assert nothing.detections.mask.shape == (0, 60, 80)
    assert kept.detections.mask is masks


def disc(radius):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius


def test_refine_fills_small_holes_drops_specks_and_leaves_large_ones():
    mask = np.zeros((60, 80), bool)
    mask[10:50, 10:50] = True
    clean = mask.copy()
    mask[20:22, 20:22] = False  # a hole of 4 pixels
    mask[0:2, 70:72] = True  # a speck
    mask[30:40, 30:40] = clean[30:40, 30:40] = False  # a hole of 100 pixels
    refined = refine_mask(mask, holes=0.01, specks=0.01, smooth=0)
    np.testing.assert_array_equal(refined, clean)


def test_refine_never_loses_the_object():
    tiny = np.ones((1, 1), bool)
    assert refine_mask(tiny, holes=1, specks=1, smooth=1).any()
    halves = np.zeros((9, 9), bool)
    halves[:4], halves[5:] = True, True
    assert refine_mask(halves, holes=0, specks=1, smooth=0).sum() == 36  # the largest part stays


def test_smoothing_removes_teeth_and_keeps_the_size():
    toothed = disc(20)
    toothed[20, :] = True
    toothed[:3, 20] = True
    smooth = refine_mask(toothed, holes=0, specks=0, smooth=0.05)
    assert abs(int(smooth.sum()) - int(disc(20).sum())) < 0.05 * disc(20).sum()


def test_refine_fits_boxes_to_masks_on_request():
    masks = compact_masks([np.ones((5, 7), bool)], [(3, 2)], PICTURE.shape[:2])
    item = found("dog", [[0, 0, 20, 20]], [[0.9]], masks)
    assert Refine()([item])[0].detections.xyxy.tolist() == [[0, 0, 20, 20]]
    assert Refine(fit_boxes=True)([item])[0].detections.xyxy.tolist() == [[3, 2, 10, 7]]


def test_refine_leaves_an_empty_mask_empty():
    masks = compact_masks([np.zeros((5, 7), bool)], [(3, 2)], PICTURE.shape[:2])
    item = Refine(fit_boxes=True, smooth=0.1)([found("dog", [[0, 0, 20, 20]], [[0.9]], masks)])[0]
    assert item.detections.mask.area.tolist() == [0]
    assert item.detections.xyxy.tolist() == [[0, 0, 20, 20]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Merge("average"),
        lambda: Merge(overlap=0),
        lambda: Merge(within="phrase"),
        lambda: Refine(holes=-1),
        lambda: Parse("captions"),
    ],
)
def test_options_that_cannot_work_are_refused_when_the_stage_is_built(make):
    with pytest.raises(ConfigError):
        make()


class BadDetector:
    name, default_threshold = "bad", 0.5

    def __init__(self, result):
        self.result = result

    def detect(self, images, queries):
        return self.result


def test_a_detector_that_breaks_its_contract_is_named():
    import supervision as sv

    item = Grounding.ask(PICTURE, "dog")
    with pytest.raises(ConfigError, match="'bad' returned 0 results for 1 images"):
        Detect(BadDetector([]))([item])
    with pytest.raises(ConfigError, match="left out the columns"):
        Detect(BadDetector([sv.Detections.empty()]))([item])


def test_long_prompts_are_read_and_queries_that_were_read_stay():
    prompt = " . ".join(f"thing number {n}" for n in range(300))
    assert len(Parse().read(Query.of(prompt))) == 300
    for asked in ("the cup left of the laptop", "a dog, not toy dog", "dog . cat"):
        read = Parse().read(Query.of(asked))
        assert Parse().read(read) is read
    caption = Parse("caption").read(Query.of("A man walks two dogs."))
    assert Parse().read(caption) is caption
    page = Query((Phrase("man", span=(2, 5)),), source="A man " + "walks and " * 200)
    assert Parse().read(page) is page
