"""The image that prompts changed, against the decoder that writes it down, in other proportions.

The tiny models of the other tests have fewer numbers a head than a prompt has tokens, and norms
that do nothing but normalise. Those that are published have not.
"""

import copy
import dataclasses
from types import SimpleNamespace

import pytest
import torch
from decoder_reference import assert_same, random, reference
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from tiny_segmenters import enliven
from torch_threads import one_thread  # noqa: F401

from grounding_sdk.models.segmenters.changed_image import TOGETHER
from grounding_sdk.models.segmenters.decoder_parts import official_parts
from grounding_sdk.models.segmenters.folded_decoder import FoldedDecoder, Wanted

CHANNELS = 128  # 8 numbers for each of 8 heads
FEW, MANY = 2, 12  # a prompt's tokens, to which the decoder adds 5: not more than the 9, and more


def decoder_of(depth=2, grid=(5, 7)):
    transformer = TwoWayTransformer(depth, embedding_dim=CHANNELS, num_heads=8, mlp_dim=64)
    model = SimpleNamespace(
        mask_decoder=MaskDecoder(transformer_dim=CHANNELS, transformer=transformer),
        prompt_encoder=PromptEncoder(CHANNELS, grid, (128, 128), mask_in_chans=8),
    )
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for module in (model.mask_decoder.eval(), model.prompt_encoder.eval()):
            enliven(module, seed=2)
            for name, value in module.named_parameters():
                if "norm" in name:
                    value.add_(torch.randn(value.shape, generator=generator), alpha=0.5)
    return model


def in_double(model):
    """The model and its folded decoder in double precision."""
    parts = official_parts(model)
    model = copy.deepcopy(model)
    model.mask_decoder.double()
    model.prompt_encoder.double()
    tensors = {name: getattr(parts, name).double() for name in ("tokens", "no_mask", "position")}
    parts = dataclasses.replace(official_parts_of_modules(model), **tensors)
    return model, parts.position, FoldedDecoder(parts, torch.float64)


def official_parts_of_modules(model):
    position = torch.zeros(1, CHANNELS, 1, 1).double()
    encoder = model.prompt_encoder
    still = SimpleNamespace(no_mask_embed=encoder.no_mask_embed, get_dense_pe=lambda: position)
    return official_parts(SimpleNamespace(mask_decoder=model.mask_decoder, prompt_encoder=still))


@torch.no_grad()
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("tokens", [FEW, MANY])
@pytest.mark.parametrize("with_masks", [False, True])
def test_is_the_same_function_whatever_the_norms_and_tokens(depth, tokens, with_masks):
    model, position, decoder = in_double(decoder_of(depth))
    features = [random(1, CHANNELS, 5, 7, seed=1).double()]
    sparse = random(3, tokens, CHANNELS, seed=2).double()
    dense = random(3, CHANNELS, 5, 7, seed=3).double() if with_masks else None
    found = decoder.decode(decoder.share(features), sparse, dense, Wanted.ALL)
    expected = reference(model, position, features, sparse, dense, Wanted.ALL)
    assert_same(found, expected, tolerance=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("tokens", [FEW, MANY])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_deviations_found_without_the_image_are_as_exact(tokens, offset):
    """A mean that all channels share cancels, and must not take digits of the rest with it."""
    model = decoder_of()
    features = [random(1, CHANNELS, 5, 7, seed=1) + offset]
    sparse = random(3, tokens, CHANNELS, seed=2)
    parts = official_parts(model)
    decoder = FoldedDecoder(parts)
    found, _ = decoder.decode(decoder.share(features), sparse)
    usual, _ = reference(model, parts.position, features, sparse, None, Wanted.SINGLE)
    double, position, _ = in_double(model)
    truth, _ = reference(
        double, position, [features[0].double()], sparse.double(), None, Wanted.SINGLE
    )
    error, usual_error = ((each - truth).abs().max() / truth.std() for each in (found, usual))
    assert error < 1e-5
    assert error < 4 * usual_error + 1e-6


@torch.no_grad()
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_image_without_anything_in_it(value):
    """Where tokens do not deviate, one divided by the deviation is what the norm's epsilon says."""
    model = decoder_of()
    with torch.no_grad():
        for block in model.mask_decoder.transformer.layers:
            block.cross_attn_image_to_token.out_proj.weight.zero_()
            block.cross_attn_image_to_token.out_proj.bias.fill_(0.1)
        model.prompt_encoder.no_mask_embed.weight.zero_()
    model, position, decoder = in_double(model)
    features = [torch.full((1, CHANNELS, 5, 7), value).double()]
    sparse = random(2, FEW, CHANNELS, seed=2).double()
    found = decoder.decode(decoder.share(features), sparse)
    expected = reference(model, position, features, sparse, None, Wanted.SINGLE)
    assert_same(found, expected, tolerance=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("tokens", [FEW, MANY])
def test_an_image_is_changed_in_parts_that_do_not_show(tokens, monkeypatch):
    model = decoder_of()
    decoder = FoldedDecoder(official_parts(model))
    image = decoder.share([random(1, CHANNELS, 5, 7, seed=1)])
    sparse = random(3, tokens, CHANNELS, seed=2)
    whole = decoder.decode(image, sparse, wanted=Wanted.ALL)
    assert TOGETHER > 5 * 7 * 3
    for together in (1, 24, 33):
        monkeypatch.setattr("grounding_sdk.models.segmenters.changed_image.TOGETHER", together)
        assert_same(decoder.decode(image, sparse, wanted=Wanted.ALL), whole)
