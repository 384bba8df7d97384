from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grounding_sdk import ConfigError, Phrase, Query, QueryError
from grounding_sdk.detections import detections_from_scores
from grounding_sdk.evaluation.annotations import AnnotationsError
from grounding_sdk.evaluation.label_matches import match_labels
from grounding_sdk.evaluation.threshold_curve import Ranking, best_threshold
from grounding_sdk.evaluation.thresholds import choose_thresholds, query_with, tune
from grounding_sdk.formats import Annotated, Object
from grounding_sdk.grounding import Grounding

SIZE = (100, 1000)


def box(place):
    """The box of the place-th thing in a picture; boxes of different places do not touch."""
    return (20.0 * place, 10.0, 20.0 * place + 15, 40.0)


def row(*things, name="a.png", crowds=()):
    """A picture with things (label, place) in it."""
    objects = [Object(label, box(place)) for label, place in things]
    objects += [Object(label, where, iscrowd=True) for label, where in crowds]
    return Annotated(name, SIZE, tuple(objects))


def found(query, *hits):
    """Detections of hits (phrase, place or box, score)."""
    scores = np.zeros((len(hits), len(query)))
    for index, (text, _, score) in enumerate(hits):
        scores[index, query.texts.index(text)] = score
    boxes = [box(where) if isinstance(where, int) else where for _, where, _ in hits]
    return detections_from_scores(SIZE, query, np.array(boxes).reshape(-1, 4), scores, 0.01)


def dogs(right, wrong, missed=0):
    """One picture a score, so that all can be drawn: a right or a wrong detection of a dog."""
    query = Query.of("dog")
    rows = [row(("dog", 1)) for _ in right] + [row() for _ in wrong]
    rows += [row(("dog", 1)) for _ in range(missed)]
    detections = [found(query, ("dog", 1, score)) for score in (*right, *wrong)]
    return detections + [found(query)] * missed, rows, query


def choose(detections, rows, query, **options):
    options = {"default_threshold": 0.3, "rounds": 20, "enough": 1} | options
    return choose_thresholds(detections, rows, query, **options)


@pytest.mark.parametrize(
    "right, wrong, missed, aim, threshold",
    [
        ([0.9, 0.8, 0.7], [0.3, 0.2], 0, {}, 0.5),  # a clean cut: the middle of the gap
        ([0.9, 0.8, 0.3], [0.5, 0.2], 0, {}, 0.25),  # one false alarm is worth the third dog
        ([0.9, 0.3], [0.8, 0.7, 0.6, 0.5], 0, {}, 0.85),  # four are not
        ([0.9, 0.8, 0.3], [0.5, 0.2], 0, {"precision": 1.0}, 0.65),
        ([0.9, 0.8, 0.3], [0.5, 0.2], 0, {"precision": 0.75}, 0.25),
        ([0.9, 0.8, 0.3], [0.5, 0.2], 0, {"recall": 0.6}, 0.65),
        ([0.9, 0.8, 0.3], [0.5, 0.2], 0, {"recall": 1.0}, 0.25),
        ([0.9, 0.8], [0.5, 0.2], 2, {"recall": 0.4}, 0.65),
    ],
)
def test_the_best_threshold_is_known_by_hand(right, wrong, missed, aim, threshold):
    tuning = choose(*dogs(right, wrong, missed), **aim)
    (choice,) = tuning.choices
    assert choice.threshold == pytest.approx(threshold)
    assert (choice.right, choice.wrong) == (len(right), len(wrong))
    assert choice.objects == len(right) + missed
    assert choice.basis == "label"
    assert tuning.tuned.phrases[0].threshold == choice.threshold


def test_figures_are_those_of_what_a_user_of_the_thresholds_would_get():
    tuning = choose(*dogs([0.9, 0.8, 0.3], [0.5, 0.2]))
    assert (tuning.after.precision, tuning.after.recall) == (0.75, 1.0)
    assert tuning.after.f1 == pytest.approx(6 / 7)
    assert tuning.choices[0].figures == tuning.after
    assert (tuning.before.precision, tuning.before.recall) == (0.75, 1.0)  # at 0.3
    strict = choose(*dogs([0.9, 0.8, 0.3], [0.5, 0.2]), default_threshold=0.85)
    assert (strict.before.precision, strict.before.recall) == (1.0, pytest.approx(1 / 3))
    low, high = tuning.after.interval
    assert low < tuning.after.f1 < high
    low, high = tuning.choices[0].interval
    assert low <= tuning.choices[0].threshold <= high
    assert 0 < tuning.f1_unseen < 1


def test_what_is_wanted_and_never_reached_is_said():
    detections, rows, query = dogs([0.8, 0.7], [0.9, 0.6])
    (choice,) = choose(detections, rows, query, precision=0.95).choices
    assert choice.threshold == 0.65  # two of three are right
    assert choice.reason == "precision 0.95 not reached, the nearest"
    (choice,) = choose(*dogs([0.8], [0.6, 0.5], missed=3), recall=0.5).choices
    assert (choice.threshold, choice.figures.recall) == (0.7, 0.25)
    assert "recall 0.5 not reached" in choice.reason


def test_of_plateaus_that_are_equally_good_the_widest_is_taken():
    # F1 is 2/3 with the first alone and with all three; the second threshold range is wider.
    tuning = choose(*dogs([0.9, 0.4], [0.85, 0.8], missed=0))
    curve = tuning.curves["dog"]
    assert curve.f1.round(3).tolist() == [0.0, 0.667, 0.5, 0.4, 0.667]
    assert tuning.choices[0].threshold == pytest.approx((0.01 + 0.4) / 2, abs=0.006)


@pytest.mark.parametrize("enough, basis", [(2, "label"), (3, "all"), (7, "kept")])
def test_few_examples_take_the_threshold_of_more(enough, basis):
    query = Query((Phrase("dog", threshold=0.33), Phrase("cat")))
    rows = [row(("dog", 1), ("dog", 2), ("cat", 3)) for _ in range(2)]
    detections = [
        found(query, ("dog", 1, 0.9), ("dog", 5, 0.6), ("cat", 3, 0.5), ("cat", 6, 0.2))
        for _ in range(2)
    ] + [found(query, *[("cat", 3, 0.4 + i / 100) for i in range(1)], ("cat", 7, 0.1))]
    rows.append(row(("cat", 3)))
    tuning = choose(detections, rows, query, enough=enough)
    dog, cat = tuning.choices
    assert (dog.right, dog.wrong, cat.right, cat.wrong) == (2, 2, 3, 3)
    assert dog.basis == basis
    assert dog.objects == 4
    if basis == "label":
        assert (dog.threshold, cat.threshold) == (0.75, 0.3)
    if basis == "all":  # dogs take what is best for all; cats have enough of their own
        assert dog.reason == "too few examples, 2 right and 2 wrong: that of all labels together"
        assert (dog.threshold, cat.threshold, cat.basis) == (0.3, 0.3, "label")
    if basis == "kept":
        assert dog.reason == "too few examples, 2 right and 2 wrong: kept as it was"
        assert (dog.threshold, cat.threshold) == (0.33, None)
        assert dog.interval is None
        assert tuning.tuned == query
        assert tuning.after == tuning.before


def test_phrases_of_a_label_share_its_threshold_or_are_chosen_together():
    query = Query.of({"helmet": "helmet", "hard hat": "helmet"})
    # A "hard hat" is right from 0.3 on, a "helmet" only from 0.7 on.
    hits = [("helmet", 1, 0.8), ("helmet", 9, 0.5), ("helmet", 10, 0.45), ("hard hat", 2, 0.4)]
    rows = [row(("helmet", 1), ("helmet", 2))] * 3
    detections = [found(query, *hits, ("hard hat", 11, 0.2), ("helmet", 12, 0.1))] * 3
    shared = choose(detections, rows, query)
    assert len({choice.threshold for choice in shared.choices}) == 1
    assert shared.after.f1 == pytest.approx(2 / 3)
    own = choose(detections, rows, query, by="phrase")
    assert own.thresholds == {"helmet": 0.65, "hard hat": 0.3}
    assert [choice.basis for choice in own.choices] == ["phrase", "phrase"]
    assert own.after.f1 == 1
    few = choose(detections, rows, query, by="phrase", enough=4)
    assert [choice.basis for choice in few.choices] == ["label", "label"]
    assert "too few examples, 3 right and 9 wrong: that of its label" in few.choices[0].reason
    # A recall is the label's: no phrase alone can find all.
    assert [c.basis for c in choose(detections, rows, query, by="phrase", recall=1.0).choices] == [
        "label",
        "label",
    ]
    precise = choose(detections, rows, query, by="phrase", precision=1.0)
    assert precise.thresholds == {"helmet": 0.65, "hard hat": 0.3}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(1, 9), st.booleans()), min_size=4, max_size=9
    ),
    st.integers(0, 3),
)
def test_jointly_chosen_thresholds_are_the_best_of_all_pairs(hits, missed):
    query = Query.of({"helmet": "helmet", "hard hat": "helmet"})
    places = range(1, 40)
    scored = [
        (query.texts[p], place, s / 10) for (p, s, _), place in zip(hits, places, strict=False)
    ]
    there = [place for (_, _, right), place in zip(hits, places, strict=False) if right]
    rows = [row(*[("helmet", place) for place in [*there, *range(45, 45 + missed)]])]
    detections = [found(query, *scored)]
    tuning = choose(detections, rows, query, names=["helmet"], by="phrase", rounds=0)
    if any(choice.basis != "phrase" for choice in tuning.choices):
        return
    levels = [0.05 + k / 10 for k in range(11)]
    best = max(
        2 * hit / (kept + len(there) + missed)
        for a, b in itertools.product(levels, levels)
        for kept, hit in [_counts(hits, (a, b))]
    )
    assert tuning.after.f1 == pytest.approx(best)


def _counts(hits, thresholds):
    kept = [right for p, s, right in hits if s / 10 >= thresholds[p]]
    return len(kept), sum(kept)


SCORED = st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.integers(0, 3)), max_size=20)


@settings(max_examples=60, deadline=None)
@given(SCORED, st.lists(st.integers(0, 4), min_size=4, max_size=4), st.integers(0, 99))
def test_curves_agree_with_counting(scored, extra, at):
    score = np.array([s / 20 for s, _, _ in scored], np.float32)
    right = np.array([r for _, r, _ in scored], bool)
    picture = np.array([p for _, _, p in scored], int)
    objects = np.bincount(picture[right], minlength=4) + extra
    weight = np.array([2, 0, 1, 3])
    curve = Ranking(score, right, picture, objects, 0.01).curve(weight)
    threshold = at / 100
    kept = (score >= np.float32(threshold)) if threshold > 0.01 else np.ones(len(score), bool)
    row_ = curve.row(threshold)
    assert curve.found[row_] == weight[picture[kept]].sum()
    assert curve.hits[row_] == weight[picture[kept & right]].sum()
    assert curve.objects == (objects * weight).sum()
    recall = curve.hits[row_] / curve.objects if curve.objects else np.nan
    assert curve.recall[row_] == pytest.approx(recall, nan_ok=True)
    if curve.found[row_]:
        assert curve.precision[row_] == curve.hits[row_] / curve.found[row_]


@settings(max_examples=60, deadline=None)
@given(SCORED.filter(lambda scored: any(r for _, r, _ in scored)))
def test_raising_what_is_raised_never_goes_the_other_way(scored):
    score = np.array([s / 20 for s, _, _ in scored], np.float32)
    right = np.array([r for _, r, _ in scored], bool)
    ranking = Ranking(score, right, np.zeros(len(score), int), np.array([right.sum()]), 0.01)
    curve = ranking.curve()
    # Rows come with falling thresholds.
    assert (np.diff(curve.recall) >= 0).all()
    assert (np.diff(curve.high) <= 0).all()
    wanted = np.linspace(0.05, 1, 12)
    by_precision = [best_threshold(curve, precision=w)[0] for w in wanted]
    by_recall = [best_threshold(curve, recall=w)[0] for w in wanted]
    assert by_precision == sorted(by_precision)
    assert by_recall == sorted(by_recall, reverse=True)
    best, _ = best_threshold(curve)
    assert curve.f1[curve.row(best)] == curve.f1.max()


def test_matching_is_greedy_by_score_and_leaves_crowds_out():
    query = Query.of("dog . cat")
    left, shifted = box(1), (22.0, 10.0, 37.0, 40.0)  # IoU 13/17
    rows = [row(("dog", 1), ("cat", 4), crowds=[("dog", (200, 0, 400, 100))])]
    detections = [
        found(
            query,
            ("dog", shifted, 0.9),  # takes the dog, though the next one fits better
            ("dog", left, 0.8),
            ("dog", (250, 10, 270, 30), 0.7),  # one of the crowd: neither right nor wrong
            ("dog", (190, 10, 205, 30), 0.6),  # two thirds of it outside
            ("dog", 4, 0.5),  # a cat
            ("cat", 4, 0.4),
        )
    ]
    matches = match_labels(detections, rows, query)
    scored = sorted(
        (round(score, 2), right)
        for score, right in zip(matches.score.tolist(), matches.right.tolist(), strict=True)
    )
    assert scored == [(0.4, True), (0.5, False), (0.6, False), (0.8, False), (0.9, True)]
    assert {k: v.tolist() for k, v in matches.objects.items()} == {"dog": [1], "cat": [1]}
    # Without the first, the second takes the dog.
    assert match_labels(detections, rows, query, thresholds=np.array([0.0, 0.0])).right.sum() == 2
    again = match_labels([detections[0][1:]], rows, query)
    assert again.right[again.score == np.float32(0.8)].all()


def test_labels_meet_whatever_their_capitals():
    query = Query.of({"hard hat": "Hard Hat", "dog": "dog"})
    rows = [row(("hard  hat", 1), ("Dog", 2), ("dog", 3))]
    detections = [found(query, ("hard hat", 1, 0.9), ("dog", 3, 0.9), ("dog", 2, 0.8))]
    matches = match_labels(detections, rows, query)
    assert matches.objects["Hard Hat"].tolist() == [1]
    assert matches.objects["dog"].tolist() == [1]  # "Dog" is another label beside "dog"


def test_a_label_that_the_annotations_do_not_know_is_not_judged():
    detections, rows, _ = dogs([0.9, 0.8], [0.2])
    query = Query.of("dog . unicorn")
    detections = [found(query, ("dog", 1, float(d.confidence[0]))) for d in detections]
    tuning = choose([*detections, found(query, ("unicorn", 1, 0.9))], [*rows, row()], query)
    dog, unicorn = tuning.choices
    assert (unicorn.threshold, unicorn.objects, unicorn.basis) == (dog.threshold, 0, "all")
    assert unicorn.reason.startswith("the annotations know no 'unicorn'")
    assert np.isnan(unicorn.figures.precision)
    assert tuning.after.f1 == 1
    # If it is known to be nowhere, it is a false alarm.
    tuning = choose(
        [*detections, found(query, ("unicorn", 1, 0.9))],
        [*rows, row()],
        query,
        names=["unicorn", "dog"],
    )
    assert tuning.choices[1].wrong == 1
    assert tuning.after.precision < 1


def test_excluded_phrases_are_neither_judged_nor_changed():
    query = Query((Phrase("dog"), Phrase("wolf", "dog", threshold=0.9, role="exclude")))
    rows = [row(("dog", 1))] * 3 + [row()]
    detections = [
        found(query, ("dog", 1, 0.8)),
        found(query, ("dog", 1, 0.7)),
        found(query, ("wolf", 1, 0.6)),
        found(query, ("dog", 1, 0.2)),
    ]
    tuning = choose(detections, rows, query)
    assert [choice.phrase for choice in tuning.choices] == ["dog"]
    assert (tuning.choices[0].right, tuning.choices[0].wrong) == (2, 1)
    assert tuning.tuned.phrases[1] == query.phrases[1]


def test_a_result_is_plain_data_without_nan(tmp_path):
    query = Query.of("dog . unicorn")
    tuning = choose([found(query, ("dog", 1, 0.9)), found(query)], [row(("dog", 1)), row()], query)
    told = json.loads(json.dumps(tuning.to_dict(), allow_nan=False))
    assert set(told) == {"pictures", "f1_unseen", "before", "after", "phrases"}
    assert told["phrases"][1]["figures"]["precision"] is None
    assert choose([found(query)], [row(("dog", 1))], query).choices[0].threshold is None


def test_query_with_changes_what_it_is_told_to():
    query = Query((Phrase("dog", threshold=0.2), Phrase("cat"), Phrase("fox", role="exclude")))
    assert [p.threshold for p in query_with(query, 0.4)] == [0.4, 0.4, None]
    assert [p.threshold for p in query_with(query, {"cat": 0.5})] == [0.2, 0.5, None]
    with pytest.raises(QueryError, match="'fox' is no phrase to be found"):
        query_with(query, {"fox": 0.5})
    with pytest.raises(QueryError, match="between 0 and 1"):
        query_with(query, 1.5)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"precision": 0.9, "recall": 0.9}, ConfigError, "give one"),
        ({"precision": 0.0}, ConfigError, "wanted precision above 0"),
        ({"recall": 1.2}, ConfigError, "wanted recall above 0"),
        ({"query": Query.of("horse")}, AnnotationsError, "none of the query's labels .*: dog"),
        ({"rows": [], "detections": []}, AnnotationsError, "got none"),
    ],
)
def test_what_cannot_be_chosen_is_refused(change, error, message):
    detections, rows, query = dogs([0.9], [0.2])
    given_ = {"detections": detections, "rows": rows, "query": query} | change
    with pytest.raises(error, match=message):
        choose(given_.pop("detections"), given_.pop("rows"), given_.pop("query"), **given_)


def test_tune_asks_once_for_everything_and_refuses_expressions(tmp_path):
    detections, rows, query = dogs([0.9, 0.8], [0.2])
    rows = [replace(r, file_name=f"{i}.png", source=f"/x/{i}.png") for i, r in enumerate(rows)]
    asked = []

    def ground(path, lowered):
        asked.append((path.name, [p.threshold for p in lowered]))
        image = np.zeros((4, 4, 3), np.uint8)
        return replace(Grounding.ask(image, lowered), detections=detections[int(path.stem)])

    tuning = tune(ground, rows, query, default_threshold=0.3, enough=1, rounds=5)
    assert asked == [(f"{i}.png", [0.01]) for i in range(3)]
    assert tuning.thresholds == {"dog": 0.5}

    def reads(path, lowered):
        return Grounding.ask(np.zeros((4, 4, 3), np.uint8), "hound")

    with pytest.raises(QueryError, match="was read as hound"):
        tune(reads, rows, query, default_threshold=0.3)
    from grounding_sdk.text import read_prompt

    with pytest.raises(QueryError, match="nothing but names"):
        tune(ground, rows, read_prompt("dog . the cat left of the dog"), default_threshold=0.3)
    with pytest.raises(ConfigError, match="Give the folder"):
        tune(ground, [row(("dog", 1))], query, default_threshold=0.3)
