"""The parts of a mask decoder, and where each package keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Network = Callable[[Tensor], Tensor]  # a multi-layer perceptron on (..., C)


@dataclass(frozen=True, eq=False)
class Attention:
    """Four projections of the same number of heads; of an image and its prompts' tokens."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear
    heads: int

    @property
    def scale(self) -> float:
        """What scores are multiplied by."""
        return (self.query.out_features // self.heads) ** -0.5

    def split(self, projected: Tensor) -> Tensor:
        """(..., T, heads * d) -> (..., heads, T, d)."""
        return projected.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def columns(self, projected: Tensor) -> Tensor:
        """(N, heads * d) -> (heads, d, N)."""
        return projected.t().unflatten(0, (self.heads, -1)).contiguous()

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attends as usual: (n, T, C) of each."""
        return self.merge(
            functional.scaled_dot_product_attention(
                self.split(self.query(query)),
                self.split(self.key(key)),
                self.split(self.value(value)),
            )
        )

    def merge(self, attended: Tensor) -> Tensor:
        """(n, heads, T, d) -> (n, T, C), projected."""
        return self.output(attended.transpose(-2, -3).flatten(-2))


@dataclass(frozen=True, eq=False)
class Block:
    """A block of the two-way transformer."""

    attend_self: Attention
    norm_self: nn.LayerNorm
    read_image: Attention
    norm_read: nn.LayerNorm
    network: Network
    norm_network: nn.LayerNorm
    write_image: Attention
    norm_write: nn.LayerNorm


@dataclass(frozen=True, eq=False)
class HighQualityParts:
    """What SAM-HQ's decoder has besides.

    Attributes:
        to_mask: The network from the token after those for the masks to weights over channels.
        refine: The two convolutions of the upscaled image, and the normalisation over channels
            between them.
        of_image: From the encoder's output (1, C, h, w) to what is added, (1, C / 8, 4 h, 4 w).
        of_early: Likewise from its early output (1, D, h, w).
    """

    to_mask: Network
    refine: tuple[nn.Conv2d, nn.LayerNorm, nn.Conv2d]
    of_image: Network
    of_early: Network


@dataclass(frozen=True, eq=False)
class DecoderParts:
    """A mask decoder, whichever package its weights come from; `decoder_parts` makes it.

    Attributes:
        tokens: (1 + M + extra, C): for the scores, the M masks, and whatever else is attended to.
            (Attention does not know the order of tokens, so it need not be the package's.)
        blocks: Of the transformer.
        read_image: The last attention.
        norm: After it.
        upscale: The two transposed convolutions, with their kernel 2 and stride 2.
        norm_upscale: The normalisation over channels between them.
        to_mask: For each of the M masks the network from its token to weights over channels.
        to_scores: The network from the first token to M scores.
        no_mask: (1, C), added to the image where a prompt brings no mask.
        position: (1, C, h, w), of the image's tokens.
        stability: SAM 2's fallback from the single mask to the best: delta and threshold of
            stability; None where there is none.
        high_quality: SAM-HQ's; None where there is none.
    """

    tokens: Tensor
    blocks: Sequence[Block]
    read_image: Attention
    norm: nn.LayerNorm
    upscale: tuple[nn.ConvTranspose2d, nn.ConvTranspose2d]
    norm_upscale: Any
    to_mask: Sequence[Network]
    to_scores: Network
    no_mask: Tensor
    position: Tensor
    stability: tuple[float, float] | None = None
    high_quality: HighQualityParts | None = None


@torch.no_grad()
def official_parts(sam: Sam) -> DecoderParts:
    """The parts of segment-anything's `Sam`."""
    decoder, prompts = sam.mask_decoder, sam.prompt_encoder
    first, norm, _, second, _ = decoder.output_upscaling
    return _parts(
        decoder,
        tokens=[decoder.iou_token, decoder.mask_tokens],
        norms="norm{}",
        norm=decoder.transformer.norm_final_attn,
        upscale=(first, second),
        norm_upscale=norm,
        no_mask=prompts.no_mask_embed.weight,
        position=prompts.get_dense_pe(),
    )


@torch.no_grad()
def transformers_parts(model: Any) -> DecoderParts:
    """The parts of transformers' `SamModel`, `SamHQModel`, `Sam2Model` and those made like it."""
    decoder = model.mask_decoder
    tokens = [decoder.iou_token, decoder.mask_tokens]
    stability = high_quality = None
    if hasattr(decoder, "hq_token"):
        tokens.append(decoder.hq_token)
        high_quality = _high_quality(decoder)
    if hasattr(decoder, "obj_score_token"):
        tokens.append(decoder.obj_score_token)
        if decoder.dynamic_multimask_via_stability:
            stability = (
                decoder.dynamic_multimask_stability_delta,
                decoder.dynamic_multimask_stability_thresh,
            )
    return _parts(
        decoder,
        tokens=tokens,
        norms="layer_norm{}",
        norm=decoder.transformer.layer_norm_final_attn,
        upscale=(decoder.upscale_conv1, decoder.upscale_conv2),
        norm_upscale=decoder.upscale_layer_norm,
        no_mask=model.prompt_encoder.no_mask_embed.weight,
        position=model.get_image_wide_positional_embeddings(),
        stability=stability,
        high_quality=high_quality,
    )


def _high_quality(decoder: Any) -> HighQualityParts:
    def upscaled(name: str, norm: str) -> Network:
        first, second = (getattr(decoder, f"{name}_conv{i}") for i in (1, 2))
        return nn.Sequential(first, getattr(decoder, norm), decoder.activation, second)

    return HighQualityParts(
        to_mask=decoder.hq_mask_mlp,
        refine=(decoder.mask_conv1, decoder.mask_norm, decoder.mask_conv2),
        of_image=upscaled("encoder", "encoder_norm"),
        of_early=upscaled("compress_vit", "compress_vit_norm"),
    )


def _parts(decoder: Any, *, tokens: list[nn.Embedding], norms: str, **own: Any) -> DecoderParts:
    """What the packages call by the same names, and their `own`."""
    transformer = decoder.transformer
    return DecoderParts(
        tokens=torch.cat([embedding.weight for embedding in tokens]),
        blocks=[_block(layer, norms) for layer in transformer.layers],
        read_image=_attention(transformer.final_attn_token_to_image),
        to_mask=list(decoder.output_hypernetworks_mlps),
        to_scores=decoder.iou_prediction_head,
        **own,
    )


def _block(layer: Any, norms: str) -> Block:
    self_, read, network, write = (getattr(layer, norms.format(i)) for i in (1, 2, 3, 4))
    return Block(
        attend_self=_attention(layer.self_attn),
        norm_self=self_,
        read_image=_attention(layer.cross_attn_token_to_image),
        norm_read=read,
        network=layer.mlp,
        norm_network=network,
        write_image=_attention(layer.cross_attn_image_to_token),
        norm_write=write,
    )


def _attention(module: Any) -> Attention:
    heads = getattr(module, "num_heads", None) or module.num_attention_heads
    output = getattr(module, "out_proj", None) or module.o_proj
    return Attention(module.q_proj, module.k_proj, module.v_proj, output, heads)
