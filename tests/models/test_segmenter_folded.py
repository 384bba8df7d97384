"""The folded decoder against the packages' own, tensor by tensor; the oracle is their forward."""

import dataclasses
from functools import partial

import pytest
import torch
from decoder_reference import assert_same, is_official, random, reference
from tiny_segmenters import (
    HF,
    enliven,
    official_sam,
    picture,
    points_in,
)
from torch_threads import one_thread  # noqa: F401

from grounding_sdk.benchmark.reference import mend_sam_hq
from grounding_sdk.models.segmenters.decoder_parts import official_parts, transformers_parts
from grounding_sdk.models.segmenters.folded_decoder import FoldedDecoder, Wanted
from grounding_sdk.models.segmenters.segment_anything import SegmentAnythingSegmenter

FAMILIES = ["segment-anything", "sam", "sam_hq", "sam2", "edgetam", "sam3_tracker"]


def features_of(model, seed=0):
    """What an encoder gives, for the model's decoder: finer ones first, where it takes them."""
    channels = model.mask_decoder.transformer_dim if is_official(model) else 32
    side = model.prompt_encoder.image_embedding_size[0]
    coarse = random(1, channels, side, side, seed=seed)
    if hasattr(model.mask_decoder, "hq_token"):
        early = model.mask_decoder.compress_vit_conv1.in_channels
        return [random(1, side, side, early, seed=seed + 1), coarse]
    if not hasattr(model.mask_decoder, "conv_s0"):
        return [coarse]
    finest = random(1, channels // 8, 4 * side, 4 * side, seed=seed + 1)
    return [finest, random(1, channels // 4, 2 * side, 2 * side, seed=seed + 2), coarse]


def small(family):
    torch.manual_seed(0)
    with torch.no_grad():
        if family == "segment-anything":
            model = official_sam()
            enliven(model, 3)
            return model, official_parts(model)
        config, settings, _, model_class, _ = HF[family]
        model = model_class(config(**settings())).eval()
        enliven(model, 10)
        if family == "sam_hq":
            mend_sam_hq(model)
        return model, transformers_parts(model)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    model, parts = small(request.param)
    return model, parts.position, FoldedDecoder(parts)


@pytest.fixture(scope="module", params=FAMILIES)
def double_family(request):
    """In double precision, where nothing but a wrong formula makes a difference."""
    model, parts = small(request.param)
    tensors = {name: getattr(parts, name).double() for name in ("tokens", "no_mask", "position")}
    model.double()  # and with it the modules in the parts
    decoder = FoldedDecoder(dataclasses.replace(parts, **tensors), torch.float64)
    return model, tensors["position"], decoder


@torch.no_grad()
@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize("tokens", [0, 3])
def test_is_the_same_function_as_the_own_decoder(double_family, wanted, with_masks, tokens):
    model, position, decoder = double_family
    features = [value.double() for value in features_of(model)]
    sparse = random(3, tokens, features[-1].shape[1], seed=5).double()
    dense = random(3, *features[-1].shape[1:], seed=6).double() if with_masks else None
    found = decoder.decode(decoder.share(features), sparse, dense, wanted)
    expected = reference(model, position, features, sparse, dense, wanted)
    assert_same(found, expected, tolerance=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("with_masks", [False, True])
def test_rounds_to_the_same_in_single_precision(family, wanted, with_masks):
    model, position, decoder = family
    features = features_of(model)
    sparse = random(3, 3, features[-1].shape[1], seed=5)
    dense = random(3, *features[-1].shape[1:], seed=6) if with_masks else None
    found = decoder.decode(decoder.share(features), sparse, dense, wanted)
    expected = reference(model, position, features, sparse, dense, wanted)
    assert_same(found, expected)
    different = (found[0] > 0) != (expected[0] > 0)
    assert expected[0][different].abs().sum() < 1e-5  # ties


@torch.no_grad()
@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize("at_once", [1, 2, 5, 9])
def test_a_result_does_not_depend_on_how_prompts_are_batched(family, with_masks, at_once):
    model, _, decoder = family
    features = features_of(model)
    image = decoder.share(features)
    sparse = random(5, 2, features[-1].shape[1], seed=5)
    dense = random(5, *features[-1].shape[1:], seed=6) if with_masks else None
    together = decoder.decode(image, sparse, dense, Wanted.ALL, at_once)
    for i in (0, 4):
        own = None if dense is None else dense[i : i + 1]
        alone = decoder.decode(image, sparse[i : i + 1], own, Wanted.ALL)
        assert_same([value[i : i + 1] for value in together], alone)


@torch.no_grad()
@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 9), (9, 3), (8, 8), (16, 16)])
def test_logits_that_are_needed_are_the_same_without_the_others(family, wanted, rows, columns):
    model, _, decoder = family
    features = features_of(model)
    image = decoder.share(features)
    sparse = random(3, 2, features[-1].shape[1], seed=5)
    whole, scores = decoder.decode(image, sparse, wanted=wanted)
    found, own_scores = decoder.decode(image, sparse, wanted=wanted, kept=(rows, columns))
    assert_same([found[..., :rows, :columns], own_scores], [whole[..., :rows, :columns], scores])


@torch.no_grad()
@pytest.mark.parametrize("kept", [None, (9, 3)])
def test_an_image_is_upscaled_in_parts_that_do_not_show(family, kept, monkeypatch):
    model, _, decoder = family
    features = features_of(model)
    image = decoder.share(features)
    sparse = random(3, 2, features[-1].shape[1], seed=5)
    whole = decoder.decode(image, sparse, wanted=Wanted.ALL, kept=kept)
    monkeypatch.setattr("grounding_sdk.models.segmenters.changed_image.ALIGNED", 5)
    monkeypatch.setattr("grounding_sdk.models.segmenters.changed_image.TOGETHER", 1)
    assert_same(decoder.decode(image, sparse, wanted=Wanted.ALL, kept=kept), whole)


@torch.no_grad()
@pytest.mark.parametrize("at_once", [1, 5])
def test_each_prompt_gets_its_own_best_mask(at_once):
    model, parts = small("segment-anything")
    best = [2, 0, 1, 1, 2]
    table = torch.nn.functional.one_hot(torch.tensor(best) + 1, 4) - torch.tensor([-9, 0, 0, 0])
    rows = iter(table.float().split(at_once))
    features, sparse = features_of(model), random(5, 2, 32, seed=5)
    plain = FoldedDecoder(parts)
    every, _ = plain.decode(plain.share(features), sparse, wanted=Wanted.ALL)
    decoder = FoldedDecoder(dataclasses.replace(parts, to_scores=lambda tokens: next(rows)))
    found, scores = decoder.decode(decoder.share(features), sparse, None, Wanted.BEST, at_once)
    assert_same([found[:, 0]], [every[range(5), best]])
    assert scores.tolist() == [[1.0]] * 5


@torch.no_grad()
def test_unstable_masks_of_sam2_are_replaced_and_stable_ones_kept():
    model, parts = small("sam2")
    position = parts.position
    features, sparse = features_of(model), random(12, 2, 32, seed=5)
    single = []
    for threshold in (0.0, 0.97, 1.1):
        model.mask_decoder.dynamic_multimask_stability_thresh = threshold
        decoder = FoldedDecoder(transformers_parts(model))
        found = decoder.decode(decoder.share(features), sparse)
        assert_same(found, reference(model, position, features, sparse, None, Wanted.SINGLE))
        single.append(found[0])
    assert not torch.equal(single[0], single[2])
    model.mask_decoder.dynamic_multimask_via_stability = False
    decoder = FoldedDecoder(transformers_parts(model))
    assert_same(decoder.decode(decoder.share(features), sparse)[:1], single[:1])


@torch.no_grad()
@pytest.mark.parametrize("wanted, masks", [(Wanted.SINGLE, 1), (Wanted.BEST, 1), (Wanted.ALL, 3)])
def test_no_prompts_give_no_masks(family, wanted, masks):
    model, _, decoder = family
    features = features_of(model)
    sparse = random(0, 2, features[-1].shape[1])
    logits, scores = decoder.decode(decoder.share(features), sparse, wanted=wanted)
    side = 4 * model.prompt_encoder.image_embedding_size[0]
    assert logits.shape == (0, masks, side, side)
    assert scores.shape == (0, masks)


@torch.no_grad()
def test_images_take_turns(family):
    """What is kept of the latest image is never taken for another's."""
    model, position, decoder = family
    first, second = features_of(model, seed=0), features_of(model, seed=50)
    sparse = random(2, 2, first[-1].shape[1], seed=5)
    for features in (first, second, first, [value.clone() for value in second]):
        found = decoder.decode(decoder.share(features), sparse)
        assert_same(found, reference(model, position, features, sparse, None, Wanted.SINGLE))
    assert decoder.share(first) is decoder.share(first)


def test_the_image_is_prepared_once_for_any_number_of_queries(monkeypatch):
    segmenter = SegmentAnythingSegmenter(official_sam())
    calls = []
    share = FoldedDecoder._share
    monkeypatch.setattr(FoldedDecoder, "_share", lambda *a: calls.append(1) or share(*a))
    image = picture(40, 60)
    (embedding,) = segmenter.encode([image])
    for count in (1, 3, 70):
        segmenter.decode(embedding, points=points_in(image, count))
    assert len(calls) == 1


def test_weights_that_could_be_trained_stay_as_they_are():
    model = official_sam().requires_grad_(True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    decoder = FoldedDecoder(official_parts(model))
    features = features_of(model)
    logits, _ = torch.no_grad()(partial(decoder.decode, decoder.share(features)))(random(1, 2, 32))
    assert not logits.requires_grad
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
