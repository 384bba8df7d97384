"""Both encoders against independent implementations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from grounding_sdk.models.mini.convert import convert_text_encoder
from grounding_sdk.models.mini.network import MAPS, ImageEncoder
from grounding_sdk.models.mini.text import PhraseEncoder
from grounding_sdk.models.mini.weights import TEXT, TOKENIZER, VISION, load_text, load_vision

WEIGHTS = Path(__file__).parents[3] / "weights" / "mini"
HERE = Path(__file__).parent


def test_lite2_gives_what_efficientnet_lite_pytorch_gave() -> None:
    """The reference was computed at conversion with the PyPI package, in fp32."""
    stored = np.load(HERE / "lite2_reference.npz")
    encoder = load_vision(WEIGHTS / VISION).encoder.names
    pixels = torch.from_numpy(stored["pixels"]).float().permute(2, 0, 1)[None]
    with torch.inference_mode():
        top = encoder.top(encoder(pixels)[-1])
        logits = encoder.classifier(top.mean((2, 3), keepdim=True))[0, :, 0, 0]
    assert top.shape == stored["top"].shape
    # Large kernels are stored as int8; ReLU6 bounds these features to 0..6.
    assert np.abs(top.numpy() - stored["top"]).mean() < 0.05
    assert logits.argmax() == stored["logits"].argmax()
    assert np.corrcoef(logits.numpy(), stored["logits"])[0, 1] > 0.99


def test_nanodet_gives_what_the_published_graph_gave() -> None:
    """The reference was computed by running the published graph node by node, in fp32."""
    stored = np.load(HERE / "nanodet_reference.npz")
    encoder = load_vision(WEIGHTS / VISION).encoder.objects
    y, x = np.mgrid[:416, :416]
    pixels = np.stack([60 + x // 4, 70 + y // 4, np.full_like(x, 80)], -1)
    pixels[np.hypot(x - 200, y - 220) < 90] = (250, 140, 20)
    pixels[300:380, 40:160] = (30, 60, 200)
    with torch.inference_mode():
        features = encoder(torch.from_numpy(pixels).float().permute(2, 0, 1)[None])
        _, classes, sides = encoder.read(features)[-1]
    scores = classes[0].sigmoid().flatten(1).T.numpy()
    assert np.abs(scores - stored["scores"]).max() < 0.02  # kernels are stored as int8
    assert np.abs(sides[0].flatten(1).T.numpy() - stored["sides"]).mean() < 0.05


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 192)])
def test_image_features_have_the_promised_strides(height: int, width: int) -> None:
    with torch.inference_mode():
        features = ImageEncoder()(torch.zeros(1, 3, height, width))
    assert [tuple(f.shape[1:]) for f in features] == [(c, height // s, width // s) for c, s in MAPS]


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
