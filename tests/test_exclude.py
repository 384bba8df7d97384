"""Excluded phrases: exact outcomes on tables of scores, and one on the embedded model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from grounding_sdk import Detect, FakeDetector, Grounder, Grounding, Phrase, Query
from grounding_sdk.detections import compact_masks, detections_from_scores
from grounding_sdk.stages.exclude import compete, plain_query

PICTURE = np.zeros((60, 80, 3), np.uint8)
A, NEAR_A, HALF_A, FAR = (0, 0, 20, 20), (0, 0, 20, 15), (0, 0, 20, 9), (40, 40, 60, 60)


def excluded(text, label="", threshold=None):
    return Phrase(text, label, threshold, role="exclude")


@dataclass
class RowDetector:
    """Scores every phrase on every box, as OWL and the embedded model do."""

    boxes: list
    scores: dict  # of each text on each box
    name: str = "rows"
    default_threshold: float = 0.3

    def detect(self, images, queries):
        self.asked = queries
        return [self._detect(i, q) for i, q in zip(images, queries, strict=True)]

    def _detect(self, image, query):
        scores = np.array([self.scores[text] for text in query.texts]).T
        return detections_from_scores(
            image.size, query, np.array(self.boxes), scores, self.default_threshold
        )


def ground(detector, *phrases, threshold=None):
    item = Grounding.ask(PICTURE, Query(phrases))
    return Detect(detector, threshold)([item])[0].detections


def summary(found):
    """(label, x and y of the box, score) of each detection."""
    return [
        (str(label), tuple(box[:2].astype(int).tolist()), round(float(score), 3))
        for label, box, score in zip(found["class_name"], found.xyxy, found.confidence, strict=True)
    ]


DOG, TOY = Phrase("dog"), excluded("toy dog", "dog")


@pytest.mark.parametrize(
    "phrases, dog, toy, cat, expected",
    [
        ((DOG, TOY), 0.6, 0.7, 0, []),
        ((DOG, TOY), 0.7, 0.6, 0, [("dog", (0, 0), 0.7)]),
        ((DOG, TOY), 0.6, 0.6, 0, [("dog", (0, 0), 0.6)]),  # a tie goes to what is asked for
        # The box goes to the next best that is asked for, if that reaches its threshold,
        ((DOG, TOY, Phrase("cat")), 0.6, 0.7, 0.4, [("cat", (0, 0), 0.4)]),
        ((DOG, TOY, Phrase("cat")), 0.6, 0.7, 0.2, []),
        ((DOG, TOY, Phrase("cat", threshold=0.1)), 0.6, 0.7, 0.2, [("cat", (0, 0), 0.2)]),
        # unless the exclusion is from every label, or from a label that both share.
        ((DOG, excluded("toy dog"), Phrase("cat")), 0.6, 0.7, 0.4, []),
        (
            (Phrase("dog", "pet"), excluded("toy dog", "pet"), Phrase("cat", "pet")),
            0.6,
            0.7,
            0.4,
            [],
        ),
        # An exclusion with a threshold of its own speaks from there on; others speak always.
        ((DOG, excluded("toy dog", "dog", 0.8)), 0.6, 0.7, 0, [("dog", (0, 0), 0.6)]),
        ((DOG, excluded("toy dog", "dog", 0.65)), 0.6, 0.7, 0, []),
        ((Phrase("dog", threshold=0.1), TOY), 0.15, 0.2, 0, []),
        # What is excluded from one label may be another label itself.
        ((DOG, Phrase("toy dog"), TOY), 0.6, 0.7, 0, [("toy dog", (0, 0), 0.7)]),
    ],
)
def test_an_excluded_phrase_competes_for_each_box(phrases, dog, toy, cat, expected):
    detector = RowDetector([A], {"dog": [dog], "toy dog": [toy], "cat": [cat]})
    assert summary(ground(detector, *phrases)) == expected


@pytest.mark.parametrize(
    "phrases, dogs, toys, expected",
    [
        ((DOG, TOY), [(A, 0.6), (FAR, 0.5)], [(NEAR_A, 0.7)], [("dog", (40, 40), 0.5)]),
        ((DOG, TOY), [(A, 0.8)], [(NEAR_A, 0.7)], [("dog", (0, 0), 0.8)]),
        ((DOG, TOY), [(A, 0.7)], [(NEAR_A, 0.7)], [("dog", (0, 0), 0.7)]),
        ((DOG, TOY), [(A, 0.6)], [(HALF_A, 0.7)], [("dog", (0, 0), 0.6)]),  # IoU 0.45
        ((DOG, excluded("toy dog")), [(A, 0.6)], [(NEAR_A, 0.7)], []),
        (
            (DOG, Phrase("cat"), excluded("toy dog", "cat")),
            [(A, 0.6)],
            [(A, 0.7)],
            [("dog", (0, 0), 0.6)],
        ),
        ((DOG, TOY), [(A, 0.6)], [(A, 0.2)], [("dog", (0, 0), 0.6)]),  # below the threshold
        ((DOG, excluded("toy dog", "dog", 0.8)), [(A, 0.6)], [(A, 0.7)], [("dog", (0, 0), 0.6)]),
        ((DOG, TOY), [(FAR, 0.4), (A, 0.5)], [], [("dog", (0, 0), 0.5), ("dog", (40, 40), 0.4)]),
        ((DOG, TOY), [], [(A, 0.7)], []),
        ((DOG, TOY), [], [], []),
    ],
)
def test_boxes_of_an_excluded_phrase_suppress_those_that_they_overlap(
    phrases, dogs, toys, expected
):
    detector = FakeDetector({"dog": dogs, "toy dog": toys})
    found = ground(detector, *phrases)
    assert summary(found) == expected
    assert found["phrase_scores"].shape == (len(expected), len(phrases))


def test_a_box_on_which_it_is_a_tie_is_no_box_of_the_excluded_phrase():
    detector = RowDetector([A, NEAR_A], {"dog": [0.6, 0.5], "toy dog": [0.6, 0]})
    assert [score for _, _, score in summary(ground(detector, TOY, DOG))] == [0.6, 0.5]


def test_the_result_is_numbered_as_the_query_is():
    hat, cap = Phrase("hard hat", "helmet"), excluded("cap", "helmet")
    phrases = (cap, Phrase("dog"), hat, excluded("hot dog", "dog"), Phrase("cap"))
    boxes = [A, FAR, (0, 40, 20, 60)]
    scores = {
        "dog": [0.1, 0.5, 0],
        "hard hat": [0.6, 0, 0.1],
        "cap": [0.5, 0, 0.7],
        "hot dog": [0, 0.4, 0],
    }
    found = ground(RowDetector(boxes, scores), *phrases)
    assert found["class_name"].tolist() == ["cap", "helmet", "dog"]
    assert found.class_id.tolist() == [2, 1, 0]  # Query.labels: dog, helmet, cap
    assert found["phrase"].tolist() == ["cap", "hard hat", "dog"]
    assert found["phrase_id"].tolist() == [4, 2, 1]
    np.testing.assert_allclose(found["phrase_scores"][1], [0.5, 0.1, 0.6, 0, 0.5])


def test_detectors_are_asked_plainly():
    detector = RowDetector([A], {"dog": [0.5], "toy dog": [0.6], "cat": [0]})
    query = (
        replace(DOG, span=(0, 3)),
        Phrase("cat", "pet", 0.5, role="part"),
        excluded("toy dog", "pet", 0.9),
        TOY,
        excluded("cat", "dog"),
    )
    ground(detector, *query, threshold=0.4)
    assert detector.asked[0].phrases == (
        Phrase("dog", threshold=0.4),
        Phrase("cat", threshold=0.5),
        Phrase("toy dog", threshold=0.4),
    )


def test_no_box_is_lost_to_a_threshold_that_only_an_exclusion_has():
    detector = RowDetector([A], {"dog": [0.6], "toy dog": [0.7]})
    assert summary(ground(detector, DOG, excluded("toy dog", "dog", 0.9))) == [("dog", (0, 0), 0.6)]


def test_nothing_changes_where_nothing_is_excluded():
    query, found = Query.of("dog . cat"), object()
    assert plain_query(query, 0.3) is query
    assert compete(query, found, 0.3) is found


def test_masks_and_further_columns_stay_with_their_rows():
    query = Query((DOG, TOY))
    plain = plain_query(query, 0.3)
    boxes, scores = np.array([A, FAR, (0, 40, 9, 49)]), np.array([[0.5, 0.9], [0.4, 0.1], [0.8, 0]])
    masks = compact_masks([np.ones((n, n), bool) for n in (2, 3, 4)], [(0, 0)] * 3, (60, 80))
    found = detections_from_scores((60, 80), plain, boxes, scores, 0.3, masks)
    found.data["area"] = np.array(found.mask.area)
    found.data["mask_score"] = np.array(found.mask.area, np.float32)
    result = compete(query, found, 0.3)
    assert summary(result) == [("dog", (0, 40), 0.8), ("dog", (40, 40), 0.4)]
    assert result.mask.area.tolist() == result["area"].tolist() == [16, 9]
    assert result["mask_score"].tolist() == [16, 9]


def test_a_batch_may_mix_queries_with_and_without_exclusions():
    detector = FakeDetector({"dog": [(A, 0.6)], "toy dog": [(A, 0.7)]})
    asked = [Query((DOG, TOY)), Query((DOG,)), Query((Phrase("toy dog"),))]
    items = Detect(detector)([Grounding.ask(PICTURE, query) for query in asked])
    assert [len(item) for item in items] == [0, 1, 1]
    assert items[0].counts == {"dog": 0}


def test_a_large_vocabulary_is_no_trouble():
    rng = np.random.default_rng(0)
    names = [f"thing {n}" for n in range(1203)]
    query = Query(
        [*map(Phrase, names), *(excluded(f"no {n}", name) for n, name in enumerate(names))]
    )
    plain = plain_query(query, 0.3)
    corners = rng.uniform(0, 40, (300, 2))
    boxes = np.hstack([corners, corners + 20])
    scores = rng.uniform(0, 1, (300, len(plain)))
    found = compete(query, detections_from_scores((60, 80), plain, boxes, scores, 0.3), 0.3)
    assert set(found["phrase_id"]) <= set(range(1203))


def test_the_embedded_model_takes_no_cat_for_a_dog():
    ground = Grounder("mini", None, threshold=0.15)
    photo = "demos/images/cat.jpg"
    assert ground(photo, "dog").counts["dog"] > 0
    assert ground(photo, Query((Phrase("dog"), excluded("cat", "dog")))).counts == {"dog": 0}
    assert ground(photo, Query((Phrase("cat"), excluded("dog", "cat")))).counts["cat"] > 0
