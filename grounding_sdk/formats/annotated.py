"""The noun of this room: a picture's name, its size and what is marked in it.

Every writer takes an iterable of `Annotated`, one row for each picture, and every reader gives
them back, so that any format becomes any other:

>>> row = Annotated("a.jpg", (4, 6), (Object("dog", (1, 0, 3, 2)),))
>>> row.file_name, row.size, row.objects[0].label
('a.jpg', (4, 6), 'dog')
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import supervision as sv

from grounding_sdk.detections import Size, compact_masks, mask_crop
from grounding_sdk.formats.errors import FormatError

Box: TypeAlias = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels


@dataclass(frozen=True, eq=False)
class Mask:
    """The pixels of an object: their smallest crop and where in the picture it lies.

    Attributes:
        crop: (h, w) bool. Empty rows and columns at its edges are cut off.
        x: Column of the crop's left edge.
        y: Row of its top edge.

    >>> Mask(np.array([[0, 0, 0], [0, 1, 1]], bool), 10, 20)
    Mask(crop=array([[ True,  True]]), x=11, y=21)
    """

    crop: np.ndarray
    x: int = 0
    y: int = 0

    def __post_init__(self) -> None:
        crop, left, top = mask_crop(np.asarray(self.crop, bool)[None], 0)
        object.__setattr__(self, "crop", crop)
        object.__setattr__(self, "x", int(self.x) + left if crop.size else 0)
        object.__setattr__(self, "y", int(self.y) + top if crop.size else 0)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.crop))

    @property
    def box(self) -> Box:
        """The smallest box around the pixels; zeros where there are none."""
        height, width = self.crop.shape
        return self.x, self.y, self.x + width, self.y + height

    def dense(self, size: Size) -> np.ndarray:
        """Returns the mask of the whole picture, (H, W) bool; what lies outside is cut off."""
        full = np.zeros(size, bool)
        left, top, right, bottom = (max(int(value), 0) for value in self.box)
        part = self.crop[top - self.y : size[0] - self.y, left - self.x : size[1] - self.x]
        full[top:bottom, left:right] = part
        return full

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        same_place = (self.x, self.y) == (other.x, other.y)
        return same_place and np.array_equal(self.crop, other.crop)

    __hash__ = None  # type: ignore[assignment]  # compared by its pixels


def union(masks: Iterable[Mask]) -> Mask:
    """Returns the pixels that are in any of the masks.

    >>> union([Mask(np.ones((1, 1), bool), 3, 0), Mask(np.ones((1, 1), bool), 1, 0)])
    Mask(crop=array([[ True, False,  True]]), x=1, y=0)
    """
    filled = [mask for mask in masks if mask.crop.size]
    if len(filled) < 2:
        return filled[0] if filled else Mask(np.zeros((0, 0), bool))
    left, top = min(mask.x for mask in filled), min(mask.y for mask in filled)
    right = max(mask.x + mask.crop.shape[1] for mask in filled)
    bottom = max(mask.y + mask.crop.shape[0] for mask in filled)
    canvas = np.zeros((bottom - top, right - left), bool)
    for mask in filled:
        height, width = mask.crop.shape
        x, y = mask.x - left, mask.y - top
        canvas[y : y + height, x : x + width] |= mask.crop
    return Mask(canvas, left, top)


@dataclass(frozen=True)
class Object:
    """One thing in a picture.

    Attributes:
        label: The class that it counts as.
        box: x1, y1, x2, y2 in pixels.
        mask: Its pixels, if they are known.
        score: The detector's score; None for what a person marked.
        mask_score: The segmenter's score, if there is one.
        phrase: The phrase that was found, if there was one.
        iscrowd: Whether it is a region with many such things, which evaluators ignore.
        margin: How far the score is above the best score of another label; None if that is not
            known.
    """

    label: str
    box: Box
    mask: Mask | None = None
    score: float | None = None
    mask_score: float | None = None
    phrase: str | None = None
    iscrowd: bool = False
    margin: float | None = None

    @property
    def has_pixels(self) -> bool:
        """Whether there is a mask, and something in it."""
        return self.mask is not None and self.mask.area > 0


@dataclass(frozen=True)
class Annotated:
    """One picture of a dataset.

    Attributes:
        file_name: Its name in the dataset: a relative path with forward slashes.
        size: (height, width) in pixels.
        objects: What is marked in it; may be empty.
        split: `"train"`, `"val"`, `"test"` or any other name; empty where there are no splits.
        source: Where the picture itself lies on this machine, if that is known.
    """

    file_name: str
    size: Size
    objects: tuple[Object, ...] = ()
    split: str = ""
    source: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", tuple(self.objects))


@dataclass(frozen=True)
class Dataset:
    """What a reader returns. Iterating over it reads the rows one by one, each time anew.

    Attributes:
        rows: Starts reading.
        labels: All labels in the order of their class ids; empty where a format keeps no list.
    """

    rows: Callable[[], Iterator[Annotated]]
    labels: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Annotated]:
        return self.rows()


def to_detections(row: Annotated, labels: Sequence[str]) -> sv.Detections:
    """Returns a row's objects as `supervision.Detections`.

    Args:
        row: The picture.
        labels: The class names that `class_id` indexes.

    Returns:
        Detections with `class_id`, `data["class_name"]` and `data["iscrowd"]`, compact masks if
        any object has one (empty for those without), and `confidence` if every object has a score.

    Raises:
        FormatError: If an object's label is not among the labels.
    """
    ids = ClassIds(labels)
    found = row.objects
    masks = None
    if any(each.mask is not None for each in found):
        nothing = Mask(np.zeros((0, 0), bool))
        crops = [each.mask or nothing for each in found]
        masks = compact_masks([m.crop for m in crops], [(m.x, m.y) for m in crops], row.size)
    scored = all(each.score is not None for each in found)
    return sv.Detections(
        xyxy=np.array([each.box for each in found], np.float32).reshape(-1, 4),
        mask=masks,
        confidence=np.array([each.score for each in found], np.float32) if scored else None,
        class_id=np.array([ids[each.label] for each in found], int),
        data={
            "class_name": np.array([each.label for each in found], str),
            "iscrowd": np.array([each.iscrowd for each in found], int),
        },
    )


class ClassIds(dict[str, int]):
    """Class ids of labels, from 0.

    With a list of labels, any other label is an error. Without one, labels get their ids in the
    order in which they are met.

    >>> ids = ClassIds()
    >>> ids["dog"], ids["cat"], ids["dog"]
    (0, 1, 0)

    Raises:
        FormatError: If a label is listed twice, or is met and not listed.
    """

    def __init__(self, labels: Sequence[str] = ()) -> None:
        super().__init__((label, index) for index, label in enumerate(labels))
        self._open = not labels
        if len(self) < len(labels):
            twice = next(label for i, label in enumerate(labels) if label in labels[:i])
            raise FormatError(f"the label {twice!r} is listed twice: list each label once")

    def __missing__(self, label: str) -> int:
        if not self._open:
            raise FormatError(
                f"an object is labelled {label!r}, expected one of the labels "
                f"{', '.join(map(repr, self))}: add it to the labels"
            )
        return self.setdefault(label, len(self))
