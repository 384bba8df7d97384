"""Grounding DINO's layers as we compute them; the oracle is transformers' own forward."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from tiny_detectors import bert_tokenizer, save_grounding_dino, save_omdet_turbo
from transformers import (
    AutoModelForZeroShotObjectDetection,
    GroundingDinoForObjectDetection,
    MMGroundingDinoForObjectDetection,
)
from transformers.models.grounding_dino import modeling_grounding_dino as dino

from grounding_sdk.models.detectors.deformable import (
    QUERIES_AT_ONCE,
    SAMPLERS,
    GatheringSampler,
    use_gathering,
)
from grounding_sdk.models.detectors.dino_layers import FORWARDS, use_lean_layers

EXACT = {"rtol": 1e-5, "atol": 1e-5}
EVEN = [(8, 12), (4, 6), (2, 4), (2, 2)]
ODD = [(13, 7), (7, 3), (3, 1), (1, 1)]


def sampled(sampler, shapes, locations, value, attention):
    sizes = torch.tensor(shapes)
    starts = torch.cat([sizes.new_zeros(1), sizes.prod(1).cumsum(0)[:-1]])
    return sampler(value, sizes, shapes, starts, locations, attention, 64)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.__module__[-16:])
@pytest.mark.parametrize("spread", [0.0, 0.2, 30.0], ids=["on it", "near it", "far from it"])
@pytest.mark.parametrize("shapes", [EVEN, ODD, [(5, 6)]], ids=["even", "odd", "one level"])
@pytest.mark.parametrize("batch, heads, points", [(1, 1, 1), (3, 4, 2)])
def test_gathering_gives_what_grid_sample_gives(sampler, shapes, spread, batch, heads, points):
    torch.manual_seed(0)
    queries, pixels = 17, sum(h * w for h, w in shapes)
    value = torch.randn(batch, pixels, heads, 8, dtype=torch.float64)
    sides = (batch, queries, heads, len(shapes), points)
    locations = torch.rand(*sides, 2, dtype=torch.float64)
    locations += spread * torch.randn_like(locations)
    attention = torch.rand(sides, dtype=torch.float64)
    given = (locations, value, attention)
    expected = sampled(sampler(), shapes, *given)
    torch.testing.assert_close(sampled(GatheringSampler(), shapes, *given), expected)
    rounded = sampled(GatheringSampler(), shapes, *(one.float() for one in given))
    torch.testing.assert_close(rounded, expected.float(), **EXACT)


@pytest.mark.parametrize("x", [-0.5, 0.0, 0.25, 0.5, 1.0, 1.5, 1e9, -1e9])
def test_points_on_edges_between_pixels_and_out_of_the_image(x):
    shapes, value = [(2, 2)], torch.arange(1.0, 5).view(1, 4, 1, 1)
    locations = torch.tensor([x, 0.5]).view(1, 1, 1, 1, 1, 2)
    given = (shapes, locations, value, torch.ones(1, 1, 1, 1, 1))
    expected = sampled(dino.MultiScaleDeformableAttention(), *given)
    torch.testing.assert_close(sampled(GatheringSampler(), *given), expected)


def test_many_queries_are_taken_in_parts():
    torch.manual_seed(0)
    shapes, queries = [(6, 5), (3, 3)], 2 * QUERIES_AT_ONCE + 1
    value, locations = torch.randn(2, 39, 2, 4), torch.rand(2, queries, 2, 2, 3, 2)
    given = (shapes, locations, value, torch.rand(2, queries, 2, 2, 3))
    expected = sampled(dino.MultiScaleDeformableAttention(), *given)
    torch.testing.assert_close(sampled(GatheringSampler(), *given), expected, **EXACT)


# ---- whole models


def lean(model):
    ours = copy.deepcopy(model)
    use_gathering(ours)
    use_lean_layers(ours)
    return ours


@pytest.fixture(scope="module", params=[False, True], ids=["grounding-dino", "mm-grounding-dino"])
def model(request, tmp_path_factory):
    folder = save_grounding_dino(tmp_path_factory.mktemp("dino"), mm=request.param)
    model_class = [GroundingDinoForObjectDetection, MMGroundingDinoForObjectDetection][
        request.param
    ]
    return model_class.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def text():
    tokens = bert_tokenizer()(["dog . a red car .", "cat ."], return_tensors="pt", padding=True)
    return {name: tokens[name] for name in ("input_ids", "attention_mask")}


@torch.no_grad()
@pytest.mark.parametrize(
    "height, width, shown",
    [(96, 128, None), (97, 131, None), (33, 160, None), (97, 131, [(97, 131), (60, 131)])],
    ids=["even", "odd", "flat", "padded"],
)
def test_a_whole_model_gives_the_same_logits(model, text, height, width, shown):
    torch.manual_seed(0)
    pixels, mask = torch.randn(2, 3, height, width), torch.ones(2, height, width, dtype=torch.long)
    for row, (h, w) in enumerate(shown or ()):
        mask[row, h:], mask[row, :, w:] = 0, 0
    given = {"pixel_values": pixels, "pixel_mask": mask, **text}
    expected, found = model(**given), lean(model)(**given)
    for name in ("encoder_last_hidden_state_vision", "encoder_last_hidden_state_text"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), **EXACT)
    torch.testing.assert_close(found.logits, expected.logits, **EXACT)
    torch.testing.assert_close(found.pred_boxes, expected.pred_boxes, **EXACT)


@torch.no_grad()
def test_every_layer_gives_the_same(model, text):
    """Fed with what the layer gets in a run of the original, of which a row is padded."""
    ours, calls = lean(model), []
    replaced = tuple(kind for kinds in FORWARDS for kind in kinds)
    for name, module in model.named_modules():
        if isinstance(module, replaced):
            module.register_forward_hook(
                lambda _, args, kwargs, output, name=name: calls.append(
                    (name, args, kwargs, output)
                ),
                with_kwargs=True,
            )
    pixels = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    model(pixel_values=pixels, **text)
    for module in model.modules():
        module._forward_hooks.clear()
    assert len({type(ours.get_submodule(name)) for name, *_ in calls}) == len(FORWARDS)
    for name, args, kwargs, expected in calls:
        found = ours.get_submodule(name)(*args, **kwargs)
        if isinstance(expected[0], tuple):  # of image and text
            expected, found = ([one for one, _ in pair] for pair in (expected, found))
        else:
            expected, found = expected[:1], found[:1]
        torch.testing.assert_close(tuple(found), tuple(expected), **EXACT)


def test_other_models_are_left_alone(model):
    ours = lean(model)
    for kind in SAMPLERS:
        assert inspect.isfunction(kind.forward)
        assert kind.forward.__module__ == kind.__module__
    assert not any(isinstance(module, GatheringSampler) for module in model.modules())
    assert not any("forward" in vars(module) for module in model.modules())
    assert sum(isinstance(module, GatheringSampler) for module in ours.modules()) == 4
    assert ours.state_dict().keys() == model.state_dict().keys()


@torch.no_grad()
def test_omdet_turbo_gives_the_same_logits(tmp_path):
    folder = save_omdet_turbo(tmp_path)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    ours = copy.deepcopy(model)
    use_gathering(ours)
    assert any(isinstance(module, GatheringSampler) for module in ours.modules())
    torch.manual_seed(0)
    words = torch.randint(1, 90, (2, 77))
    given = {
        "pixel_values": torch.randn(2, 3, 64, 64),
        "classes_input_ids": words,
        "classes_attention_mask": torch.ones_like(words),
        "tasks_input_ids": words,
        "tasks_attention_mask": torch.ones_like(words),
        "classes_structure": torch.tensor([1, 1]),
    }
    expected, found = model(**given), ours(**given)
    for name in ("decoder_coord_logits", "decoder_class_logits"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), **EXACT)
