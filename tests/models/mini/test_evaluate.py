"""The figures, on results made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from grounding_sdk.models.mini.evaluate import (
    ap50_of,
    best_f1,
    compare,
    hits_at,
    interval,
    top_right,
)
from grounding_sdk.models.mini.sources import Annotation, Photo

PHOTOS = [
    Photo("a.jpg", (Annotation("dog", (0, 0, 100, 100)), Annotation("cat", (200, 0, 300, 100)))),
    Photo("b.jpg", (Annotation("dog", (50, 50, 150, 150)),)),
]
RIGHT = (np.array([[0, 0, 100, 98], [202, 0, 300, 100.0]]), np.array([0.9, 0.8]), ["dog", "cat"])
NAMED_WRONG = (np.array([[50.0, 50, 150, 150]]), np.array([0.7]), ["cat"])


def test_names_count_in_ap_and_not_in_class_agnostic_ap() -> None:
    rows = [(b, s, np.array(n)) for b, s, n in (RIGHT, NAMED_WRONG)]
    with_names = compare(PHOTOS, rows, ["cat", "dog"], agnostic=False)
    without = compare(PHOTOS, rows, ["cat", "dog"], agnostic=True)
    assert without.stats[1] == pytest.approx(1.0)
    assert with_names.stats[1] == pytest.approx((1 + 0.5) / 2, abs=0.02)  # cat 1, dog 1 of 2
    assert ap50_of(with_names, np.arange(2)) == pytest.approx(with_names.stats[1])
    assert ap50_of(with_names, np.array([0, 0])) == pytest.approx(1.0)
    assert ap50_of(with_names, np.array([1])) == pytest.approx(0.0)


def test_hits_top_and_threshold() -> None:
    rows = [(b, s, np.array(n)) for b, s, n in (RIGHT, NAMED_WRONG)]
    assert hits_at(PHOTOS[0], rows[0], 0.85) == (1, 1, 2)
    assert [top_right(p, r) for p, r in zip(PHOTOS, rows, strict=True)] == [True, False]
    assert not top_right(PHOTOS[0], (np.zeros((0, 4)), np.zeros(0), np.array([])))
    best = best_f1(PHOTOS, rows)
    assert 0.7 < best["threshold"] < 0.8
    assert best["f1"] == pytest.approx(0.8)


def test_an_interval_holds_its_value() -> None:
    values = np.array([0.0, 1.0] * 20)
    found = interval(lambda chosen: float(values[chosen].mean()), 40, 200)
    assert found["low"] < found["value"] == 0.5 < found["high"]
