"""Measures what is done with masks after the models: on crops as here, and on dense arrays.

    python tests/benchmarks/masks.py [--masks 20] [--size 960 1280] [--repeats 7]

Dense is how supervision and pycocotools are called on a (N, H, W) array; the answers of both ways
are compared before anything is measured. `export` writes a ledger's row to COCO, against decoding
each mask and encoding it again. Printed are medians in milliseconds of processor time, and the
median of the ratios of the rounds, which alternate.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import supervision as sv
from pycocotools import mask as coco_mask

from grounding_sdk.detections import Size, compact_masks, mask_crop
from grounding_sdk.formats import Annotated, Mask, Object, mask_rle, row_dict, row_from_dict
from grounding_sdk.viz.tint import tint


def blobs(count: int, size: Size) -> sv.Detections:
    """Ellipses of 1 to 10 % of the image with rough edges."""
    rng = np.random.default_rng(0)
    crops, corners, boxes = [], [], []
    for _ in range(count):
        height, width = (rng.uniform(0.1, 0.35, 2) * size).astype(int)
        y, x = (rng.uniform(0, 1, 2) * (np.array(size) - (height, width))).astype(int)
        down, across = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
        angle = np.arctan2(down[:, None], across)
        edge = 0.9 + 0.05 * np.sin(9 * angle) + 0.02 * np.sin(70 * angle)
        crops.append(down[:, None] ** 2 + across**2 < edge**2)
        corners.append((int(x), int(y)))
        boxes.append((x, y, x + width, y + height))
    return sv.Detections(
        xyxy=np.array(boxes, np.float32),
        mask=compact_masks(crops, corners, size),
        confidence=rng.uniform(0.3, 1, count).astype(np.float32),
        class_id=np.arange(count) % 3,
    )


def dense_rles(masks: np.ndarray) -> list[dict[str, Any]]:
    packed = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    return [{"size": list(one["size"]), "counts": one["counts"].decode()} for one in packed]


def crop_polygons(masks: sv.CompactMask) -> list[list[np.ndarray]]:
    placed = (mask_crop(masks, index) for index in range(len(masks)))
    return [[np.add(ring, (x, y)) for ring in sv.mask_to_polygons(crop)] for crop, x, y in placed]


def decoded(row: Annotated) -> Annotated:
    """The row with masks as pixels, as if they had been decoded when they were read."""
    masks = [Mask(each.mask.crop, each.mask.x, each.mask.y) for each in row.objects if each.mask]
    found = [Object(each.label, each.box, m) for each, m in zip(row.objects, masks, strict=True)]
    return Annotated(row.file_name, row.size, tuple(found))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return bool(np.allclose(one, other))
    return bool(one == other)


def compare(name: str, dense: Callable[[], Any], crops: Callable[[], Any], repeats: int) -> None:
    if not same(dense(), crops()):
        raise SystemExit(f"{name}: the two ways differ")
    rounds = []
    for _ in range(repeats):
        times = [time.process_time()]
        for run in (dense, crops):
            run()
            times.append(time.process_time())
        rounds.append(np.diff(times) * 1000)
    slow, fast = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratio = statistics.median(one / max(other, 1e-6) for one, other in rounds)
    sys.stdout.write(f"{name:12s} dense {slow:8.2f} ms   crops {fast:8.2f} ms   {ratio:7.1f}x\n")
    sys.stdout.flush()


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=20)
    parser.add_argument("--size", type=int, nargs=2, default=(960, 1280), metavar="N")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    size = tuple(arguments.size)

    crops = blobs(arguments.masks, size)
    dense = blobs(arguments.masks, size)
    masks = dense.mask = crops.mask.to_dense()
    picture = np.random.default_rng(1).integers(0, 255, (*size, 3), np.uint8)
    numbers = range(len(crops))
    objects = tuple(
        Object("dog", tuple(box), Mask(*mask_crop(crops.mask, index)))
        for index, box in enumerate(crops.xyxy.tolist())
    )
    kept = row_dict(Annotated("a.jpg", size, objects))
    annotator = sv.MaskAnnotator(opacity=0.4)
    colors = [sv.ColorPalette.DEFAULT.by_idx(index).as_bgr() for index in crops.class_id]

    def tinted() -> np.ndarray:
        canvas = picture.copy()
        tint(canvas, crops.mask, colors, 0.4)
        return canvas

    def measure(name: str, one: Callable[[], Any], other: Callable[[], Any]) -> None:
        compare(name, one, other, arguments.repeats)

    measure(
        "RLE", lambda: dense_rles(masks), lambda: [dict(mask_rle(crops.mask, i)) for i in numbers]
    )
    measure("area", lambda: masks.sum(axis=(1, 2)), lambda: crops.mask.area)
    measure(
        "polygons",
        lambda: [sv.mask_to_polygons(mask) for mask in masks],
        lambda: crop_polygons(crops.mask),
    )
    measure(
        "IoU",
        lambda: sv.mask_iou_batch(masks, masks),
        lambda: sv.mask_iou_batch(crops.mask, crops.mask),
    )
    measure("NMS", lambda: dense.with_nms(0.5).xyxy, lambda: crops.with_nms(0.5).xyxy)
    measure("drawing", lambda: annotator.annotate(picture.copy(), dense), tinted)
    measure(
        "export",
        lambda: row_dict(decoded(row_from_dict(kept))),
        lambda: row_dict(row_from_dict(kept)),
    )


if __name__ == "__main__":
    main()
