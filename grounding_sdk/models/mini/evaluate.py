"""Figures of the embedded model on a COCO-format set, each with a bootstrap interval.

    python -m grounding_sdk.models.mini.evaluate WEIGHTS SET [--photos N] [--boxes | --masks]

`SET` is a directory or zip with `annotations.json` and `images/`. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from grounding_sdk.image import Image
from grounding_sdk.models.mini.predictor import MiniDetector, MiniSegmenter
from grounding_sdk.models.mini.sources import Annotation, Files, Photo, decode_mask, read_coco
from grounding_sdk.query import Query

Row = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (N, 4), scores (N,), names (N,)


def detect_all(
    detector: MiniDetector, files: Files, photos: list[Photo], query: Query
) -> list[Row]:
    """Everything found in each photo, down to a score of 0.01."""
    rows = []
    for photo in photos:
        image = Image.load(files.read(photo.file))
        found = detector.detect([image], [query.with_threshold(0.01)])[0]
        names = np.asarray(found.data["class_name"])
        rows.append((found.xyxy, np.asarray(found.confidence), names))
    return rows


def compare(photos: list[Photo], rows: list[Row], names: list[str], agnostic: bool) -> COCOeval:
    """Match what was found with what is there, by pycocotools."""
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for n, (photo, row) in enumerate(zip(photos, rows, strict=True)):
        for a in photo.annotations:
            x0, y0, x1, y1 = a.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": n + 1,
                    "iscrowd": 0,
                    "category_id": names.index(a.name) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0) * 0.7,  # about that of the mask, for sizes
                }
            )
        for (x0, y0, x1, y1), score, name in zip(*row, strict=True):
            results.append(
                {
                    "image_id": n + 1,
                    "category_id": names.index(name) + 1,
                    "score": float(score),
                    "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)],
                }
            )
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": n + 1} for n in range(len(photos))],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": n} for i, n in enumerate(names)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results) if results else COCO(), "bbox")
        evaluation.params.useCats = int(not agnostic)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def ap50_of(evaluation: COCOeval, chosen: np.ndarray) -> float:
    """AP50 on chosen photos (indices, with repeats), from matches that are already made."""
    matches, params = evaluation.evalImgs, evaluation.params
    areas, photos = len(params.areaRng), len(params.imgIds)
    categories = len(matches) // (areas * photos)
    part = copy(evaluation)
    part.evalImgs = [
        matches[(k * areas) * photos + i] for k in range(categories) for i in chosen.tolist()
    ]
    part.params = copy(params)
    part.params.imgIds = list(range(len(chosen)))
    part.params.areaRng, part.params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
    part._paramsEval = part.params
    with contextlib.redirect_stdout(io.StringIO()):
        part.accumulate()
    precision = part.eval["precision"][0, :, :, 0, -1]
    return float(precision[precision > -1].mean())


def interval(
    figure: Callable[[np.ndarray], float], n: int, rounds: int, seed: int = 0
) -> dict[str, float]:
    """A figure over n items, and the 2.5% and 97.5% quantiles over resampled ones."""
    random = np.random.default_rng(seed)
    values = [figure(random.integers(n, size=n)) for _ in range(rounds)]
    low, high = np.quantile(values, [0.025, 0.975]) if values else (np.nan, np.nan)
    return {"value": float(figure(np.arange(n))), "low": float(low), "high": float(high), "n": n}


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU (N, M) of xyxy boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = (high - low).clip(min=0).prod(2)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)]
    return inter / (areas[0][:, None] + areas[1][None] - inter + 1e-9)


def top_right(photo: Photo, row: Row) -> bool:
    """Whether the best-scoring box has IoU 0.5 with an object of its name."""
    boxes, _, names = row
    truth = np.array([a.box for a in photo.annotations if len(names) and a.name == names[0]])
    return bool(len(truth)) and bool(box_iou(boxes[:1], truth.reshape(-1, 4)).max() >= 0.5)


def hits_at(photo: Photo, row: Row, threshold: float) -> tuple[int, int, int]:
    """True positives, detections and objects of a photo at a threshold (IoU 0.5, same name)."""
    boxes, scores, names = row
    free = list(photo.annotations)
    hits = 0
    kept = np.flatnonzero(scores >= threshold)
    for i in kept:
        rivals = [a for a in free if a.name == names[i]]
        if rivals:
            iou = box_iou(boxes[i : i + 1], np.array([a.box for a in rivals]))[0]
            if iou.max() >= 0.5:
                free.remove(rivals[int(iou.argmax())])
                hits += 1
    return hits, len(kept), len(photo.annotations)


def best_f1(photos: list[Photo], rows: list[Row]) -> dict[str, float]:
    """The threshold at which F1 over all photos is best."""
    best = {"f1": -1.0}
    for threshold in np.arange(0.05, 0.8, 0.01):
        counts = np.array(
            [hits_at(p, r, threshold) for p, r in zip(photos, rows, strict=True)]
        ).sum(0)
        hits, found, there = counts.tolist()
        f1 = 2 * hits / max(found + there, 1)
        if f1 > best["f1"]:
            best = {
                "f1": f1,
                "threshold": float(threshold),
                "precision": hits / max(found, 1),
                "recall": hits / max(there, 1),
                "boxes_per_photo": found / len(photos),
            }
    return best


def mask_ious(
    segmenter: MiniSegmenter, files: Files, photos: list[Photo], least: float = 0.01
) -> np.ndarray:
    """IoU of the predicted mask for each ground-truth box over `least` of its photo."""
    ious = []
    for photo in photos:
        image = Image.load(files.read(photo.file))
        height, width = image.size
        chosen = [
            a for a in photo.annotations if a.segmentation and _part(a, height, width) > least
        ]
        if not chosen:
            continue
        boxes = np.array([a.box for a in chosen])
        predicted = segmenter.decode(segmenter.encode([image])[0], boxes).masks
        for i, a in enumerate(chosen):
            mine = predicted[[i]].to_dense()[0]
            truth = decode_mask(a.segmentation, height, width).astype(bool)
            ious.append((mine & truth).sum() / max((mine | truth).sum(), 1))
    return np.array(ious)


def _part(a: Annotation, height: int, width: int) -> float:
    x0, y0, x1, y1 = a.box
    return (x1 - x0) * (y1 - y0) / (height * width)


def evaluate(
    weights: str | Path,
    dataset: str | Path,
    photos_at_most: int | None = None,
    rounds: int = 500,
    boxes: bool = True,
    masks: bool = True,
) -> dict[str, Any]:
    """All figures of the model on a set."""
    files = Files(dataset)
    photos, names = read_coco(files)
    photos = photos[:photos_at_most]
    n = len(photos)
    report: dict[str, Any] = {"photos": n, "names": len(names)}
    if boxes:
        detector = MiniDetector.load(weights)
        began = time.perf_counter()
        rows = detect_all(detector, files, photos, Query.of(names))
        report["seconds_per_photo"] = (time.perf_counter() - began) / n
        for label, agnostic in (("", False), ("agnostic_", True)):
            evaluation = compare(photos, rows, names, agnostic)
            whole = evaluation.stats
            figure = interval(partial(ap50_of, evaluation), n, rounds)
            report |= {f"{label}AP": whole[0], f"{label}AP50": figure, f"{label}AR100": whole[8]}
        right = np.array([top_right(p, r) for p, r in zip(photos, rows, strict=True)])
        report["top1"] = interval(lambda c: float(right[c].mean()), n, 1000)
        report["top1_right"] = int(right.sum())
        report["best_f1"] = best_f1(photos, rows)
    if masks:
        ious = mask_ious(MiniSegmenter.load(weights), files, photos)
        if len(ious):
            report["mask_miou"] = interval(lambda c: float(ious[c].mean()), len(ious), 1000)
    return report


def main() -> None:
    """Evaluate from the command line."""
    parser = argparse.ArgumentParser(description="Figures of the embedded model on a set.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--rounds", type=int, default=500, help="of the bootstrap")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--boxes", action="store_true", help="boxes alone")
    kind.add_argument("--masks", action="store_true", help="masks alone")
    a = parser.parse_args()
    report = evaluate(a.weights, a.dataset, a.photos, a.rounds, not a.masks, not a.boxes)
    json.dump(report, sys.stdout, indent=2, default=float)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
