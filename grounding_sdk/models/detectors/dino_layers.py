"""Layers of Grounding DINO that give what transformers' give, up to rounding, with less work.

`fuse` has less arithmetic: transformers projects each of the N pixels of the image to queries and
values of 1,024 numbers, compares them with the T tokens of the text, and projects what comes out
back to 256. Projections are linear, so they can be moved over to the text, which is hundreds of
times shorter: with pixels x and queries x A, a comparison (x A) k is x (A k); with values x V, a
sum p (x V) is (p x) V. For 18 tokens that is a tenth of the work, for 256 tokens half.

The others write less to memory. None returns attention weights, which nobody reads.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.grounding_dino import modeling_grounding_dino as dino
from transformers.models.mm_grounding_dino import modeling_mm_grounding_dino as mm_dino

PIXELS_AT_ONCE = 2048  # 16 MB between the linear layers of an encoder layer; all would be 150 MB

Features = tuple[torch.Tensor, None]


def use_lean_layers(model: torch.nn.Module) -> None:
    """Makes the layers of a model, itself and no other, compute as the functions below do."""
    for module in model.modules():
        for classes, forward in FORWARDS.items():
            if isinstance(module, classes):
                layer: Any = module
                layer.forward = partial(forward, layer)


def fuse(
    its: Any,
    vision_features: torch.Tensor,
    text_features: torch.Tensor,
    vision_attention_mask: torch.Tensor | None = None,
    text_attention_mask: torch.Tensor | None = None,
) -> tuple[Features, Features]:
    """Lets image and text look at each other, as `BiMultiHeadAttention` does.

    The original also takes the largest of all products off each, for the sake of float16; a softmax
    does not depend on that.

    Args:
        its: The layer.
        vision_features: (B, N, C).
        text_features: (B, T, C).
        vision_attention_mask: (B, N), True where there is no image.
        text_attention_mask: (B, T), True where there is no text.

    Returns:
        What the image (B, N, C) and the text (B, T, C) got to see.
    """
    batch, tokens = text_features.shape[:2]
    heads = its.num_heads

    def of_text(projection: torch.nn.Linear) -> torch.Tensor:
        return projection(text_features).view(batch, tokens, heads, -1)

    def per_head(projection: torch.nn.Linear) -> torch.Tensor:
        return projection.weight.view(heads, its.head_dim, -1)

    keys = of_text(its.text_proj) * its.scale
    compare = torch.einsum("bthd,hdc->bcht", keys, per_head(its.vision_proj)).flatten(2)
    bias = torch.einsum("bthd,hd->bht", keys, its.vision_proj.bias.view(heads, -1))
    scores = torch.baddbmm(bias.flatten(1)[:, None], vision_features, compare)
    scores = scores.unflatten(2, (heads, tokens))  # (B, N, H, T)

    by_text = _softmax(scores, vision_attention_mask, 1).flatten(2)
    seen = torch.bmm(by_text.transpose(1, 2), vision_features).unflatten(1, (heads, tokens))
    seen = torch.einsum("bhtc,hdc->bthd", seen, per_head(its.values_vision_proj)).flatten(2)
    for_text = its.out_text_proj(seen + its.values_vision_proj.bias)

    out = its.out_vision_proj.weight.view(-1, heads, its.head_dim)
    values = torch.einsum("bthd,chd->bhtc", of_text(its.values_text_proj), out).flatten(1, 2)
    by_pixels = _softmax(scores, text_attention_mask, 3).flatten(2)
    bias = its.out_vision_proj.bias.expand(batch, 1, -1)
    return (torch.baddbmm(bias, by_pixels, values), None), (for_text, None)


def _softmax(scores: torch.Tensor, absent: torch.Tensor | None, dim: int) -> torch.Tensor:
    """Takes the softmax of (B, N, H, T) over a dimension, and 0 where there is nothing."""
    if absent is not None:
        shape = [len(scores), 1, 1, 1]
        shape[dim] = -1
        scores = scores.masked_fill(absent.view(shape), -torch.inf)
    return scores.softmax(dim)


def attend(
    its: Any,
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    output_attentions: bool = False,
) -> Features:
    """Attention, as `MultiheadAttention`, without the table of all weights."""

    def split(features: torch.Tensor) -> torch.Tensor:
        return features.unflatten(2, (its.num_attention_heads, -1)).transpose(1, 2)

    seen = scaled_dot_product_attention(
        split(its.query(queries)), split(its.key(keys)), split(its.value(values)), attention_mask
    )
    return its.out_proj(seen.transpose(1, 2).flatten(2)), None


def deform(
    its: Any, hidden_states: torch.Tensor, attention_mask: torch.Tensor, **where: Any
) -> Features:
    """A layer of the encoder, as `DeformableLayer`, some pixels at a time.

    Args:
        its: The layer.
        hidden_states: (B, N, C).
        attention_mask: (B, N), False where there is no image.
        where: What its deformable attention is told of places.
    """
    seen, _ = its.self_attn(
        hidden_states=hidden_states,
        attention_mask=attention_mask,
        encoder_hidden_states=hidden_states,
        encoder_attention_mask=attention_mask,
        **where,
    )
    result = its.self_attn_layer_norm(hidden_states + seen)
    for part in result.flatten(0, 1).split(PIXELS_AT_ONCE):
        inner = its.fc2(its.activation_fn(its.fc1(part)))
        part.copy_(its.final_layer_norm(part + inner))
    return result, None


FORWARDS: dict[tuple[type, ...], Any] = {
    (
        dino.GroundingDinoBiMultiHeadAttention,
        mm_dino.MMGroundingDinoBiMultiHeadAttention,
    ): fuse,
    (dino.GroundingDinoMultiheadAttention, mm_dino.MMGroundingDinoMultiheadAttention): attend,
    (dino.GroundingDinoDeformableLayer, mm_dino.MMGroundingDinoDeformableLayer): deform,
}
