"""What a user of the embedded model sees, with the weights that are shipped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_segmenters import assert_masks_need_no_logits

from grounding_sdk.errors import PromptError
from grounding_sdk.image import Image
from grounding_sdk.models import precision
from grounding_sdk.models.mini.network import boxes_from_sides, positions
from grounding_sdk.models.mini.predictor import (
    ENCODINGS_BYTES,
    OBJECTNESS_SHARE,
    MiniDetector,
    MiniSegmenter,
    positive,
    resized,
    window_pixels,
)
from grounding_sdk.models.mini.weights import VISION, load_vision
from grounding_sdk.models.ports import Detector, Segmenter
from grounding_sdk.query import Query

ROOT = Path(__file__).parents[3] / "weights"
WEIGHTS = ROOT / "mini"
DEMOS = ROOT.parent / "demos" / "images"


@pytest.fixture(scope="module")
def detector() -> MiniDetector:
    return MiniDetector.load(WEIGHTS)


@pytest.fixture(scope="module")
def segmenter() -> MiniSegmenter:
    return MiniSegmenter.load(WEIGHTS)


def disc(height: int = 240, width: int = 320, radius: int = 60) -> tuple[Image, np.ndarray]:
    """An orange disc on a dull gradient, and its mask."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([60 + x // 8, 70 + y // 8, np.full_like(x, 80)], -1).astype(np.uint8)
    mask = np.hypot(x - width / 2, y - height / 2) < radius
    pixels[mask] = (250, 140, 20)
    return Image(pixels), mask


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_files_are_those_of_the_manifest() -> None:
    files = json.loads((ROOT / "manifest.json").read_text())["models"]["mini"]["files"]
    assert set(files) >= {"mini/vision.safetensors", "mini/text.safetensors", "mini/tokenizer.json"}
    for name, entry in files.items():
        content = (ROOT / name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (
            entry["sha256"],
            entry["bytes"],
        )
    assert sum(entry["bytes"] for entry in files.values()) < 40e6


def test_it_fits_the_ports(detector: MiniDetector, segmenter: MiniSegmenter) -> None:
    assert isinstance(detector, Detector)
    assert isinstance(segmenter, Segmenter)
    assert detector.network is segmenter.network
    assert 0 < detector.default_threshold < 1


def test_it_boxes_the_one_object(detector: MiniDetector) -> None:
    image, mask = disc()
    found = detector.detect([image], [Query.of("orange").with_threshold(0.02)])[0]
    ys, xs = np.nonzero(mask)
    x0, y0, x1, y1 = found.xyxy[0]
    overlap = (min(x1, xs.max()) - max(x0, xs.min())) * (min(y1, ys.max()) - max(y0, ys.min()))
    assert overlap / ((x1 - x0) * (y1 - y0) + np.ptp(xs) * np.ptp(ys) - overlap) > 0.6
    assert found["class_name"][0] == "orange"
    assert (np.diff(found.confidence) <= 0).all()
    assert found["phrase_scores"].shape == (len(found), 1)


@pytest.mark.parametrize("query", ["red ball . blue ball", "a ball that is red . blue thing"])
def test_it_tells_colours_apart(detector: MiniDetector, query: str) -> None:
    y, x = np.mgrid[0:360, 0:480]
    pixels = np.full((360, 480, 3), 150, np.uint8)
    for middle, colour in ((130, (200, 30, 30)), (350, (30, 60, 200))):
        pixels[np.hypot(x - middle, y - 180) < 70] = colour
    found = detector.detect([Image(pixels)], [Query.of(query).with_threshold(0.1)])[0]
    best = found.xyxy[found["phrase_scores"].argmax(0)]
    assert best[0, 2] < 240 < best[1, 0]  # red on the left, blue on the right


def test_a_plain_name_says_nothing_of_looks(detector: MiniDetector) -> None:
    looks, encode = detector.network.model.detector.looks, detector.network.phrases
    assert not looks.read(encode(["dog", "tram", "person"])).any()
    assert looks.read(encode(["red dog", "blue car"])).any(1).all()


def test_the_right_colour_alone_is_no_reason_to_see_a_thing(detector: MiniDetector) -> None:
    rocket, cat = (Image.load(DEMOS / name) for name in ("rocket.jpg", "cat.jpg"))
    query = Query.of("african grey . tabby")  # a parrot, and the cat
    assert not detector.detect([rocket], [query])[0]
    assert set(detector.detect([cat], [query])[0]["class_name"]) == {"tabby"}


def test_fast_is_close_to_exact(
    detector: MiniDetector, segmenter: MiniSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = disc()
    query = Query.of("orange").with_threshold(0.02)
    exact = detector.detect([image], [query])[0]
    encoding = segmenter.encode([image])[0]
    monkeypatch.setattr(precision, "is_fast_faster", lambda device: True)
    for model in (detector, segmenter):
        monkeypatch.setattr(model, "precision", "fast")
    fast = detector.detect([image], [query])[0]
    np.testing.assert_allclose(fast.xyxy[0], exact.xyxy[0], atol=6)
    np.testing.assert_allclose(fast.confidence[0], exact.confidence[0], atol=0.05)
    narrow = segmenter.encode([image])[0]
    assert narrow is not encoding
    masks = [segmenter.decode(e, exact.xyxy[:1]).masks.to_dense()[0] for e in (encoding, narrow)]
    assert iou(*masks) > 0.95


def test_what_is_served_is_what_was_trained(
    detector: MiniDetector, segmenter: MiniSegmenter
) -> None:
    """The training graph, with gradients and without its dropout, gives the same within 1e-4."""
    image, _ = disc()
    encoding = detector.network.encode(image)
    query = Query.of("dog . cup")
    boxes, scores = detector.score(encoding, query)
    model = load_vision(WEIGHTS / VISION).requires_grad_(True)
    pixels = torch.tensor(resized(image, encoding.encoded_size)).permute(2, 0, 1)[None].float()
    features = model.encoder(pixels)
    sight = model.encoder.read(features)
    phrases = detector.network.phrases(query.texts)
    names, sides, objects = model.detector.call(features, sight, phrases)
    centres, _ = positions(*pixels.shape[2:])
    share = OBJECTNESS_SHARE
    trained = names[0].sigmoid() ** (1 - share) * objects[0].sigmoid()[:, None] ** share
    torch.testing.assert_close(scores, trained.detach(), atol=1e-4, rtol=0)
    inside = boxes_from_sides(centres, sides[0]).detach().clamp(min=0)
    torch.testing.assert_close(boxes[:, :2], inside[:, :2], atol=1e-2, rtol=0)
    embedding = model.masker.embed(features, sight).detach()
    torch.testing.assert_close(encoding.embedding, embedding, atol=1e-3, rtol=0)


def test_nothing_found_keeps_every_column(detector: MiniDetector) -> None:
    blank = Image(np.full((64, 64, 3), 200, np.uint8))
    found = detector.detect([blank], [Query.of("zebra . tram").with_threshold(0.999)])[0]
    assert len(found) == 0
    assert found["phrase_scores"].shape == (0, 2)
    assert set(found.data) >= {"class_name", "phrase", "phrase_id", "mask_score"}


def test_a_batch_gives_what_each_gives_alone(detector: MiniDetector) -> None:
    first, second = disc()[0], disc(100, 300, 30)[0]
    queries = [Query.of("orange . ball"), Query.of(["a red car", "sun", "ball"])]
    queries = [q.with_threshold(0.05) for q in queries]
    together = detector.detect([first, second], queries)
    for image, query, found in zip([first, second], queries, together, strict=True):
        alone = detector.detect([image], [query])[0]
        np.testing.assert_allclose(found.xyxy, alone.xyxy)
        np.testing.assert_allclose(found.confidence, alone.confidence)


def test_a_phrase_scores_the_same_whatever_else_is_asked(detector: MiniDetector) -> None:
    encoding = detector.network.encode(disc()[0])
    _, alone = detector.score(encoding, Query.of("orange"))
    _, among = detector.score(encoding, Query.of("dog . orange . a blue car"))
    np.testing.assert_allclose(alone[:, 0], among[:, 1], atol=1e-5)


def test_boxes_of_one_phrase_do_not_pile_up(detector: MiniDetector) -> None:
    found = detector.detect([disc()[0]], [Query.of("orange").with_threshold(0.01)])[0]
    low = np.maximum(found.xyxy[:, None, :2], found.xyxy[None, :, :2])
    high = np.minimum(found.xyxy[:, None, 2:], found.xyxy[None, :, 2:])
    inter = (high - low).clip(min=0).prod(2)
    area = (found.xyxy[:, 2:] - found.xyxy[:, :2]).prod(1)
    overlap = inter / (area[:, None] + area[None] - inter)
    assert np.triu(overlap, 1).max(initial=0) < 0.65


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (700, 2), (31, 33), (640, 640)])
def test_any_size_of_image(
    detector: MiniDetector, segmenter: MiniSegmenter, size: tuple[int, int]
) -> None:
    image = Image(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    found = detector.detect([image], [Query.of("dog").with_threshold(0.0)])[0]
    assert (found.xyxy >= 0).all()
    assert (found.xyxy[:, 2] <= size[1]).all()
    box = np.array([[0, 0, size[1], size[0]]])
    predicted = segmenter.decode(segmenter.encode([image])[0], box)
    assert predicted.masks.to_dense().shape == (1, *size)


def test_a_box_gives_the_object_in_it(segmenter: MiniSegmenter) -> None:
    image, mask = disc()
    ys, xs = np.nonzero(mask)
    box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]])
    predicted = segmenter.decode(segmenter.encode([image])[0], box)
    assert iou(predicted.masks.to_dense()[0], mask) > 0.8
    assert predicted.scores.shape == (1, 1)
    assert predicted.logits is not None
    assert predicted.logits.shape == (1, 1, 128, 128)


def test_a_point_gives_an_object_around_it(segmenter: MiniSegmenter) -> None:
    image, mask = disc()
    points = np.array([[[160, 120]]])
    predicted = segmenter.decode(segmenter.encode([image])[0], points=points)
    assert iou(predicted.masks.to_dense()[0], mask) > 0.5


def test_several_masks_come_best_first(segmenter: MiniSegmenter) -> None:
    encoding = segmenter.encode([disc()[0]])[0]
    boxes = np.array([[100, 60, 220, 180], [10, 10, 60, 60]])
    for prompt in ({"boxes": boxes}, {"points": boxes.reshape(2, 2, 2)}):
        several = segmenter.decode(encoding, multimask=True, **prompt)
        single = segmenter.decode(encoding, **prompt)
        assert several.scores.shape == (2, 3)
        assert len(several.masks) == 6
        assert (np.diff(several.scores, axis=1) <= 0).all()
        assert single.scores.shape == (2, 1)


def test_a_prompt_does_not_depend_on_its_neighbours(segmenter: MiniSegmenter) -> None:
    encoding = segmenter.encode([disc()[0]])[0]
    boxes = np.array([[100, 60, 220, 180], [10, 10, 60, 60], [0, 0, 320, 240]])
    together = segmenter.decode(encoding, boxes)
    for i in range(3):
        alone = segmenter.decode(encoding, boxes[[i]])
        assert together.logits is not None
        assert alone.logits is not None
        np.testing.assert_allclose(together.logits[i], alone.logits[0], atol=1e-3)


def test_masks_of_an_earlier_prediction_can_be_given_back(segmenter: MiniSegmenter) -> None:
    image, mask = disc()
    encoding = segmenter.encode([image])[0]
    first = segmenter.decode(encoding, np.array([[100, 60, 220, 180]]))
    assert first.logits is not None
    again = segmenter.decode(encoding, masks=first.logits[:, 0])
    assert iou(again.masks.to_dense()[0], mask) > 0.7


@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_masks_are_the_same_where_nobody_wants_the_logits(
    segmenter: MiniSegmenter, kind: str
) -> None:
    boxes = np.array([[100, 60, 220, 180], [10, 10, 60, 60]])
    prompts = {"boxes": boxes} if kind == "boxes" else {"points": boxes.reshape(2, 2, 2)}
    assert_masks_need_no_logits(segmenter, disc()[0], **prompts)


def test_no_prompts_give_no_masks(segmenter: MiniSegmenter) -> None:
    predicted = segmenter.decode(segmenter.encode([disc()[0]])[0], np.zeros((0, 4)))
    assert len(predicted.masks) == 0
    assert predicted.scores.shape == (0, 1)


def test_no_prompt_at_all_is_an_error(segmenter: MiniSegmenter) -> None:
    with pytest.raises(PromptError):
        segmenter.decode(segmenter.encode([disc()[0]])[0])


def test_an_image_is_encoded_once_and_few_are_kept(
    detector: MiniDetector, segmenter: MiniSegmenter
) -> None:
    image, encodings = disc()[0], detector.network.encodings
    encodings.clear()
    detector.detect([image], [Query.of("ball")])
    assert segmenter.encode([image])[0] is detector.network.encode(Image(image.pixels.copy()))
    stats = encodings.stats()
    assert (stats.misses, stats.hits, stats.entries) == (1, 2, 1)
    assert 0 < 12 * stats.bytes <= ENCODINGS_BYTES  # enough for what a stream has under way
    for shade in range(30):
        detector.detect([Image(np.full_like(image.pixels, shade))], [Query.of("ball")])
    assert encodings.stats().bytes <= ENCODINGS_BYTES


def test_a_mask_in_a_window_is_bilinear_and_clipped_to_the_image() -> None:
    logit = np.full((56, 56), -1.0, np.float32)
    logit[:, 28:] = 1.0
    rows, y = window_pixels(-10.0, 102.0, 50)
    columns, x = window_pixels(20.0, 76.0, 60)
    crop = positive(logit, y, x)
    assert (rows, columns) == (slice(0, 50), slice(20, 60))
    assert crop[:, 28:].all()
    assert not crop[:, :28].any()
