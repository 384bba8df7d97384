"""Our encoder against the packages' own; the oracle is their forward."""

import numpy as np
import pytest
import torch
from tiny_segmenters import (
    HF,
    enliven,
    official_sam,
    picture,
    save_hf,
)
from torch_threads import one_thread  # noqa: F401
from transformers import SamImageProcessor

from grounding_sdk.errors import ConfigError
from grounding_sdk.models import perceptron
from grounding_sdk.models.precision import is_fast_faster
from grounding_sdk.models.segmenters import sam_encoder
from grounding_sdk.models.segmenters.hf_sam import HfSamSegmenter
from grounding_sdk.models.segmenters.sam_encoder import SamEncoder, is_known
from grounding_sdk.models.segmenters.segment_anything import SegmentAnythingSegmenter


@pytest.fixture(scope="module", params=["segment-anything", "sam", "sam_hq"])
def encoder(request):
    """The package's encoder, double precision so that only a wrong formula makes a difference."""
    torch.manual_seed(0)
    with torch.no_grad():
        if request.param == "segment-anything":
            model = official_sam().image_encoder
        else:
            config, settings, _, model_class, _ = HF[request.param]
            model = model_class(config(**settings())).eval()
            enliven(model, 10)
            model = model.vision_encoder
    return model.double()


def images(model, count):
    side = model.img_size if hasattr(model, "img_size") else model.image_size
    generator = torch.Generator().manual_seed(4)
    return torch.randn(count, 3, side, side, generator=generator, dtype=torch.float64)


def own(model, pixels):
    found = model(pixels)
    return found if isinstance(found, torch.Tensor) else found[0]


@torch.no_grad()
@pytest.mark.parametrize("at_once", [1, 100, 1000, 2**20])
@pytest.mark.parametrize("count", [1, 3])
def test_is_the_same_function_as_the_own_encoder(encoder, at_once, count, monkeypatch):
    monkeypatch.setattr(sam_encoder, "SCORES_AT_ONCE", at_once)
    monkeypatch.setattr(perceptron, "TOKENS_AT_ONCE", at_once)
    pixels = images(encoder, count)
    before = pixels.clone()
    found, _ = SamEncoder(encoder, torch.float64)(pixels)
    torch.testing.assert_close(found, own(encoder, pixels), rtol=0, atol=1e-11)
    assert torch.equal(pixels, before)


@torch.no_grad()
def test_positions_as_more_numbers_give_the_same(encoder):
    pixels = images(encoder, 2)
    found, _ = SamEncoder(encoder, torch.float64, plain=True)(pixels)
    torch.testing.assert_close(found, own(encoder, pixels), rtol=0, atol=1e-11)


@torch.no_grad()
def test_projections_may_have_no_bias():
    torch.manual_seed(0)
    config, settings, _, model_class, _ = HF["sam"]
    changed = settings()
    changed["vision_config"] = changed["vision_config"] | {"qkv_bias": False}
    model = model_class(config(**changed)).eval()
    enliven(model, 10)
    encoder = model.vision_encoder.double()
    pixels = images(encoder, 1)
    found, _ = SamEncoder(encoder, torch.float64)(pixels)
    torch.testing.assert_close(found, own(encoder, pixels), rtol=0, atol=1e-11)


@torch.no_grad()
def test_gives_the_early_features_that_sam_hq_reads():
    torch.manual_seed(0)
    config, settings, _, model_class, _ = HF["sam_hq"]
    model = model_class(config(**settings())).eval()
    enliven(model, 10)
    pixels = images(model.vision_encoder, 2).float()
    _, early = SamEncoder(model.vision_encoder)(pixels)
    torch.testing.assert_close(early, model.vision_encoder(pixels)[1][0])


@torch.no_grad()
@pytest.mark.parametrize("height, width", [(8, 8), (5, 9), (14, 14)])
def test_all_attentions_agree_on_grids_of_any_shape(height, width):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    projected = normal(2, height, width, 3, 2, 6)
    rows, columns = normal(height, height, 6), normal(width, width, 6)
    query, key, value = projected.flatten(1, 2).permute(2, 0, 3, 1, 4)
    by_row = torch.einsum("bnhwc,hkc->bnhwk", query.unflatten(2, (height, width)), rows)
    by_column = torch.einsum("bnhwc,wkc->bnhwk", query.unflatten(2, (height, width)), columns)
    bias = (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
    weights = (query @ key.transpose(-1, -2) * 6**-0.5 + bias).softmax(-1)
    expected = (weights @ value).transpose(1, 2).reshape(2, height, width, 12)
    ways = (
        sam_encoder.attend_in_slabs,
        sam_encoder.attend_with_mask,
        sam_encoder.attend_with_positions,
    )
    for attend in ways:
        torch.testing.assert_close(attend(projected, rows, columns), expected)


def test_an_encoder_of_another_make_is_run_as_it_is():
    """MobileSAM's `Sam` has another encoder."""

    class Tiny(torch.nn.Module):
        img_size = 128

        def __init__(self):
            super().__init__()
            self.patches = torch.nn.Conv2d(3, 32, 16, 16)

        def forward(self, pixels):
            return self.patches(pixels)

    sam = official_sam()
    sam.image_encoder = Tiny().eval()
    segmenter = SegmentAnythingSegmenter(sam)
    (embedding,) = segmenter.encode([picture(40, 60)])
    assert embedding.features[0].shape == (1, 32, 8, 8)


@pytest.mark.parametrize("switch", ["use_abs_pos", "use_rel_pos"])
def test_an_encoder_without_some_positions_is_run_as_it_is(switch):
    config, settings, _, model_class, _ = HF["sam"]
    changed = settings()
    changed["vision_config"] = changed["vision_config"] | {switch: False}
    model = model_class(config(**changed)).eval()
    assert not is_known(model.vision_encoder)
    side = model.config.vision_config.image_size
    processor = SamImageProcessor(
        size={"longest_edge": side}, pad_size={"height": side, "width": side}
    )
    segmenter = HfSamSegmenter(model, processor, name="x")
    image = picture(40, 60)
    (embedding,) = segmenter.encode([image])
    assert segmenter.decode(embedding, [[0, 0, 9, 9]]).masks.shape == (1, 40, 60)


# ---- precision


@pytest.fixture(scope="module", params=["segment-anything", "sam", "sam_hq", "sam2"])
def segmenter(request, tmp_path_factory):
    if request.param == "segment-anything":
        return SegmentAnythingSegmenter(official_sam())
    folder = save_hf(request.param, tmp_path_factory.mktemp(request.param))
    return HfSamSegmenter.load(folder, name=request.param)


def test_fast_is_close_and_exact_comes_back(segmenter, monkeypatch):
    monkeypatch.setattr("grounding_sdk.models.precision.is_fast_faster", lambda device: True)
    image, boxes = picture(40, 60), [[3, 3, 30, 30], [0, 0, 60, 40]]
    results = []
    for precision in ("exact", "fast", "exact"):
        segmenter.precision = precision
        assert segmenter.precision == precision
        (embedding,) = segmenter.encode([image])
        assert all(feature.dtype == torch.float32 for feature in embedding.features)
        found = segmenter.decode(embedding, boxes)
        assert found.logits.dtype == np.float32
        results.append(found.logits)
    exact, fast, again = results
    np.testing.assert_array_equal(exact, again)
    assert np.abs(fast - exact).max() < 0.1 * np.abs(exact).max()
    assert np.abs(fast - exact).max() > 0


def test_fast_is_exact_where_bfloat16_would_be_slower(segmenter, monkeypatch):
    monkeypatch.setattr("grounding_sdk.models.precision.is_fast_faster", lambda device: False)
    image, results = picture(40, 60), []
    for precision in ("exact", "fast"):
        segmenter.precision = precision
        (embedding,) = segmenter.encode([image])
        results.append(segmenter.decode(embedding, [[3, 3, 30, 30]]).logits)
    segmenter.precision = "exact"
    np.testing.assert_array_equal(*results)


def test_exact_is_the_default():
    assert SegmentAnythingSegmenter(official_sam()).precision == "exact"


def test_precision_can_be_asked_for_when_loading(tmp_path):
    folder = save_hf("sam", tmp_path / "sam")
    assert HfSamSegmenter.load(folder, name="x", precision="fast").precision == "fast"
    torch.save(official_sam().state_dict(), tmp_path / "sam.pth")
    loaded = SegmentAnythingSegmenter.load(tmp_path / "sam.pth", name="x", precision="fast")
    assert loaded.precision == "fast"


def test_an_unknown_precision_says_which_there_are(segmenter):
    with pytest.raises(ConfigError, match="'exact' or 'fast' as precision, got 'half'"):
        segmenter.precision = "half"
    assert segmenter.precision == "exact"


@pytest.mark.parametrize(
    "abilities, expected",
    [
        ({"amx_bf16": True, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True),
        ({"avx2": True, "amx_bf16": False}, False),
        ({}, False),
    ],
)
def test_fast_is_for_hardware_that_multiplies_bfloat16(abilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert is_fast_faster("cpu") is expected
