"""How far a figure can be trusted, given how few pictures it stands on."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

SAMPLES = 2000


def interval(hits: Sequence[bool], groups: Sequence[Hashable]) -> tuple[float, float]:
    """Returns the 95% bootstrap interval of the share of hits (percentile method, seeded).

    Whole groups are drawn with replacement, because answers in one picture depend on each other.

    Args:
        hits: N, whether each answer is right.
        groups: N, which picture each answer belongs to.

    >>> interval([True, True, True], ["a", "a", "b"])
    (1.0, 1.0)
    """
    number = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    group = np.array([number[group] for group in groups])
    right = np.bincount(group, weights=np.asarray(hits, float))
    count = np.bincount(group).astype(float)
    drawn = np.random.default_rng(0).integers(0, len(count), (SAMPLES, len(count)))
    shares = right[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(low), float(high)
