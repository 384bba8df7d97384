"""Where each package keeps the parts of a mask decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from grounding_sdk.models.segmenters.folded_decoder import Attention, Block, DecoderParts

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


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
    """The parts of transformers' `SamModel`, `Sam2Model`, `EdgeTamModel` or `Sam3TrackerModel`."""
    decoder = model.mask_decoder
    tokens = [decoder.iou_token, decoder.mask_tokens]
    stability = None
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
