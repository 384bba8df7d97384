"""Our layers against the modules that they compute, in double precision."""

import pytest
import torch
from transformers import Owlv2Config, OwlViTConfig
from transformers.activations import ACT2FN
from transformers.models.owlv2.modeling_owlv2 import Owlv2Encoder
from transformers.models.owlvit.modeling_owlvit import OwlViTEncoder

from grounding_sdk.models import perceptron
from grounding_sdk.models.detectors.owl_tower import ExactTower
from grounding_sdk.models.perceptron import QUICK, Perceptron, gelu, quick_silu


def tokens(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


ACTIVATIONS = {
    "nn.GELU": torch.nn.GELU(),
    "tanh": torch.nn.GELU(approximate="tanh"),
    "transformers": ACT2FN["gelu"],
    "python": ACT2FN["gelu_python"],
    "relu": torch.nn.ReLU(),
    "quick": ACT2FN["quick_gelu"],
}


@torch.no_grad()
@pytest.mark.parametrize("at_once", [1, 3, 7, 100])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_adds_what_the_modules_give(name, at_once, monkeypatch):
    monkeypatch.setattr(perceptron, "TOKENS_AT_ONCE", at_once)
    torch.manual_seed(0)
    norm = torch.nn.LayerNorm(4).double()
    inner, outer = torch.nn.Linear(4, 9).double(), torch.nn.Linear(9, 4).double()
    module, found = ACTIVATIONS[name], tokens(7, 4)
    expected = found + outer(module(inner(norm(found))))
    activation, factor = (quick_silu, QUICK) if name == "quick" else (gelu(module), 1.0)
    Perceptron(norm, inner, outer, activation, factor).add_to(found)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize(
    "encoder, configuration", [(Owlv2Encoder, Owlv2Config), (OwlViTEncoder, OwlViTConfig)]
)
def test_owls_tower_is_the_same_function(encoder, configuration, activation):
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 20, "num_attention_heads": 2}
    sizes |= {"num_hidden_layers": 3, "hidden_act": activation}
    published = encoder(configuration(vision_config=sizes).vision_config).double().eval()
    for bias in (value for name, value in published.named_parameters() if "bias" in name):
        bias.normal_()
    given = tokens(2, 10, 8)
    before = given.clone()
    found = ExactTower(published)(inputs_embeds=given).last_hidden_state
    expected = published(inputs_embeds=given).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)
    assert torch.equal(given, before)
