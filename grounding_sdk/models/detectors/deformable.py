"""Deformable attention as weighted sums of gathered rows: what `grid_sample` gives, sooner.

Each query of each head reads a few points of each level of the image, between pixels, and adds them
up with its weights (Zhu et al., "Deformable DETR", 2020). A point between pixels is a weighted sum
of the four around it, so all of it is one weighted sum of rows of a table, which
`torch.nn.functional.embedding_bag` computes without writing the single points down. Equal to
transformers' `MultiScaleDeformableAttention` up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import embedding_bag
from transformers.models.grounding_dino import modeling_grounding_dino
from transformers.models.mm_grounding_dino import modeling_mm_grounding_dino
from transformers.models.omdet_turbo import modeling_omdet_turbo

SAMPLERS = tuple(
    module.MultiScaleDeformableAttention
    for module in (modeling_grounding_dino, modeling_mm_grounding_dino, modeling_omdet_turbo)
)
QUERIES_AT_ONCE = 512  # whose indices and weights, 4 MB for Grounding DINO, stay in the cache


def use_gathering(model: torch.nn.Module) -> None:
    """Replaces the samplers of a model, itself and no other.

    On a CPU only: what is best on a GPU has not been measured.
    """
    if next(model.parameters()).device.type != "cpu":
        return
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, SAMPLERS):
                setattr(parent, name, GatheringSampler())


class GatheringSampler(torch.nn.Module):
    """Stands in for `MultiScaleDeformableAttention`."""

    def forward(
        self,
        value: torch.Tensor,
        value_spatial_shapes: torch.Tensor,
        value_spatial_shapes_list: Sequence[tuple[int, int]],
        level_start_index: torch.Tensor,
        sampling_locations: torch.Tensor,
        attention_weights: torch.Tensor,
        im2col_step: int,
    ) -> torch.Tensor:
        """Samples and adds up.

        Args:
            value: (B, N, H, D): N pixels of all levels, each row by row.
            value_spatial_shapes: Not needed.
            value_spatial_shapes_list: (height, width) of each of the L levels.
            level_start_index: Not needed.
            sampling_locations: (B, Q, H, L, P, 2) x and y in [0, 1]; beyond, there are zeros.
            attention_weights: (B, Q, H, L, P).
            im2col_step: Not needed.

        Returns:
            (B, Q, H * D).
        """
        batch, queries, heads = sampling_locations.shape[:3]
        shapes = value_spatial_shapes_list
        tables = _with_borders(value.flatten(2), shapes).unflatten(2, (heads, -1)).flatten(1, 2)
        result = value.new_empty(batch, queries * heads, value.shape[3])
        locations = sampling_locations.to(value.dtype)
        for row, table in enumerate(tables):
            for start in range(0, queries, QUERIES_AT_ONCE):
                part = slice(start, start + QUERIES_AT_ONCE)
                indices, weights = _corners(
                    locations[row, part], attention_weights[row, part], shapes
                )
                result[row, start * heads : start * heads + len(indices)] = embedding_bag(
                    indices, table, mode="sum", per_sample_weights=weights
                )
        return result.view(batch, queries, -1)


def _with_borders(value: torch.Tensor, shapes: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Puts zeros around each level: one before the first row and column, two after the last.

    >>> _with_borders(torch.tensor([[[7.0]]]), [(1, 1)]).view(4, 4)[:3, :3].tolist()
    [[0.0, 0.0, 0.0], [0.0, 7.0, 0.0], [0.0, 0.0, 0.0]]
    """
    batch, _, width = value.shape
    bordered = [(h + 3) * (w + 3) for h, w in shapes]
    result = value.new_zeros(batch, sum(bordered), width)
    levels = value.split([h * w for h, w in shapes], dim=1)
    for target, level, (h, w) in zip(result.split(bordered, 1), levels, shapes, strict=True):
        inside = target.view(batch, h + 3, w + 3, width)[:, 1 : h + 1, 1 : w + 1]
        inside.copy_(level.reshape(batch, h, w, width))
    return result


def _corners(
    locations: torch.Tensor, attention: torch.Tensor, shapes: Sequence[tuple[int, int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the rows of the table that each of Q queries and H heads adds up, and their weights.

    Args:
        locations: (Q, H, L, P, 2).
        attention: (Q, H, L, P).
        shapes: Of the L levels.

    Returns:
        Both (Q * H, 4 * L * P), the indices int32. A table's row is that of a pixel with borders,
        times H, plus the head.
    """
    heads = attention.shape[1]
    starts = [0]
    for h, w in shapes:
        starts.append(starts[-1] + (h + 3) * (w + 3))
    height, width = locations.new_tensor(shapes).T[..., None]  # (L, 1)
    pitch = torch.tensor([[w + 3] for _, w in shapes], dtype=torch.int32, device=locations.device)
    # One pixel beyond the edge all is zero, and so it is further out.
    x = torch.minimum((locations[..., 0] * width - 0.5).clamp_(min=-1), width)
    y = torch.minimum((locations[..., 1] * height - 0.5).clamp_(min=-1), height)
    left, top = x.floor(), y.floor()
    x, y = x.sub_(left), y.sub_(top)

    row = (top.int() + 1).mul_(pitch).add_(left.int() + 1)
    row += row.new_tensor(starts[:-1])[:, None]
    head = torch.arange(heads, dtype=row.dtype, device=row.device)
    row = row.mul_(heads).add_(head[:, None, None])
    down = pitch * heads
    indices = torch.stack([row, row + heads, row + down, row + (down + heads)], dim=2)

    lower = y * attention
    upper = attention - lower
    lower_right, upper_right = lower * x, upper * x
    weights = torch.stack(
        [upper - upper_right, upper_right, lower - lower_right, lower_right], dim=2
    )
    return indices.flatten(2).flatten(0, 1), weights.flatten(2).flatten(0, 1)
