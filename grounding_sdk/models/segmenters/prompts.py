"""What a segmenter is asked: boxes, points and rough masks, checked once for every family."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from grounding_sdk.errors import PromptError

FOREGROUND, BACKGROUND, PADDING = 1, 0, -1  # labels of points
FARTHEST = 1e9  # pixels from the origin; beyond it float32 overflows inside the models


@dataclass(frozen=True, eq=False)
class Prompts:
    """N prompts, each the combination of what is not None.

    Attributes:
        boxes: (N, 4) float64 xyxy.
        points: (N, P, 2) float64 xy.
        labels: (N, P) int64, where there are points.
        masks: (N, h, w) float32 logits.
    """

    boxes: np.ndarray | None = None
    points: np.ndarray | None = None
    labels: np.ndarray | None = None
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return next(len(p) for p in (self.boxes, self.points, self.masks) if p is not None)

    @property
    def ambiguous(self) -> bool:
        """Whether each prompt is a single point, which may mean a part or the whole."""
        alone = self.boxes is None and self.masks is None
        return alone and self.points is not None and self.points.shape[1] == 1


def check_prompts(
    boxes: ArrayLike | None,
    points: ArrayLike | None,
    point_labels: ArrayLike | None,
    masks: ArrayLike | None,
    mask_size: tuple[int, int],
) -> Prompts:
    """Checks the prompts of a `Segmenter.decode`, whose arguments these are.

    Coordinates outside of the image are let through, as the models' own code does.

    Args:
        boxes: As for `decode`.
        points: As for `decode`.
        point_labels: As for `decode`.
        masks: As for `decode`.
        mask_size: (h, w) of the model's logits.

    Raises:
        PromptError: If no prompt is given, or shapes or values do not fit.

    >>> len(check_prompts([[0, 0, 9, 9], [2, 2, 5, 5]], None, None, None, (256, 256)))
    2
    """
    given = {"boxes": boxes, "points": points, "masks": masks}
    if all(value is None for value in given.values()):
        raise PromptError("no prompt: give boxes (N, 4), points (N, P, 2) or masks (N, h, w)")
    if points is None and point_labels is not None:
        raise PromptError("point_labels came without points: give points (N, P, 2) too")

    checked = Prompts(
        boxes=None if boxes is None else _boxes(boxes),
        points=None if points is None else _numbers("points", points, "(N, P, 2)", (None, 2)),
        masks=None if masks is None else _masks(masks, mask_size),
    )
    counts = {name: len(value) for name in given if (value := getattr(checked, name)) is not None}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise PromptError(f"expected the same number of each kind of prompt, got {listed}")
    if checked.points is None:
        return checked

    labels = _labels(point_labels, checked.points.shape[:2])
    real = labels != PADDING
    _check_finite("points", checked.points[real])
    lonely = ~real.any(axis=1)
    if lonely.any() and checked.boxes is None and checked.masks is None:
        raise PromptError(
            f"prompt {lonely.argmax()} has padding points only: give it a point with label "
            f"1 (on the object) or 0 (off it), a box or a mask"
        )
    return Prompts(checked.boxes, checked.points, labels, checked.masks)


def chunks(prompts: Prompts, size: int) -> Iterator[tuple[np.ndarray, Prompts]]:
    """Splits prompts into chunks that a model takes at once.

    Padding points are dropped, and only prompts with the same number of points go together: as the
    models attend to padding, a prompt's result would otherwise depend on its neighbours.

    Yields:
        The rows that the chunk's prompts have among all, and the at most `size` prompts.

    >>> points, labels = np.zeros((3, 2, 2)), np.array([[1, -1], [1, 1], [0, -1]])
    >>> for rows, chunk in chunks(Prompts(points=points, labels=labels), 16):
    ...     print(rows, chunk.points.shape)
    [0 2] (2, 1, 2)
    [1] (1, 2, 2)
    """
    real = (
        np.zeros((len(prompts), 0), bool) if prompts.labels is None else prompts.labels != PADDING
    )
    counts = real.sum(axis=1)
    for count in np.unique(counts):
        alike = np.flatnonzero(counts == count)
        for start in range(0, len(alike), size):
            rows = alike[start : start + size]
            points = labels = None
            if count and prompts.points is not None and prompts.labels is not None:
                points = prompts.points[rows][real[rows]].reshape(len(rows), count, 2)
                labels = prompts.labels[rows][real[rows]].reshape(len(rows), count)
            yield (
                rows,
                Prompts(
                    boxes=None if prompts.boxes is None else prompts.boxes[rows],
                    points=points,
                    labels=labels,
                    masks=None if prompts.masks is None else prompts.masks[rows],
                ),
            )


def _boxes(boxes: ArrayLike) -> np.ndarray:
    checked = _numbers("boxes", boxes, "(N, 4)", (4,))
    _check_finite("boxes", checked)
    crossed = (checked[:, 2] < checked[:, 0]) | (checked[:, 3] < checked[:, 1])
    if crossed.any():
        row = int(crossed.argmax())
        raise PromptError(
            f"expected boxes as (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, got "
            f"{checked[row].tolist()} in row {row}: boxes of x, y, width, height need converting"
        )
    return checked


def _masks(masks: ArrayLike, mask_size: tuple[int, int]) -> np.ndarray:
    height, width = mask_size
    checked = _numbers("masks", masks, f"(N, {height}, {width})", mask_size).astype(np.float32)
    if not np.isfinite(checked).all():
        raise PromptError("expected finite logits as masks, got NaN or infinity")
    return checked


def _labels(labels: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
    if labels is None:
        return np.full(shape, FOREGROUND, np.int64)
    checked = _numbers("point_labels", labels, f"{shape}", shape[1:])
    if checked.shape != shape:
        raise PromptError(f"expected point_labels of shape {shape}, got {checked.shape}")
    known = np.isin(checked, (FOREGROUND, BACKGROUND, PADDING))
    if not known.all():
        raise PromptError(
            f"expected point_labels of 1 (on the object), 0 (off it) or -1 (padding), "
            f"got {checked[~known][0]:g}"
        )
    return checked.astype(np.int64)


def _numbers(name: str, values: ArrayLike, wanted: str, tail: tuple[int | None, ...]) -> np.ndarray:
    """The values as a float64 array (N, *tail), None in `tail` standing for any length."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(f"expected {name} as numbers of shape {wanted}: {error}") from None
    if array.shape == (0,):  # an empty list says nothing of the other sides
        array = array.reshape(0, *(side or 0 for side in tail))
    if not _fits(array.shape[1:], tail):
        hint = f": one of them is {name}[None]" if _fits(array.shape, tail) else ""
        raise PromptError(f"expected {name} of shape {wanted}, got {array.shape}{hint}")
    return array


def _fits(sides: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(sides) == len(wanted) and all(
        want in (None, side) for side, want in zip(sides, wanted, strict=True)
    )


def _check_finite(name: str, values: np.ndarray) -> None:
    if not (np.abs(values) < FARTHEST).all():  # false for NaN too
        raise PromptError(
            f"expected finite {name} within {FARTHEST:.0e} pixels, got NaN, infinity or more"
        )
