"""Choosing what a referring expression means, among boxes that are known."""

from __future__ import annotations

import numpy as np
import pytest
import supervision as sv

from grounding_sdk import (
    ConfigError,
    Detect,
    FakeDetector,
    FakeSegmenter,
    Grounder,
    Grounding,
    Image,
    Parse,
    Phrase,
    Pipeline,
    Query,
)
from grounding_sdk.detections import compact_masks
from grounding_sdk.stages import Relate
from grounding_sdk.stages.colors import color_scores
from grounding_sdk.stages.geometry import between, place, relation
from grounding_sdk.target import PLACES, RANKS, RELATIONS, Condition, Target

GREY = Image(np.full((100, 200, 3), 128, np.uint8))


def ground(text, table, image=GREY, reader="auto"):
    boxes = {phrase: [(box, 0.8) for box in found] for phrase, found in table.items()}
    pipeline = Pipeline([Parse(reader), Detect(FakeDetector(boxes)), Relate()])
    return pipeline(image, text)


def chosen(text, table, **options):
    return [tuple(map(int, box)) for box in ground(text, table, **options).detections.xyxy]


# A row of cups on a table, a laptop in the middle of it.
A, B, C = (10, 40, 20, 50), (60, 38, 75, 53), (150, 30, 175, 55)
LAPTOP, TABLE = (90, 25, 130, 55), (0, 48, 200, 100)
ROW = {"cup": [A, B, C], "laptop": [LAPTOP], "table": [TABLE]}


@pytest.mark.parametrize(
    "text, boxes",
    [
        ("the cup left of the laptop", [B]),  # both are; the larger and nearer one is meant
        ("cups left of the laptop", [A, B]),
        ("the cup right of the laptop", [C]),
        ("the cup to the right of the laptop", [C]),
        ("the leftmost cup", [A]),
        ("the cup on the left", [A]),
        ("the right cup", [C]),
        ("the middle cup", [B]),
        ("the second cup from the left", [B]),
        ("the second cup from the right", [B]),
        ("the third cup from the left", [C]),
        ("the fourth cup from the left", []),
        ("the largest cup", [C]),
        ("the second largest cup", [B]),
        ("the smallest cup", [A]),
        ("the two largest cups", [C, B]),
        ("the two smallest cups", [A, B]),
        ("the three cups", [A, B, C]),
        ("the cup closest to the laptop", [B]),
        ("the cup nearest the laptop", [B]),
        ("the cup farthest from the laptop", [A]),
        ("the cup not on the left", [C]),
        ("cups that are not left of the laptop", [C]),
        ("the cup above the laptop", []),
        ("the laptop between the cups", [LAPTOP]),
        ("the cup between the cup and the laptop", [B]),
        ("all cups on the table", [A, B, C]),
        ("every cup", [A, B, C]),
        ("the cup and the laptop", [C, LAPTOP]),
        ("the cup", [C]),
        ("one of the cups", [C]),
        ("cups larger than the laptop", []),
        ("cups smaller than the laptop", [A, B, C]),
        ("the cups except the leftmost one", [B, C]),
        ("the cups, not the largest one", [A, B]),
    ],
)
def test_conditions_choose(text, boxes):
    table = ROW | {"cups": ROW["cup"]}
    assert sorted(chosen(text, table)) == sorted(boxes)
    if "two" in text:
        assert chosen(text, table) == boxes  # best first


PERSON, CHILD, CAP, UMBRELLA = (
    (20, 10, 50, 90),
    (100, 40, 120, 90),
    (28, 8, 42, 18),
    (98, 20, 130, 45),
)
PEOPLE = {
    "person": [PERSON, CHILD],
    "helmet": [CAP],
    "cap": [CAP],
    "umbrella": [UMBRELLA],
    "bench": [(90, 70, 150, 95)],
    "tree": [(150, 0, 190, 60)],
}


@pytest.mark.parametrize(
    "text, boxes",
    [
        ("person wearing cap", [PERSON]),
        ("person without helmet", [CHILD]),
        ("the person not wearing a helmet", [CHILD]),
        ("the person holding the umbrella", [CHILD]),
        ("the person with the cap", [PERSON]),
        ("the umbrella held by the person", [UMBRELLA]),
        ("the umbrella the person is holding", [UMBRELLA]),
        ("the person on the bench", [CHILD]),
        ("the person behind the bench", [CHILD]),
        ("the person next to the tree", [CHILD]),
        ("the person far from the tree", [PERSON]),
        ("the taller person", [PERSON]),
        ("the person taller than the other person", [PERSON]),
        ("the person next to the person holding an umbrella", [PERSON]),
        ("the person's cap", [CAP]),
        ("the nearest person", [PERSON]),
    ],
)
def test_relations_between_things_choose(text, boxes):
    assert chosen(text, PEOPLE) == boxes


def test_a_missing_anchor_decides_nothing_and_is_said():
    result = ground("the cup left of the plate", ROW)
    assert len(result) == 1
    assert "no plate was found" in result.explain()
    assert chosen("person without scarf", PEOPLE) == [PERSON, CHILD]


def test_words_that_were_not_understood_are_said():
    assert "not understood: 'facing left'" in ground("the cup facing left", ROW).explain()


def test_colors_are_seen():
    pixels = np.full((100, 200, 3), 255, np.uint8)
    pixels[20:80, 20:80], pixels[20:80, 120:180] = (200, 20, 20), (30, 60, 200)
    cars = {"red car": [(20, 20, 80, 80), (120, 20, 180, 80)]} | {
        f"{color} car": [(20, 20, 80, 80), (120, 20, 180, 80)] for color in ("blue", "green")
    }
    image = Image(pixels)
    assert chosen("the red car", cars, image=image) == [(20, 20, 80, 80)]
    assert chosen("the blue car", cars, image=image) == [(120, 20, 180, 80)]
    cars["car"] = cars["red car"]
    assert chosen("the car that is not red", cars, image=image) == [(120, 20, 180, 80)]
    assert chosen("cars, not the red one", cars, image=image) == [(120, 20, 180, 80)]
    assert color_scores("striped", pixels, np.array([[0, 0, 9, 9]])) is None
    assert color_scores("red", pixels, np.empty((0, 4))).shape == (0,)
    assert color_scores("red", pixels, np.array([[20.2, 20.1, 20.3, 20.2]]))[0] == 1


def test_explain_shows_every_condition_of_every_candidate():
    result = ground("the two cups left of the laptop on the table", ROW)
    (evidence,) = result.evidence
    assert evidence.names == ("cup", "left of laptop", "on table", "prominence")
    assert evidence.scores.shape == (3, 4)
    np.testing.assert_allclose(evidence.scores.prod(axis=1), evidence.total, rtol=1e-5)
    assert evidence.chosen.tolist() == [True, True, False]
    assert 0.9 < evidence.margin <= 1
    text = result.explain()
    assert text.startswith("the two cups left of the laptop on the table (the best 2)")
    assert text.count("->") == 2
    assert "plain phrases" in ground("cup", ROW).explain()
    assert "no relate stage" in Grounding.ask(GREY, Parse().read(Query.of("the cup"))).explain()


def test_the_margin_is_small_where_two_fit_alike():
    twins = {"cup": [(10, 10, 20, 20), (11, 40, 21, 50)]}
    assert ground("the cup", twins).evidence[0].margin == 0
    assert ground("the cup on the left", {"cup": []}).evidence[0].margin == 0


def test_results_keep_labels_columns_and_plain_phrases():
    result = ground(
        {"the largest cup": "big", "laptop": "computer", "the leftmost cup": "left"}, ROW
    )
    found = result.detections
    assert found["class_name"].tolist() == ["big", "left", "computer"]
    assert found["target"].tolist() == [0, 1, -1]
    assert found["phrase"].tolist() == ["cup", "cup", "laptop"]
    assert [result.query.labels[i] for i in found.class_id] == ["big", "left", "computer"]
    assert found["phrase_scores"].shape == (3, len(result.query))
    assert result.counts == {"computer": 1, "big": 1, "left": 1}
    empty = ground("the largest cup", {}).detections
    assert set(empty.data) == set(found.data)
    assert empty["match"].dtype == np.float32
    assert set(ground("cup", {}).detections.data) == set(found.data)


def test_one_object_found_under_two_phrases_is_one_candidate():
    class Both:
        name, default_threshold = "both", 0.1

        def detect(self, images, queries):
            from grounding_sdk.detections import detections_from_scores

            boxes = np.array([[10, 10, 40, 90], [100, 10, 140, 90]], float)
            rows = {"man": (0.9, 0.6), "person": (0.8, 0.7)}
            scores = np.array([rows[text] for text in queries[0].texts]).T
            return [detections_from_scores(GREY.size, queries[0], boxes, scores, 0.1)]

    pipeline = Pipeline([Parse(), Detect(Both()), Relate()])
    result = pipeline(GREY, "the man next to the other person")
    assert result.detections.xyxy.tolist() == [[10, 10, 40, 90]]
    assert result.detections.confidence.tolist() == pytest.approx([0.9])


def test_masks_stay_with_their_boxes_and_decide_sizes():
    boxes = np.array([[0, 0, 40, 40], [50, 0, 80, 30]], np.float32)
    masks = compact_masks(
        [np.eye(40, dtype=bool), np.ones((30, 30), bool)], [(0, 0), (50, 0)], (100, 200)
    )
    query = Parse().read(Query.of("the largest cup . plate"))
    index = query.texts.index("cup")
    found = sv.Detections(
        xyxy=boxes,
        confidence=np.array([0.9, 0.8], np.float32),
        class_id=np.array([0, 0]),
        mask=masks,
        data={
            "class_name": np.array(["cup", "cup"]),
            "phrase": np.array(["cup", "cup"]),
            "phrase_id": np.array([index, index]),
            "mask_score": np.array([0.5, 0.6], np.float32),
            "phrase_scores": np.zeros((2, len(query)), np.float32),
        },
    )
    (result,) = Relate()([Grounding(GREY, query, found)])
    assert result.detections.xyxy.tolist() == [[50, 0, 80, 30]]
    assert int(result.detections.area[0]) == 900
    assert result.detections["mask_score"].tolist() == pytest.approx([0.6])


def test_the_front_door_relates_before_it_segments():
    table = {phrase: [(box, 0.8) for box in boxes] for phrase, boxes in ROW.items()}
    ground_ = Grounder(FakeDetector(table), FakeSegmenter())
    result = ground_(GREY, "the cup left of the laptop")
    assert [step.stage for step in result.trace][-3:] == ["relate", "segment", "refine"]
    assert len(result) == 1
    assert result.detections.mask is not None
    assert result.counts == {"cup": 1}


def test_every_kind_of_condition_can_be_scored():
    boxes = {"cup": [A, B, C], "laptop": [LAPTOP]}
    for kind in (*PLACES, *RANKS, *RELATIONS, "color"):
        anchors = (Target("laptop"),) * (kind in RELATIONS)
        for negated in (False, True):
            condition = Condition(kind, anchors, value="red" * (kind == "color"), negated=negated)
            query = Query(
                (Phrase("cup", role="part"), Phrase("laptop", role="part")),
                targets=(Target("cup", count=1, conditions=(condition,)),),
            )
            (evidence,) = ground(query, boxes).evidence
            assert evidence.scores.min() >= 0
            assert evidence.scores.max() <= 1


# --- geometry --------------------------------------------------------------------------------


def test_opposite_relations_swap():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (20, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1) + 1], axis=1)
    for one, other in [
        ("left of", "right of"),
        ("above", "below"),
        ("behind", "in front of"),
        ("holding", "held by"),
        ("larger than", "smaller than"),
        ("taller than", "shorter than"),
        ("near", "near"),
        ("touching", "touching"),
        ("same as", "same as"),
    ]:
        ours, theirs = relation(one, boxes, boxes), relation(other, boxes, boxes)
        np.testing.assert_allclose(ours, theirs.T, atol=1e-9, err_msg=one)


@pytest.mark.parametrize("kind", [kind for kind in RELATIONS if kind != "between"])
def test_relations_do_not_depend_on_scale_or_place(kind):
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 100, (10, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1) + 1], axis=1)
    scores = relation(kind, boxes[:5], boxes[5:])
    assert scores.shape == (5, 5)
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_allclose(
        relation(kind, boxes[:5] * 7 + 30, boxes[5:] * 7 + 30), scores, atol=1e-6
    )


def test_flipping_the_picture_swaps_sides():
    boxes = np.array([[0, 0, 30, 20], [50, 40, 90, 100]], float)
    flipped = np.array([[70, 0, 100, 20], [10, 40, 50, 100]], float)
    np.testing.assert_allclose(
        place("left", boxes, (100, 100)), place("right", flipped, (100, 100))
    )
    np.testing.assert_allclose(
        place("center", boxes, (100, 100)), place("center", flipped, (100, 100))
    )


def test_between_is_between():
    left, right = np.array([[0, 40, 20, 60]]), np.array([[80, 40, 100, 60]])
    boxes = np.array([[40, 40, 60, 60], [40, 90, 60, 110], [110, 40, 130, 60]])
    scores = between(boxes, left, right)[:, 0, 0]
    assert scores[0] > 0.9 > 0.2 > scores[1]
    assert scores[2] < 0.1


def test_more_than_said_can_be_kept():
    boxes = {phrase: [(box, 0.8) for box in found] for phrase, found in ROW.items()}
    parts = Parse(), Detect(FakeDetector(boxes))
    assert len(Pipeline([*parts, Relate(top_k=2)])(GREY, "the leftmost cup")) == 2
    assert len(Pipeline([*parts, Relate(top_k=2)])(GREY, "cups on the table")) == 2


def test_options_are_checked():
    with pytest.raises(ConfigError, match="top_k"):
        Relate(top_k=0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Relate(meets=2)


def test_how_words_are_read_is_saved_with_a_pipeline():
    chat = "http://localhost:8000/v1#a-model"
    pipeline = Pipeline([Parse("referring", chat), Detect("fake"), Relate(0.4, top_k=2)])
    config = pipeline.to_config()
    assert config["stages"][0] == {"stage": "parse", "reader": "referring", "rewriter": chat}
    assert Pipeline.from_config(config).to_config() == config


def test_one_that_is_said_to_be_there_is_looked_for_harder():
    faint = {"cup": [(10, 10, 40, 40)], "laptop": [(60, 10, 90, 40)]}
    boxes = {phrase: [(box, 0.2) for box in found] for phrase, found in faint.items()}
    pipeline = Pipeline([Parse(), Detect(FakeDetector(boxes)), Relate()])  # threshold 0.3
    assert len(pipeline(GREY, "the cup left of the laptop")) == 1
    assert len(pipeline(GREY, "cups left of the laptop")) == 0
    assert len(pipeline(GREY, "cup")) == 0
    assert len(pipeline(GREY, [Phrase("the cup", threshold=0.3)])) == 0
    strict = Pipeline([Parse(), Detect(FakeDetector(boxes), threshold=0.3), Relate()])
    assert len(strict(GREY, "the cup")) == 0
