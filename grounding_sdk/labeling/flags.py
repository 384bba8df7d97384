"""What is doubtful in a job's rows: each doubt with a number and words, the worst pictures first.

    known = usual(rows)                      # what is ordinary in this job
    for flag in row_flags(row, known):
        print(flag.words)                    # "score 0.21, the lowest tenth of 'dog' is below 0.35"
    review_queue(rows, limit=100)            # the pictures to look at first

The functions are pure, rows are taken one by one, and of each picture a few numbers are kept.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import supervision as sv

from grounding_sdk.formats import Annotated, Mask, Object
from grounding_sdk.formats.annotated import Box
from grounding_sdk.labeling.errors import LabelingError

# Every kind of doubt, as a person reads it.
KINDS = {
    "low_score": "low score",
    "margin": "close second label",
    "overlap": "overlapping labels",
    "tiny": "tiny",
    "border": "touches the border",
    "box_mask": "box and mask differ",
    "fill": "thin mask in its box",
    "count": "unusual count",
    "empty": "nothing found",
    "extra": "not in the other job",
    "missing": "only in the other job",
    "label_differs": "other label in the other job",
}
_BINS = 100  # that scores are counted in
_PAIRS = 100  # of rivals that are told of a picture, in which hundreds may be at one place
_MOST = 1000  # objects of a label in a picture are counted up to this


@dataclass(frozen=True)
class Limits:
    """From where on something is doubtful.

    Attributes:
        score: Lowest good score of a label with too few objects to know its ordinary ones.
        few: So many objects, or pictures, are too few to tell what is ordinary.
        margin: Two labels of one box or place whose scores are closer than this compete.
        overlap: IoU from which on boxes of two labels are at one place.
        pixels: Area below which an object is tiny.
        share: The same, as a part of the picture; the larger of the two counts.
        border: Distance from the picture's edge, in pixels, at which an object touches it.
        box_mask: Lowest good IoU of a box with the box around its mask.
        fill: Lowest good share of its box that a mask covers.
        match: IoU from which on objects of two jobs are the same.
    """

    score: float = 0.3
    few: int = 20
    margin: float = 0.15
    overlap: float = 0.7
    pixels: float = 64
    share: float = 1e-4
    border: float = 1.0
    box_mask: float = 0.6
    fill: float = 0.1
    match: float = 0.5


@dataclass(frozen=True)
class Flag:
    """A doubt.

    Attributes:
        kind: One of `KINDS`.
        value: The number that it is about: a score, an IoU, an area, a count.
        doubt: How doubtful, from 0 to 1.
        words: What a person should know.
        objects: Indices of the row's objects that it is about; none if it is the picture.
        box: Where, if no object of the row is there.
    """

    kind: str
    value: float
    doubt: float
    words: str
    objects: tuple[int, ...] = ()
    box: Box | None = None


@dataclass(frozen=True)
class LabelUse:
    """What is ordinary for a label.

    Attributes:
        objects: How many there are in the job.
        low: The score that a tenth of them lies below; None if there are too few to tell.
        most: The highest count in a picture that is not unusual; None likewise.
    """

    objects: int
    low: float | None
    most: float | None


@dataclass(frozen=True)
class Usual:
    """What is ordinary in a job.

    Attributes:
        pictures: How many rows there are.
        empty: How many have no object.
        labels: All labels, those with most objects first.
    """

    pictures: int = 0
    empty: int = 0
    labels: Mapping[str, LabelUse] = field(default_factory=dict)


@dataclass(frozen=True)
class Doubtful:
    """A picture in the queue: its item's name, its doubt from 0 to 1, and the kinds of flags."""

    item: str
    doubt: float
    kinds: tuple[str, ...]


def usual(rows: Iterable[Annotated], limits: Limits = Limits()) -> Usual:
    """Reads all rows once and tells what is ordinary. Memory grows with the labels alone."""
    scores: dict[str, np.ndarray] = {}
    counts: dict[str, Counter[int]] = {}
    totals: Counter[str] = Counter()
    pictures = empty = 0
    for row in rows:
        pictures += 1
        empty += not row.objects
        for each in row.objects:
            if each.score is not None:
                bins = scores.setdefault(each.label, np.zeros(_BINS, np.int64))
                bins[min(max(int(each.score * _BINS), 0), _BINS - 1)] += 1
        for label, count in Counter(each.label for each in row.objects).items():
            totals[label] += count
            counts.setdefault(label, Counter())[min(count, _MOST)] += 1
    labels = {
        label: LabelUse(total, _low(scores.get(label), limits), _most(counts[label], limits))
        for label, total in sorted(totals.items(), key=lambda each: (-each[1], each[0]))
    }
    return Usual(pictures, empty, labels)


def row_flags(
    row: Annotated, known: Usual = Usual(), *, limits: Limits = Limits()
) -> tuple[Flag, ...]:
    """Returns all that is doubtful in a row by itself and beside the job's others.

    >>> row = Annotated("a.jpg", (100, 100), (Object("dog", (20, 20, 60, 60), score=0.25),))
    >>> [flag.words for flag in row_flags(row)]
    ['score 0.25, below 0.30']
    """
    found = [
        *_low_scores(row, known, limits),
        *_close_labels(row, limits),
        *_rivals(row, limits),
        *_shapes(row, limits),
        *_counts(row, known, limits),
    ]
    return tuple(sorted(found, key=lambda flag: -flag.doubt))


def job_flags(row: Annotated, other: Annotated, *, limits: Limits = Limits()) -> tuple[Flag, ...]:
    """Returns where two jobs, or models, disagree on a picture.

    Objects are the same if their boxes overlap; those of one label are matched first, by IoU.

    >>> here = Annotated("a.jpg", (9, 9), (Object("dog", (0, 0, 4, 4)),))
    >>> there = Annotated("a.jpg", (9, 9), (Object("wolf", (0, 0, 4, 4), score=0.5),))
    >>> [flag.words for flag in job_flags(here, there)]
    ["the other job calls it 'wolf' (score 0.50)"]
    """
    ious = _box_ious(row.objects, other.objects)
    same = np.array(
        [[a.label == b.label for b in other.objects] for a in row.objects], bool
    ).reshape(ious.shape)
    flags = []
    pairs = _matched(ious, same, limits.match)
    for index, there in pairs:
        twin = other.objects[there]
        if twin.label != row.objects[index].label:
            words = f"the other job calls it {twin.label!r}{_score(twin)}"
            flags.append(Flag("label_differs", float(ious[index, there]), 0.9, words, (index,)))
    for index in sorted(set(range(len(row.objects))) - {a for a, _ in pairs}):
        best = float(ious[index].max(initial=0.0))
        flags.append(Flag("extra", best, 0.7, "the other job has nothing here", (index,)))
    for there in sorted(set(range(len(other.objects))) - {b for _, b in pairs}):
        twin = other.objects[there]
        best = float(ious[:, there].max(initial=0.0))
        words = f"the other job has a {twin.label!r} here{_score(twin)}"
        doubt = 0.7 if twin.score is None else min(max(twin.score, 0.3), 0.9)
        flags.append(Flag("missing", best, doubt, words, (), twin.box))
    return tuple(sorted(flags, key=lambda flag: -flag.doubt))


def picture_doubt(flags: Iterable[Flag]) -> float:
    """Returns the doubt about a picture: the chance that any of its kinds of flags is right.

    Of each kind the worst flag counts, as if kinds were independent.

    >>> flags = [Flag("tiny", 9, 0.5, ""), Flag("tiny", 20, 0.4, ""), Flag("fill", 0, 0.5, "")]
    >>> picture_doubt(flags)
    0.75
    """
    worst: dict[str, float] = {}
    for flag in flags:
        worst[flag.kind] = max(worst.get(flag.kind, 0.0), flag.doubt)
    return 1 - math.prod(1 - doubt for doubt in worst.values())


def review_queue(
    rows: Iterable[Annotated],
    *,
    other: Callable[[str], Annotated | None] | None = None,
    limit: int | None = None,
    limits: Limits = Limits(),
    known: Usual | None = None,
) -> list[Doubtful]:
    """Returns the pictures to look at, the most doubtful first.

    Args:
        rows: Read twice, unless `known` is given.
        other: Gives another job's row of the same name, if that has one.
        limit: At most so many pictures; memory grows with these alone.
        limits: From where on something is doubtful.
        known: What `usual` returned.

    Raises:
        LabelingError: If the rows can be read only once.
    """
    known = known or usual(again(rows), limits)
    found = (_doubtful(row, known, other, limits) for row in rows)

    def order(each: Doubtful) -> tuple[float, str]:
        return -each.doubt, each.item

    return sorted(found, key=order) if limit is None else heapq.nsmallest(limit, found, key=order)


def all_flags(
    row: Annotated,
    known: Usual,
    other: Callable[[str], Annotated | None] | None,
    limits: Limits = Limits(),
) -> tuple[Flag, ...]:
    """Returns the flags of a row, and those of another job's row of its name if there is one."""
    flags = row_flags(row, known, limits=limits)
    twin = None if other is None else other(row.file_name)
    return flags if twin is None else (*job_flags(row, twin, limits=limits), *flags)


def again(rows: Iterable[Annotated]) -> Iterable[Annotated]:
    """Returns rows that can be read more than once.

    Raises:
        LabelingError: If they cannot.
    """
    if iter(rows) is rows:
        raise LabelingError(
            "expected rows that can be read more than once: a list, a Dataset or a Ledger; "
            "got an iterator. Pass list(rows), if they fit in memory"
        )
    return rows


def _doubtful(
    row: Annotated,
    known: Usual,
    other: Callable[[str], Annotated | None] | None,
    limits: Limits,
) -> Doubtful:
    flags = all_flags(row, known, other, limits)
    kinds = tuple(dict.fromkeys(flag.kind for flag in flags))
    return Doubtful(row.file_name, picture_doubt(flags), kinds)


def _low(bins: np.ndarray | None, limits: Limits) -> float | None:
    """The lower edge of the bin with the lowest tenth's end: scores that are all alike are fine."""
    if bins is None or bins.sum() < limits.few:
        return None
    return int(np.searchsorted(np.cumsum(bins), 0.1 * bins.sum())) / _BINS


def _most(counts: Counter[int], limits: Limits) -> float | None:
    """Tukey's upper fence, and at least 2 above the upper quartile."""
    if counts.total() < limits.few:
        return None
    values = np.repeat(list(counts), list(counts.values()))
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high + max(2.0, 1.5 * (high - low)))


def _low_scores(row: Annotated, known: Usual, limits: Limits) -> Iterator[Flag]:
    for index, each in enumerate(row.objects):
        use = known.labels.get(each.label)
        low = None if use is None else use.low
        if each.score is None or each.score >= (limits.score if low is None else low):
            continue
        words = f"score {each.score:.2f}, " + (
            f"below {limits.score:.2f}"
            if low is None
            else f"the lowest tenth of {each.label!r} is below {low:.2f}"
        )
        yield Flag("low_score", each.score, min(max(1 - each.score, 0.0), 1.0), words, (index,))


def _close_labels(row: Annotated, limits: Limits) -> Iterator[Flag]:
    """Boxes that the detector would almost have given another label."""
    for index, each in enumerate(row.objects):
        if each.margin is not None and each.margin < limits.margin:
            words = f"another label scores only {each.margin:.2f} less than {each.label!r}"
            doubt = 1 - max(each.margin, 0.0) / limits.margin / 2
            yield Flag("margin", each.margin, doubt, words, (index,))


def _rivals(row: Annotated, limits: Limits) -> Iterator[Flag]:
    """Objects of different labels at one place: one of the labels is likely to be wrong."""
    ious = _box_ious(row.objects, row.objects)
    pairs = np.argwhere(np.triu(ious >= limits.overlap, 1))
    worst = np.argsort(-ious[tuple(pairs.T)], kind="stable")[:_PAIRS]
    for a, b in pairs[worst].tolist():
        one, two = row.objects[a], row.objects[b]
        if one.label == two.label:
            continue
        iou = float(ious[a, b])
        if one.mask is not None and two.mask is not None and one.has_pixels and two.has_pixels:
            iou = _mask_iou(one.mask, two.mask)
            if iou < limits.match:
                continue
        both = f"{one.label!r} and {two.label!r} cover the same place"
        yield Flag("overlap", iou, iou, f"{both} (IoU {iou:.2f})", (a, b))
        if one.score is None or two.score is None:
            continue
        margin = abs(one.score - two.score)
        if margin < limits.margin:
            words = f"the scores of {one.label!r} and {two.label!r} are {margin:.2f} apart"
            yield Flag("margin", margin, 1 - margin / limits.margin / 2, words, (a, b))


def _shapes(row: Annotated, limits: Limits) -> Iterator[Flag]:
    height, width = row.size
    smallest = max(limits.pixels, limits.share * height * width)
    for index, each in enumerate(row.objects):
        x1, y1, x2, y2 = each.box
        box_area = max(x2 - x1, 0) * max(y2 - y1, 0)
        area = each.mask.area if each.mask is not None and each.has_pixels else box_area
        if area < smallest:
            words = f"only {area:.0f} pixels, {x2 - x1:.0f} x {y2 - y1:.0f}"
            yield Flag("tiny", area, 0.5, words, (index,))
        gap = min(x1, y1, width - x2, height - y2)
        if each.mask is not None and each.has_pixels:
            left, top, right, bottom = each.mask.box
            gap = min(gap, left, top, width - right, height - bottom)
        if gap < limits.border:
            words = "touches the picture's border: it may be cut off"
            yield Flag("border", max(gap, 0.0), 0.1, words, (index,))
        if each.mask is None:
            continue
        iou = _iou(each.box, each.mask.box)
        if not each.has_pixels:
            yield Flag("box_mask", 0.0, 1.0, "the mask is empty", (index,))
        elif iou < limits.box_mask:
            words = f"the mask spans another place than the box (IoU {iou:.2f})"
            yield Flag("box_mask", iou, 1 - iou, words, (index,))
        elif box_area and area / box_area < limits.fill:
            fill = area / box_area
            words = f"the mask fills only {100 * fill:.0f} % of its box"
            yield Flag("fill", fill, 1 - fill / limits.fill / 2, words, (index,))


def _counts(row: Annotated, known: Usual, limits: Limits) -> Iterator[Flag]:
    for label, count in Counter(each.label for each in row.objects).items():
        use = known.labels.get(label)
        if use is not None and use.most is not None and count > use.most:
            words = f"{count} {label!r}, where other pictures have up to {use.most:.0f}"
            yield Flag("count", count, 1 - use.most / count / 2, words)
    if not row.objects and known.pictures >= limits.few:
        share = 1 - known.empty / known.pictures
        if share > 0.5:
            words = f"nothing was found, while something was in {100 * share:.0f} % of the pictures"
            yield Flag("empty", 0, share / 2, words)


def _matched(ious: np.ndarray, same: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Pairs rows with columns, each once: those of one label first, then by IoU."""
    candidates = np.argwhere(ious >= least).tolist()
    candidates.sort(key=lambda pair: (not same[tuple(pair)], -ious[tuple(pair)]))
    pairs: dict[int, int] = {}
    taken = set()
    for a, b in candidates:
        if a not in pairs and b not in taken:
            pairs[a] = b
            taken.add(b)
    return list(pairs.items())


def _box_ious(one: Sequence[Object], two: Sequence[Object]) -> np.ndarray:
    if not one or not two:
        return np.zeros((len(one), len(two)))
    a, b = (np.array([each.box for each in found], np.float64) for found in (one, two))
    return np.nan_to_num(sv.box_iou_batch(a, b))


def _iou(one: Box, two: Box) -> float:
    return float(_box_ious([Object("", one)], [Object("", two)])[0, 0])


def _mask_iou(one: Mask, two: Mask) -> float:
    left, top = max(one.x, two.x), max(one.y, two.y)
    right, bottom = min(one.box[2], two.box[2]), min(one.box[3], two.box[3])
    if right <= left or bottom <= top:
        return 0.0
    parts = [
        mask.crop[top - mask.y : int(bottom) - mask.y, left - mask.x : int(right) - mask.x]
        for mask in (one, two)
    ]
    shared = int(np.count_nonzero(parts[0] & parts[1]))
    return shared / (one.area + two.area - shared)


def _score(each: Object) -> str:
    return "" if each.score is None else f" (score {each.score:.2f})"
