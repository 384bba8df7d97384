"""How often the box chosen for a referring expression is the one that was meant.

The measure is that of RefCOCO (Yu et al., 2016): a choice is right if its IoU with the annotated
box is at least 0.5. Only the first, best box counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, TypeVar

from grounding_sdk.errors import ImageNotFoundError
from grounding_sdk.evaluation.annotations import (
    AnnotationsError,
    AnnotationsLike,
    Box,
    entries,
    load_annotations,
    xyxy,
)
from grounding_sdk.evaluation.bootstrap import interval
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image

T = TypeVar("T")

MIN_IOU = 0.5
NO_KIND = "unspecified"


@dataclass(frozen=True)
class Expression:
    """A referring expression and the box that it means.

    Attributes:
        id: As in the annotations.
        text: The words.
        kind: What sort of expression it is.
        file_name: Of its picture, as in the annotations.
        size: (height, width) of the picture in the annotations, if they say.
        box: What is meant, xyxy in pixels.
    """

    id: Any
    text: str
    kind: str
    file_name: str
    size: tuple[int, int] | None
    box: Box


@dataclass(frozen=True)
class Answer:
    """What came back for an expression.

    Attributes:
        expression: The question.
        box: The box that was chosen, xyxy in pixels; None if there was none.
        iou: Its overlap with the true one.
        explanation: Why it was chosen (`Grounding.explain`); of wrong answers only.
        problem: Why there could be no right answer, such as an error; "" if nothing is known.
        unread: Whether that is because the picture is missing or cannot be read.
    """

    expression: Expression
    box: Box | None
    iou: float = 0.0
    explanation: str = ""
    problem: str = ""
    unread: bool = False

    @property
    def correct(self) -> bool:
        """Whether the right thing was chosen."""
        return self.iou >= MIN_IOU

    def to_dict(self) -> dict[str, Any]:
        """Returns the answer as plain JSON types."""
        asked = self.expression
        return {
            "id": asked.id,
            "image": asked.file_name,
            "phrase": asked.text,
            "kind": asked.kind,
            "box": None if self.box is None else _rounded(self.box),
            "iou": round(self.iou, 4),
            "true_box": _rounded(asked.box),
            "problem": self.problem,
            "explanation": self.explanation,
        }


@dataclass(frozen=True)
class Figure:
    """A share of right answers.

    Attributes:
        accuracy: In [0, 1].
        n: Of how many.
        interval: 95% bootstrap interval over pictures.
    """

    accuracy: float
    n: int
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns the figure as plain JSON types."""
        return {"accuracy": self.accuracy, "n": self.n, "interval": list(self.interval)}


@dataclass(frozen=True)
class ReferringReport:
    """All answers, at least one, in the order of the annotations, and their figures."""

    answers: tuple[Answer, ...]

    @cached_property
    def total(self) -> Figure:
        """The figure of all answers."""
        return _figure(self.answers)

    @cached_property
    def by_kind(self) -> dict[str, Figure]:
        """The figure of each kind, in order of first use."""
        kinds = dict.fromkeys(answer.expression.kind for answer in self.answers)
        return {
            kind: _figure([a for a in self.answers if a.expression.kind == kind]) for kind in kinds
        }

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.total.accuracy

    @property
    def n(self) -> int:
        """The number of answers."""
        return self.total.n

    @property
    def failures(self) -> list[Answer]:
        """The wrong answers."""
        return [answer for answer in self.answers if not answer.correct]

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain JSON types."""
        return {
            **self.total.to_dict(),
            "by_kind": {kind: figure.to_dict() for kind, figure in self.by_kind.items()},
            "failures": [answer.to_dict() for answer in self.failures],
        }


def evaluate_referring(
    ground: Callable[[Image, str], Grounding],
    images_dir: str | Path,
    annotations: AnnotationsLike,
    *,
    kinds: Collection[str] | None = None,
    limit: int | None = None,
    progress: Callable[[Answer], object] | None = None,
) -> ReferringReport:
    """Asks for every annotated expression and compares the best box with the true one.

    An expression or picture that makes `ground` fail is a wrong answer with its reason, and the
    run goes on; so is a picture that is missing.

    Args:
        ground: What is judged: from picture and expression to a result, its best box first.
        images_dir: The folder of the pictures; their `file_name` is looked for in it and in
            `images` below it.
        annotations: COCO JSON, read or as a path, with `phrases` beside the usual lists: each has
            `image_id` and `phrase`, a `bbox` or an `ann_id`, and may have `id` and `kind`.
        kinds: Only expressions of these kinds.
        limit: Only the first so many.
        progress: Called with each answer as it comes.

    Raises:
        AnnotationsError: If the annotations lack something, or no expression is left to ask.
        ImageNotFoundError: If there is no such folder, or not one of the pictures is in it.
    """
    asked = read_expressions(annotations)
    if kinds is not None:
        unknown = set(kinds) - {each.kind for each in asked}
        if unknown:
            there = ", ".join(dict.fromkeys(each.kind for each in asked))
            raise AnnotationsError(f"no phrase is of the kind {min(unknown)!r}; there are {there}")
        asked = [each for each in asked if each.kind in kinds]
    if limit is not None and limit < 1:
        raise AnnotationsError(f"expected a limit of 1 or more, got {limit}")
    asked = asked[:limit]
    paths = _find_pictures(images_dir, [each.file_name for each in asked])

    answers: dict[int, Answer] = {}
    for file_name, path in paths.items():
        picture = _attempt(Image.load, path)
        for index in (i for i, each in enumerate(asked) if each.file_name == file_name):
            answers[index] = _answer(ground, picture, asked[index])
            if progress is not None:
                progress(answers[index])
    return ReferringReport(tuple(answers[index] for index in range(len(asked))))


def read_expressions(annotations: AnnotationsLike) -> list[Expression]:
    """Reads the `phrases` of COCO JSON annotations, in their order.

    Raises:
        AnnotationsError: If there is none, or something that they need is missing.
    """
    data = load_annotations(annotations)
    phrases = list(entries(data, "phrases", "image_id", "phrase"))
    images = {image["id"]: image for image in entries(data, "images", "id", "file_name")}
    need_boxes = any(phrase.get("bbox") is None for phrase in phrases)
    boxes = {a["id"]: a for a in entries(data, "annotations", "id")} if need_boxes else {}
    read = []
    for index, phrase in enumerate(phrases):
        if phrase["image_id"] not in images:
            raise AnnotationsError(
                f"phrases[{index}] has image_id {phrase['image_id']!r}, which no image has"
            )
        image = images[phrase["image_id"]]
        meant = phrase if phrase.get("bbox") is not None else boxes.get(phrase.get("ann_id"))
        if meant is None:
            raise AnnotationsError(
                f"phrases[{index}] ({phrase['phrase']!r}) has neither a 'bbox' nor the 'ann_id' of "
                f"an annotation"
            )
        read.append(
            Expression(
                id=phrase.get("id", index),
                text=str(phrase["phrase"]),
                kind=str(phrase.get("kind") or NO_KIND),
                file_name=str(image["file_name"]),
                size=_size(image),
                box=xyxy(meant),
            )
        )
    if not read:
        raise AnnotationsError("'phrases' is empty in the annotations: there is nothing to ask")
    return read


def _find_pictures(folder: str | Path, file_names: list[str]) -> dict[str, Path]:
    """Where each picture is, or should be."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageNotFoundError(f"expected a folder of pictures, there is none at {folder}")
    paths = {}
    for name in dict.fromkeys(file_names):
        places = (folder / name, folder / "images" / name, folder / PurePath(name).name)
        paths[name] = next((place for place in places if place.is_file()), places[0])
    if not any(path.is_file() for path in paths.values()):
        raise ImageNotFoundError(
            f"not one of the {len(paths)} pictures is in {folder}: expected {min(paths)!r} there"
        )
    return paths


def _answer(
    ground: Callable[[Image, str], Grounding], picture: Image | Exception, asked: Expression
) -> Answer:
    if isinstance(picture, Exception):
        return Answer(asked, None, problem=_reason(picture), unread=True)
    result = _attempt(ground, picture, asked.text)
    if isinstance(result, Exception):
        return Answer(asked, None, problem=_reason(result))
    box = _first_box(result)
    iou = 0.0 if box is None else _iou(box, asked.box)
    if iou >= MIN_IOU:
        return Answer(asked, box, iou)
    return Answer(asked, box, iou, result.explain(), _problem(picture, asked, box))


def _attempt(function: Callable[..., T], *args: Any) -> T | Exception:
    try:
        return function(*args)
    except Exception as error:
        return error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _problem(picture: Image, asked: Expression, box: Box | None) -> str:
    if asked.size is not None and asked.size != picture.size:
        height, width = asked.size
        return (
            f"the picture is {picture.width} x {picture.height} pixels, but {width} x {height} in "
            f"the annotations"
        )
    return "nothing was found" if box is None else ""


def _first_box(result: Grounding) -> Box | None:
    if not len(result.detections):
        return None
    left, top, right, bottom = (float(value) for value in result.detections.xyxy[0])
    return left, top, right, bottom


def _iou(a: Box, b: Box) -> float:
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = across * down
    return shared / (_area(a) + _area(b) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _figure(answers: Sequence[Answer]) -> Figure:
    hits = [answer.correct for answer in answers]
    pictures = [answer.expression.file_name for answer in answers]
    return Figure(sum(hits) / len(hits), len(hits), interval(hits, pictures))


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = image.get("height"), image.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _rounded(box: Box) -> list[float]:
    return [round(value, 2) for value in box]
