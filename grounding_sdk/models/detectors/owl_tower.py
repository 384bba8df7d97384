"""The layers of OWL's image tower in float32: the published numbers, but for rounding.

What is done otherwise: sums are made in place and as a part of the product before them; the bias of
the keys is left out, as it adds one number to all scores of a query; that of the values comes after
the projection, as weights sum to one; and the perceptron is `Perceptron`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers.activations import QuickGELUActivation
from transformers.modeling_outputs import BaseModelOutput

from grounding_sdk.models.perceptron import QUICK, TOKENS_AT_ONCE, Perceptron, gelu, quick_silu


@dataclass(frozen=True, eq=False)
class _Layer:
    norm: Any
    attention: Any
    perceptron: Perceptron
    projection_bias: Tensor


class ExactTower:
    """The `forward` of an `OwlViTEncoder` or `Owlv2Encoder` of images."""

    def __init__(self, encoder: Any) -> None:
        """Takes the weights as they are now, on the device where they are."""
        self._layers = [_layer(layer) for layer in encoder.layers]

    @torch.no_grad()
    def __call__(self, inputs_embeds: Tensor, **_: Any) -> BaseModelOutput:
        """Runs the layers on tokens (B, N, width), which stay as they are."""
        tokens = inputs_embeds.clone(memory_format=torch.contiguous_format)
        for layer in self._layers:
            _add_attention(layer, tokens)
            layer.perceptron.add_to(tokens.flatten(0, 1))
        return BaseModelOutput(last_hidden_state=tokens)


def _add_attention(layer: _Layer, tokens: Tensor) -> None:
    attention = layer.attention
    asked, keys, values = (torch.empty_like(tokens) for _ in range(3))
    flat = [part.flatten(0, 1).split(TOKENS_AT_ONCE) for part in (tokens, asked, keys, values)]
    for part, *into in zip(*flat, strict=True):
        seen = layer.norm(part)
        projections = attention.q_proj, attention.k_proj, attention.v_proj
        for projection, out in zip(projections, into, strict=True):
            torch.mm(seen, projection.weight.T, out=out)
    asked += attention.q_proj.bias
    query, key, value = (
        part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for part in (asked, keys, values)
    )
    attended = scaled_dot_product_attention(query, key, value, scale=attention.scale)
    attended = attended.transpose(1, 2).reshape(-1, tokens.shape[-1])
    tokens.flatten(0, 1).addmm_(attended, attention.out_proj.weight.T)
    tokens += layer.projection_bias


def _layer(layer: Any) -> _Layer:
    attention, network = layer.self_attn, layer.mlp
    quick = isinstance(network.activation_fn, QuickGELUActivation)
    activation, factor = (quick_silu, QUICK) if quick else (gelu(network.activation_fn), 1.0)
    projection = attention.out_proj
    return _Layer(
        norm=layer.layer_norm1,
        attention=attention,
        perceptron=Perceptron(layer.layer_norm2, network.fc1, network.fc2, activation, factor),
        projection_bias=linear(attention.v_proj.bias, projection.weight, projection.bias).detach(),
    )
