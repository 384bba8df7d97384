"""Both encoders against independent implementations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from grounding_sdk.models.mini.convert import convert_text_encoder
from grounding_sdk.models.mini.network import ImageEncoder
from grounding_sdk.models.mini.text import PhraseEncoder
from grounding_sdk.models.mini.weights import TEXT, TOKENIZER, VISION, load_text, load_vision

WEIGHTS = Path(__file__).parents[3] / "weights" / "mini"
REFERENCE = Path(__file__).with_name("lite2_reference.npz")


def test_image_encoder_gives_what_efficientnet_lite_pytorch_gave() -> None:
    """The reference was computed at conversion with the PyPI package, in fp32."""
    stored = np.load(REFERENCE)
    encoder = load_vision(WEIGHTS / VISION).encoder
    pixels = torch.from_numpy(stored["pixels"]).float().permute(2, 0, 1)[None]
    with torch.inference_mode():
        top = encoder.top(encoder(pixels)[-1])
        logits = encoder.classifier(top.mean((2, 3), keepdim=True))[0, :, 0, 0]
    assert top.shape == stored["top"].shape
    # The stored weights are rounded to fp16; ReLU6 bounds these features to 0..6.
    assert np.abs(top.numpy() - stored["top"]).max() < 0.05
    assert logits.argmax() == stored["logits"].argmax()
    np.testing.assert_allclose(logits.numpy(), stored["logits"], atol=0.05)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 160)])
def test_image_features_have_the_promised_strides(height: int, width: int) -> None:
    with torch.inference_mode():
        features = ImageEncoder()(torch.zeros(1, 3, height, width))
    sizes = [tuple(f.shape[1:]) for f in features]
    strides = ((3, 4), (24, 4), (48, 8), (120, 16), (352, 32))
    expected = [(c, height // s, width // s) for c, s in strides]
    assert sizes == expected


def test_text_encoder_equals_transformers_bert() -> None:
    """Random weights of MiniLM's shape, masked and unmasked tokens."""
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    reference = BertModel(config).eval()
    ours = convert_text_encoder(reference.state_dict())
    tokens = torch.randint(0, config.vocab_size, (3, 9))
    mask = torch.arange(9) < torch.tensor([[9], [4], [6]])
    with torch.inference_mode():
        hidden = reference(tokens, attention_mask=mask.long()).last_hidden_state
        real = mask[..., None].float()
        expected = torch.nn.functional.normalize((hidden * real).sum(1) / real.sum(1), dim=-1)
        torch.testing.assert_close(ours(tokens, mask), expected, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def phrases() -> PhraseEncoder:
    return PhraseEncoder(load_text(WEIGHTS / TEXT), WEIGHTS / TOKENIZER)


def test_phrases_of_one_meaning_are_near(phrases: PhraseEncoder) -> None:
    sofa, couch, rocket = phrases(["sofa", "couch", "rocket"])
    assert sofa @ couch > 0.8 > sofa @ rocket
    assert torch.allclose(torch.stack([sofa, rocket]).norm(dim=1), torch.ones(2), atol=1e-5)


def test_a_phrase_is_the_same_alone_among_others_and_again(phrases: PhraseEncoder) -> None:
    long = "the tall man with a red umbrella who is walking two dogs across the street"
    together = phrases(["cat", long, "cat"])
    fresh = PhraseEncoder(phrases.encoder, WEIGHTS / TOKENIZER)
    torch.testing.assert_close(fresh(["cat"])[0], together[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(together[0], together[2], atol=0, rtol=0)


@pytest.mark.parametrize("text", ["dog " * 900, "\N{DOG FACE}", "собака", "x"])
def test_any_text_is_a_phrase(phrases: PhraseEncoder, text: str) -> None:
    assert torch.isfinite(phrases([text])).all()
