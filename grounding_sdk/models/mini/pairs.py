"""Does a detector tell "red cup" from "blue cup"? Pictures with both, made so that truth is known.

An object is cut from an annotated photo, dyed in two colours, and both copies are put on another
photo. The photos must be ones that the detector was not trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import supervision as sv

from grounding_sdk.image import Image
from grounding_sdk.models.mini.attributes import COLOURS, colour_of, dye
from grounding_sdk.models.mini.pictures import COLOURLESS, mask_box
from grounding_sdk.models.mini.sources import Files, decode_mask, read_coco
from grounding_sdk.models.ports import Detector
from grounding_sdk.query import Phrase, Query

WIDTH, HEIGHT = 640, 480
LEAST_PART = 0.03  # of its photo: objects smaller than this are not cut
TRIES = 20


@dataclass(frozen=True, eq=False)
class Pair:
    """A picture with two copies of an object.

    Attributes:
        image: The picture.
        phrases: What each copy is: ("red cup", "blue cup").
        boxes: (2, 4) xyxy.
    """

    image: Image
    phrases: tuple[str, str]
    boxes: np.ndarray


@dataclass(frozen=True)
class PairFigures:
    """How well copies were told apart.

    Attributes:
        copies: How many copies there were.
        found: Share that has a box with an IoU of 0.5, whatever it is called.
        told_apart: Share of those whose best box prefers its own phrase; chance gives 0.5.
        grounded: Share of all phrases whose best box is the copy that is meant.
    """

    copies: int
    found: float
    told_apart: float
    grounded: float


def make_pairs(files: Files, count: int, seed: int = 0) -> Iterator[Pair]:
    """Make pictures from a COCO-format set with masks."""
    random = np.random.default_rng(seed)
    photos, _ = read_coco(files)
    objects = [(p, a) for p in photos for a in p.annotations if a.segmentation]
    made = 0
    while made < count:
        photo, a = objects[random.integers(len(objects))]
        if a.name in COLOURLESS:
            continue
        pixels = files.picture(photo.file)
        alpha = decode_mask(a.segmentation, *pixels.shape[:2])
        if alpha.sum() < LEAST_PART * alpha.size:
            continue
        x0, y0, x1, y1 = np.array(mask_box(alpha), int)
        cutout = np.dstack([pixels, alpha * np.uint8(255)])[y0:y1, x0:x1]
        background = files.picture(photos[random.integers(len(photos))].file)
        canvas = cv2.resize(background, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        chosen = random.choice(list(COLOURS), 2, replace=False)
        boxes = []
        for side, colour in enumerate(chosen):
            dyed = _dyed(cutout, str(colour), random)
            if dyed is not None:
                boxes.append(_paste(canvas, dyed, side, random))
        if len(boxes) == 2:
            made += 1
            phrases = (f"{chosen[0]} {a.name}", f"{chosen[1]} {a.name}")
            yield Pair(Image(canvas), phrases, np.array(boxes))


def judge_pairs(detector: Detector, pairs: Iterable[Pair]) -> PairFigures:
    """Ask for both phrases of each pair."""
    found: list[bool] = []
    told: list[bool] = []
    grounded: list[bool] = []
    for pair in pairs:
        query = Query(tuple(Phrase(text, threshold=0.01) for text in pair.phrases))
        boxes = detector.detect([pair.image], [query])[0]
        scores = np.asarray(boxes.data["phrase_scores"])
        for i, truth in enumerate(pair.boxes):
            there = sv.box_iou_batch(boxes.xyxy, np.atleast_2d(truth))[:, 0] >= 0.5
            found.append(bool(there.any()))
            grounded.append(bool(len(boxes)) and bool(there[scores[:, i].argmax()]))
            if there.any():
                best = np.flatnonzero(there)[scores[there].max(1).argmax()]
                told.append(bool(scores[best, i] > scores[best, 1 - i]))
    mean = [float(np.mean(x)) if x else float("nan") for x in (found, told, grounded)]
    return PairFigures(len(found), *mean)


def _dyed(cutout: np.ndarray, colour: str, random: np.random.Generator) -> np.ndarray | None:
    """The cut-out in a colour that it then has beyond doubt, or None."""
    for _ in range(TRIES):
        dyed = dye(cutout, colour, random)
        if colour_of(dyed[..., :3], dyed[..., 3] > 127, share=0.8) == colour:
            return dyed
    return None


def _paste(
    canvas: np.ndarray, rgba: np.ndarray, side: int, random: np.random.Generator
) -> tuple[float, float, float, float]:
    """Put a cut-out into the left (0) or right (1) half and return its box."""
    room = np.array([WIDTH // 2 - 10, HEIGHT - 10])
    scale = random.uniform(0.5, 0.95) * float((room / rgba.shape[1::-1]).min())
    small = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    x = side * WIDTH // 2 + int(random.integers(WIDTH // 2 - width + 1))
    y = int(random.integers(HEIGHT - height + 1))
    alpha = cv2.GaussianBlur(small[..., 3], (3, 3), 0)[..., None].astype(np.float32) / 255
    place = canvas[y : y + height, x : x + width]
    place[:] = (small[..., :3] * alpha + place * (1 - alpha)).astype(np.uint8)
    x0, y0, x1, y1 = mask_box((small[..., 3] > 127).astype(np.uint8))
    return x + x0, y + y0, x + x1, y + y1
