"""The mask decoder's lessons: prompts as a user would give them, and a second look."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from grounding_sdk.models.mini.config import Batches, TrainConfig
from grounding_sdk.models.mini.losses import mask_loss
from grounding_sdk.models.mini.network import (
    BOX_MARGIN,
    WINDOW,
    Mini,
    blend,
    prompt_planes,
    sample_windows,
)
from grounding_sdk.models.mini.pool import MASK_MARGIN, FeaturePool, draw_slots, grow

OBJECTS_A_PICTURE = 5
POINTS_ALONE, POINTS_AND_BOX = 0.2, 0.15  # shares of the prompts; the rest are boxes alone


def mask_losses(
    config: TrainConfig, model: Mini, pool: FeaturePool, random: np.random.Generator
) -> Batches:
    """The mask loss of one random batch after another; None where there are no masks.

    Half of the batches are decoded a second time, with what the first time gave as the earlier
    mask: that is how the decoder is used.
    """
    device = torch.device(config.device)
    while True:
        slots = pool.ready()
        slots = slots[pool.info[slots, 2] > 0]
        if not len(slots):
            yield None
            continue
        slots = draw_slots(pool, slots, config, random)
        owner, boxes, crops = [], [], []
        for i, slot in enumerate(slots):
            for row in random.permutation(pool.info[slot, 2])[:OBJECTS_A_PICTURE]:
                owner.append(i)
                boxes.append(pool.mask_boxes[slot, row])
                crops.append(pool.masks[slot, row])
        truth = torch.from_numpy(np.stack(crops)).float()[:, None] / 255
        prompts = [
            mask_prompt(box, crop > 127, config.size, random)
            for box, crop in zip(boxes, crops, strict=True)
        ]
        windows, given, points, labels = (
            torch.from_numpy(np.stack(x)).float() for x in zip(*prompts, strict=True)
        )
        target = in_windows(truth, torch.from_numpy(np.stack(boxes)), windows)
        outside = cells_outside(truth, torch.from_numpy(np.stack(boxes)), windows, target)
        planes = prompt_planes(windows, given, points, labels)
        planes[:, 3] = earlier_mask(target, random)
        planes, windows = planes.to(device), windows.to(device)
        features = [x.to(device) for x in pool.load(slots)]
        with config.narrowed():
            with torch.no_grad():
                sight = model.encoder.read(features)
            embedding = model.masker.embed(features, sight)
            seen = model.masker.look(embedding, torch.tensor(owner, device=device), windows)
            if random.random() < 0.5:
                with torch.no_grad():
                    first, quality = model.masker(seen, planes)
                    rough = blend(first, quality.sigmoid()).sigmoid()
                    planes[:, 3] = nn.functional.avg_pool2d(rough, 2)[:, 0]
            logits, quality = model.masker(seen, planes)
        yield mask_loss(logits.float(), quality.float(), target.to(device), outside.to(device))


def mask_prompt(
    box: np.ndarray, crop: np.ndarray, size: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A random prompt for an object.

    Args:
        box: (4,) xyxy.
        crop: (S, S) bool mask in the box grown by `MASK_MARGIN`.
        size: Side of the picture.
        random: Source of chance.

    Returns:
        Window (4,), box (4,) or NaN, points (4, 2), labels (4,) with -1 for "none".
    """
    sides = box[2:] - box[:2]
    points, labels = np.zeros((4, 2)), np.full(4, -1)
    stored = grow(box, MASK_MARGIN)
    kind = random.random()
    if kind < POINTS_ALONE + POINTS_AND_BOX:
        several = random.random() < 0.4
        for i in range(random.integers(2, 5) if several else 1):
            wanted = i == 0 or random.random() < 0.5
            cell = pick_cell(crop == wanted, bool(wanted), random)
            if cell is not None:
                points[i] = stored[:2] + (stored[2:] - stored[:2]) * cell / len(crop)
                labels[i] = wanted
    if kind >= POINTS_ALONE or labels[0] != 1:
        spread = np.tile(sides, 2) * 0.06
        given = box + random.normal(0, 1, 4).clip(-2, 2) * spread
        given[2:] = np.maximum(given[2:], given[:2] + 2)
        return grow(given, BOX_MARGIN), given, points, labels
    # A window that may cut the object, and may show much beside it.
    side = min(max(sides.max() * np.exp(random.uniform(-0.4, 1.7)), size / 8), 1.1 * size)
    shown = points[labels >= 0]
    centre = points[labels == 1].mean(0)
    side = max(side, 2.1 * np.abs(shown - centre).max())
    window = np.concatenate([centre - side / 2, centre + side / 2])
    return window, np.full(4, np.nan), points, labels


def pick_cell(region: np.ndarray, central: bool, random: np.random.Generator) -> np.ndarray | None:
    """A random place (x, y) in a region of cells; `central`, half of the time in its depth."""
    cells = np.argwhere(region)
    if not len(cells):
        return None
    chance = None
    if central and random.random() < 0.5:
        padded = np.pad(region, 1).astype(np.uint8)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1][region] ** 3
        chance = depth / depth.sum()
    return cells[random.choice(len(cells), p=chance)][::-1] + random.random(2)


def in_windows(crops: Tensor, boxes: Tensor, windows: Tensor) -> Tensor:
    """Stored masks (N, 1, S, S) seen in other windows: (N, 56, 56), zero outside of the crop."""
    stored = torch.from_numpy(grow(boxes.numpy(), MASK_MARGIN))
    span = (stored[:, 2:] - stored[:, :2]).repeat(1, 2)
    unit = (windows - stored[:, :2].repeat(1, 2)) / span  # 0..1 across the stored crop
    side = crops.shape[-1] * 4.0  # sample_windows counts four pixels a cell
    seen = [
        sample_windows(c[None], torch.zeros(1, dtype=torch.long), u[None] * side, WINDOW)
        for c, u in zip(crops, unit, strict=True)
    ]
    return torch.cat(seen)[:, 0]


def cells_outside(crops: Tensor, boxes: Tensor, windows: Tensor, target: Tensor) -> Tensor:
    """How much of each object its window misses, in window cells."""
    stored = torch.from_numpy(grow(boxes.numpy(), MASK_MARGIN))
    whole = crops.mean((1, 2, 3)) * (stored[:, 2:] - stored[:, :2]).prod(1)
    cell = (windows[:, 2:] - windows[:, :2]).prod(1) / WINDOW**2
    return (whole / cell - target.sum((1, 2))).clamp(min=0)


def earlier_mask(target: Tensor, random: np.random.Generator) -> Tensor:
    """A rough mask for the prompt plane, for one row in seven; zeros for the others."""
    rough = nn.functional.avg_pool2d(target[:, None], 6, 2, padding=2)[:, 0]
    rough = rough.roll(tuple(random.integers(-2, 3, 2).tolist()), (1, 2))
    chosen = torch.from_numpy(random.random(len(target)) < 0.15)
    return rough * chosen[:, None, None]
