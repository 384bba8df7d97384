"""How well names are found in pictures, as boxes and masks, against COCO annotations.

Average precision and recall are those of pycocotools, asked with all names of the annotations at
once. What a reader of the figures should also know is here: how often the best box of a picture is
right, F1 at the threshold that a user meets, false alarms for names that are not there, and how
good masks are where the boxes are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools.coco import COCO

from grounding_sdk.evaluation.annotations import AnnotationsLike, xyxy
from grounding_sdk.evaluation.coco_matches import (
    BOXES_A_PICTURE,
    SIZES,
    Figure,
    Matches,
    resampled,
    resampled_together,
)
from grounding_sdk.evaluation.coco_truth import Result, find_pictures, read_results, read_truth
from grounding_sdk.evaluation.mask_overlap import boundary_f, deepest_point, mask_iou
from grounding_sdk.formats.rle import mask_rle
from grounding_sdk.image import Image
from grounding_sdk.query import Phrase, Query

if TYPE_CHECKING:
    import supervision as sv

    from grounding_sdk.models.ports import Detector, Segmenter

LOWEST = 0.01  # score down to which boxes are asked for
LEAST_PART = 0.01  # of the picture: objects smaller than this are not asked masks of
ABSENT = 20  # names that are not in a picture, asked to count false alarms
ROUNDS = 300


@dataclass(frozen=True)
class DetectionReport:
    """The figures.

    Attributes:
        threshold: At which `precision`, `recall`, `f1` and the false alarms are counted.
        best_threshold: At which F1 would be best.
        figures: By name; what could not be measured is not there.
        by_size: Box AP of small, medium and large objects.
        by_class: Box AP50 of each name, with its number of objects.
    """

    threshold: float
    best_threshold: float
    figures: dict[str, Figure]
    by_size: dict[str, Figure]
    by_class: dict[str, Figure]

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain JSON types."""
        told: dict[str, Any] = {"threshold": self.threshold, "best_threshold": self.best_threshold}
        for part in ("figures", "by_size", "by_class"):
            told[part] = {name: f.to_dict() for name, f in getattr(self, part).items()}
        return told


@dataclass
class Found:
    """What models gave on the annotated pictures.

    Attributes:
        results: COCO results.
        mask_scores: For each ground-truth box that was given to the segmenter, the picture's
            index, the IoU of the mask and its boundary F.
        point_scores: The same, of one point on the object in place of its box.
        alarms: For each picture, boxes found for names that are not in it.
    """

    results: list[Result] = field(default_factory=list)
    mask_scores: list[tuple[int, float, float]] = field(default_factory=list)
    point_scores: list[tuple[int, float, float]] = field(default_factory=list)
    alarms: list[int] = field(default_factory=list)


def evaluate_detection(
    detector: Detector,
    images_dir: str | Path,
    annotations: AnnotationsLike,
    *,
    segmenter: Segmenter | None = None,
    threshold: float | None = None,
    absent: int = ABSENT,
    points: bool = False,
    limit: int | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[], object] | None = None,
) -> DetectionReport:
    """Asks a detector for all annotated names in each picture, and a segmenter for masks.

    Args:
        detector: What is judged.
        images_dir: The folder of the pictures; their `file_name` is looked for in it and in
            `images` below it.
        annotations: COCO JSON, read or as a path.
        segmenter: Judged on the detector's boxes (mask AP) and on the annotated ones.
        threshold: For F1 and false alarms; the detector's default unless given.
        absent: How many names that are not in a picture to ask, for false alarms.
        points: Whether to judge the segmenter on single points, too.
        limit: Only the first so many pictures.
        rounds: Of the bootstrap.
        progress: Called after each picture.

    Raises:
        AnnotationsError: If the annotations lack something.
        ImageNotFoundError: If a picture is missing.
    """
    truth = read_truth(annotations, limit)
    paths = find_pictures(images_dir, truth["images"])
    limit_at = detector.default_threshold if threshold is None else threshold
    found = Found()
    random = np.random.default_rng(0)
    for index, (entry, path) in enumerate(zip(truth["images"], paths, strict=True)):
        image = Image.load(path)
        mine = [a for a in truth["annotations"] if a["image_id"] == entry["id"]]
        _detect(detector, segmenter, image, truth, entry["id"], found)
        found.alarms.append(_false_alarms(detector, image, truth, mine, limit_at, absent, random))
        if segmenter is not None:
            _masks_of_truth(segmenter, image, mine, index, found, points)
        if progress is not None:
            progress()
    return measure(truth, found, limit_at, rounds)


def evaluate_results(
    results: Sequence[Mapping[str, Any]] | str | Path,
    annotations: AnnotationsLike,
    *,
    threshold: float = 0.5,
    rounds: int = ROUNDS,
) -> DetectionReport:
    """Judges results that are there already, in COCO's results format.

    Args:
        results: A list, or the path of a JSON file that holds one: `image_id`, `category_id`,
            `score` and `bbox`, and `segmentation` if masks are to be judged.
        annotations: COCO JSON, read or as a path.
        threshold: For F1.
        rounds: Of the bootstrap.

    Raises:
        AnnotationsError: If either lacks something or they do not belong together.
    """
    truth = read_truth(annotations)
    return measure(truth, Found(read_results(results, truth)), threshold, rounds)


def measure(
    truth: Mapping[str, Any], found: Found, threshold: float, rounds: int = ROUNDS
) -> DetectionReport:
    """Computes all figures of what was found."""
    boxes = Matches(truth, found.results)
    blind = Matches(truth, found.results, agnostic=True)
    n = boxes.pictures
    figures: dict[str, Figure] = {}
    averages = iter(resampled_together(lambda c: boxes.averages_of(c).row(), n, rounds))
    for name in ("box_ap", "box_ap50", "box_ar100"):
        figures[name] = next(averages)
    by_size = {size: next(averages) for size in SIZES[1:]}
    by_id = dict(zip(boxes.categories, averages, strict=True))
    figures["agnostic_ap"], figures["agnostic_ap50"] = resampled_together(blind.ap_of, n, rounds)
    scores, right, there = boxes.hits()
    first = np.array([r[0] if len(r) else False for r in right], float)
    figures["top1"] = resampled(lambda chosen: first[chosen].mean(), n, rounds)
    figures |= _at_threshold(scores, right, there, threshold, rounds)
    if found.results and all("segmentation" in r for r in found.results):
        masks = Matches(truth, found.results, "segm")
        figures["mask_ap"], figures["mask_ap50"] = resampled_together(masks.ap_of, n, rounds)
    if found.mask_scores:
        iou, outline = _mask_figures(found.mask_scores, n, rounds)
        figures |= {"mask_miou": iou, "boundary_f": outline}
    if found.point_scores:
        figures["point_miou"] = _mask_figures(found.point_scores, n, rounds)[0]
    if found.alarms:
        alarms = np.array(found.alarms, float)
        any_alarm = (alarms > 0).astype(float)
        figures["false_alarms"] = resampled(lambda c: alarms[c].mean(), n, rounds)
        figures["pictures_with_false_alarms"] = resampled(lambda c: any_alarm[c].mean(), n, rounds)
    objects = [a for a in truth["annotations"] if not a["iscrowd"]]
    counts = {
        c["id"]: sum(a["category_id"] == c["id"] for a in objects) for c in truth["categories"]
    }
    return DetectionReport(
        threshold=threshold,
        best_threshold=best_threshold(scores, right, there),
        figures=figures,
        by_size=by_size,
        by_class={
            c["name"]: replace(by_id[c["id"]], n=counts[c["id"]])
            for c in truth["categories"]
            if counts[c["id"]]
        },
    )


def hits_at(
    scores: Sequence[np.ndarray], right: Sequence[np.ndarray], threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Right boxes (P,) and all boxes (P,) of each picture at a threshold."""
    hits = np.array([r[s >= threshold].sum() for s, r in zip(scores, right, strict=True)])
    found = np.array([(s >= threshold).sum() for s in scores])
    return hits, found


def best_threshold(
    scores: Sequence[np.ndarray], right: Sequence[np.ndarray], there: np.ndarray
) -> float:
    """The score at which F1 over all pictures is best, in hundredths."""
    candidates = np.arange(0.02, 0.99, 0.01)
    all_scores, all_right = np.concatenate([*scores, []]), np.concatenate([*right, []])
    hits = np.array([all_right[all_scores >= t].sum() for t in candidates])
    found = np.array([(all_scores >= t).sum() for t in candidates])
    return round(float(candidates[(2 * hits / np.maximum(found + there.sum(), 1)).argmax()]), 2)


def _at_threshold(
    scores: Sequence[np.ndarray],
    right: Sequence[np.ndarray],
    there: np.ndarray,
    threshold: float,
    rounds: int,
) -> dict[str, Figure]:
    n = len(there)
    hits, found = hits_at(scores, right, threshold)

    def share(over: np.ndarray) -> Callable[[np.ndarray], float]:
        return lambda chosen: hits[chosen].sum() / max(over[chosen].sum(), 1)

    return {
        "precision": resampled(share(found), n, rounds),
        "recall": resampled(share(there), n, rounds),
        "f1": resampled(share((found + there) / 2), n, rounds),
        "boxes_per_picture": Figure(float(found.mean()), n),
    }


def _mask_figures(
    scores: Iterable[tuple[int, float, float]], pictures: int, rounds: int
) -> tuple[Figure, Figure]:
    """Mean IoU and boundary F over objects, with intervals over pictures."""
    owner, iou, outline = (np.array(x) for x in zip(*scores, strict=True))
    count = np.bincount(owner, minlength=pictures)

    def mean(values: np.ndarray) -> Figure:
        total = np.bincount(owner, weights=values, minlength=pictures)
        figure = resampled(lambda c: total[c].sum() / max(count[c].sum(), 1), pictures, rounds)
        return Figure(figure.value, len(values), figure.interval)

    return mean(iou), mean(outline)


def _detect(
    detector: Detector,
    segmenter: Segmenter | None,
    image: Image,
    truth: Mapping[str, Any],
    image_id: Any,
    found: Found,
) -> None:
    categories = truth["categories"]
    query = Query(tuple(Phrase(c["name"], threshold=LOWEST) for c in categories))
    boxes: Any = detector.detect([image], [query])[0][:BOXES_A_PICTURE]
    masks = boxes.mask
    if segmenter is not None and len(boxes):
        masks = segmenter.decode(segmenter.encode([image])[0], boxes.xyxy).masks
    for i, (x0, y0, x1, y1) in enumerate(boxes.xyxy.tolist()):
        result = {
            "image_id": image_id,
            "category_id": categories[int(boxes.data["phrase_id"][i])]["id"],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": float(boxes.confidence[i]),
        }
        if masks is not None:
            result["segmentation"] = mask_rle(masks, i)
        found.results.append(result)


def _false_alarms(
    detector: Detector,
    image: Image,
    truth: Mapping[str, Any],
    objects: list[Mapping[str, Any]],
    threshold: float,
    absent: int,
    random: np.random.Generator,
) -> int:
    present = {a["category_id"] for a in objects}
    names = [c["name"] for c in truth["categories"] if c["id"] not in present]
    if not names or not absent:
        return 0
    asked = random.choice(names, min(absent, len(names)), replace=False).tolist()
    query = Query(tuple(Phrase(name, threshold=threshold) for name in asked))
    return len(detector.detect([image], [query])[0])


def _masks_of_truth(
    segmenter: Segmenter,
    image: Image,
    objects: list[Mapping[str, Any]],
    index: int,
    found: Found,
    points: bool,
) -> None:
    height, width = image.size
    least = LEAST_PART * height * width
    chosen = [
        a
        for a in objects
        if a.get("segmentation") and not a["iscrowd"] and a["bbox"][2] * a["bbox"][3] > least
    ]
    if not chosen:
        return
    known = COCO()
    known.imgs = {a["image_id"]: {"height": height, "width": width} for a in chosen}
    masks = [known.annToMask(a).astype(bool) for a in chosen]
    embedding = segmenter.encode([image])[0]
    boxes = np.array([xyxy(a) for a in chosen], np.float32)
    _score_masks(segmenter.decode(embedding, boxes).masks, masks, index, found.mask_scores)
    if points:
        inside = np.array([[deepest_point(mask)] for mask in masks], np.float32)
        predicted = segmenter.decode(embedding, points=inside).masks
        _score_masks(predicted, masks, index, found.point_scores)


def _score_masks(
    predicted: sv.CompactMask,
    masks: Sequence[np.ndarray],
    index: int,
    scores: list[tuple[int, float, float]],
) -> None:
    for i, right in enumerate(masks):
        mine = predicted[[i]].to_dense()[0]
        scores.append((index, mask_iou(mine, right), boundary_f(mine, right)))
