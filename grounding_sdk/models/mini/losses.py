"""Which positions should find which object, and how wrong they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

TOP_K = 10  # positions for an object
PART_INSIDE, PART_IOU = 0.8, 0.4  # a box this much inside of an object is a part of it, not a whole


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def pair_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019) of xyxy boxes, broadcast.

    >>> iou, giou = pair_iou(torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2]))
    >>> round(iou.item(), 3), round(giou.item(), 3)
    (0.333, 0.333)
    """
    inter = _intersection(a, b)
    union = _area(a) + _area(b) - inter + 1e-6
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    hull = (high - low).prod(-1) + 1e-6
    iou = inter / union
    return iou, iou - (hull - union) / hull


def are_parts(boxes: Tensor, objects: Tensor, iou: Tensor) -> Tensor:
    """Which boxes are parts of an object and no object themselves.

    Args:
        boxes: (P, 4).
        objects: (G, 4).
        iou: (P, G) of the two.

    Returns:
        (P,) bool.

    >>> objects = torch.tensor([[0.0, 0, 10, 10], [0, 0, 3, 3]])
    >>> boxes = torch.tensor([[1.0, 1, 4, 9], [0, 0, 3, 3], [5, 5, 20, 20]])
    >>> are_parts(boxes, objects, pair_iou(boxes[:, None], objects)[0]).tolist()
    [True, False, False]
    """
    inside = _intersection(boxes[:, None], objects) > PART_INSIDE * _area(boxes)[:, None]
    return inside.any(1) & (iou < PART_IOU).all(1)


def assign(
    scores: Tensor, iou: Tensor, centres: Tensor, strides: Tensor, boxes: Tensor, weak: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Task-aligned assignment (Feng et al. 2021): positions that classify and localise best.

    A weak box has no exact sides: nearness to its centre stands in for the IoU.

    Args:
        scores: (P, G) score of each position for each object's name, in 0..1.
        iou: (P, G) of predicted boxes and objects.
        centres: (P, 2) of the positions.
        strides: (P,) of the positions.
        boxes: (G, 4).
        weak: (G,) bool.

    Returns:
        Positions (N,) int64, their objects (N,) int64, their target scores (N,) in 0..1.
    """
    inside = ((centres[:, None] > boxes[:, :2]) & (centres[:, None] < boxes[:, 2:])).all(-1)
    middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    offset = (centres[:, None] - middle).abs()
    near = offset.amax(-1) < strides[:, None]
    central = torch.exp(-8.0 * ((offset / sides) ** 2).sum(-1))
    # A weak object is looked for on the level whose stride suits its size.
    level = (torch.log2(sides.amax(-1) / (6.0 * strides[:, None]))).abs() < 1.0
    quality = torch.where(weak, central * level, iou)
    metric = scores.clamp(min=1e-3) ** 0.5 * quality.clamp(min=1e-3) ** 4 * (inside | near)
    chosen = torch.zeros_like(metric, dtype=torch.bool)
    value, index = metric.topk(min(TOP_K, len(metric)), 0)
    chosen.scatter_(0, index, value > 0)
    metric = metric * chosen
    best, owner = metric.max(1)
    positive = (best > 0).nonzero()[:, 0]
    owner = owner[positive]
    peak = (quality * chosen).amax(0)
    target = best[positive] / (metric.amax(0)[owner] + 1e-9) * peak[owner]
    return positive, owner, target.clamp(0.05, 1.0)


OTHER, MATCH, UNKNOWN = 0, 1, 2  # what an object is to a phrase


@dataclass(frozen=True, eq=False)
class Truth:
    """What is in a picture: G objects, K phrases.

    Attributes:
        boxes: (G, 4) xyxy.
        columns: (G,) int64 in 0..K-1, the phrase that is the object's plain name.
        weak: (G,) bool: the box only says where to look.
        relation: (G, K) of `OTHER`, `MATCH`, `UNKNOWN`.
    """

    boxes: Tensor
    columns: Tensor
    weak: Tensor
    relation: Tensor


def detection_loss(
    outputs: tuple[Tensor, Tensor, Tensor],
    centres: Tensor,
    strides: Tensor,
    truths: list[Truth],
    negatives: Tensor,
    exhaustive: Tensor,
) -> tuple[Tensor, dict[str, float]]:
    """Quality-weighted BCE over phrases, GIoU over boxes, BCE over objectness.

    Where labels are not exhaustive, only parts of labelled objects are known to be no objects.

    Args:
        outputs: Phrase logits (B, P, K), boxes (B, P, 4), objectness logits (B, P).
        centres: (P, 2) of the positions.
        strides: (P,) of the positions.
        truths: Of each picture.
        negatives: (B, K) in 0..1: how far the picture's source vouches for a phrase's absence.
        exhaustive: (B,) bool: background counts as "no object".

    Returns:
        The loss and its parts.
    """
    logits, boxes, objects = outputs
    score = logits.detach().sigmoid()
    targets, object_targets = torch.zeros_like(logits), torch.zeros_like(objects)
    weights = 0.75 * score**2 * negatives[:, None, :]
    doubt = 0.75 * objects.detach().sigmoid() ** 2
    object_weights = doubt * exhaustive[:, None]
    box_loss, total = logits.new_zeros(()), 0.0
    for i, truth in enumerate(truths):
        if not len(truth.boxes):
            continue
        weak, relation = truth.weak, truth.relation
        with torch.no_grad():
            iou, _ = pair_iou(boxes[i][:, None], truth.boxes[None])
            positive, owner, target = assign(
                score[i][:, truth.columns], iou, centres, strides, truth.boxes, weak
            )
            is_part = are_parts(boxes[i], truth.boxes[~weak], iou[:, ~weak])
            for g in weak.nonzero()[:, 0]:  # inside a weak box nothing is known to be background
                x0, y0, x1, y1 = truth.boxes[g]
                x, y = centres.unbind(1)
                within = (x > x0) & (x < x1) & (y > y0) & (y < y1)
                weights[i] *= ~(within[:, None] & (relation[g] != OTHER))
        known = relation[owner]
        value = weights[i, positive] * (known != UNKNOWN)
        weights[i, positive] = torch.where(known == MATCH, 1.0, value)
        targets[i, positive] = target[:, None] * (known == MATCH)
        object_weights[i] = torch.where(is_part, doubt[i], object_weights[i])
        strong = ~weak[owner]
        object_targets[i, positive[strong]] = target[strong]
        object_weights[i, positive] = strong.to(object_weights.dtype)
        _, giou = pair_iou(boxes[i, positive[strong]], truth.boxes[owner[strong]])
        box_loss = box_loss + ((1 - giou) * target[strong]).sum()
        total += float(target.sum())
    name_loss = (
        functional.binary_cross_entropy_with_logits(logits, targets, reduction="none") * weights
    ).sum()
    object_loss = (
        functional.binary_cross_entropy_with_logits(objects, object_targets, reduction="none")
        * object_weights
    ).sum()
    total = max(total, 1.0)
    loss = (name_loss + 2.0 * box_loss + 0.5 * object_loss) / total
    parts = {"names": name_loss, "boxes": box_loss, "objects": object_loss}
    return loss, {k: float(v.detach()) / total for k, v in parts.items()}


def mask_loss(
    logits: Tensor, quality: Tensor, targets: Tensor, outside: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """BCE + Dice of the best of the alternatives (Kirillov et al. 2023), and quality regression.

    Args:
        logits: (N, M, S, S).
        quality: (N, M) logits of the predicted IoU.
        targets: (N, S, S) in 0..1.
        outside: (N,) cells of the object that lie outside of the window.
    """
    truth = targets[:, None].expand_as(logits)
    bce = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((2, 3))
    p = logits.sigmoid()
    dice = 1 - (2 * (p * truth).sum((2, 3)) + 1) / ((p + truth).sum((2, 3)) + 1)
    each = bce * 2.0 + dice
    with torch.no_grad():
        hard, real = logits > 0, truth > 0.5
        union = (hard | real).sum((2, 3)) + outside[:, None]
        iou = (hard & real).sum((2, 3)) / union.clamp(min=1)
    best = each.min(1).values.mean()
    quality_loss = ((quality.sigmoid() - iou) ** 2).mean()
    loss = best + 0.1 * each.mean() + quality_loss
    chosen = iou.gather(1, quality.argmax(1, keepdim=True)).mean()
    return loss, {
        "best": float(best.detach()),
        "iou": float(chosen),
        "top": float(iou.amax(1).mean()),
    }
