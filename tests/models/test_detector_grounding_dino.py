from __future__ import annotations

from itertools import pairwise

import numpy as np
import PIL.Image
import pytest
import torch
from tiny_detectors import SIZES, assert_equal_results, assert_same, picture, save_grounding_dino
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from grounding_sdk import Image, Query
from grounding_sdk.models.detectors.grounding_dino import GroundingDinoDetector, build_captions
from grounding_sdk.models.ports import Detector

DOG, CAR = "dog", "a red car"
SEPARATORS = torch.tensor([101, 102, 1012, 1029])


@pytest.fixture(scope="module", params=[False, True], ids=["grounding-dino", "mm-grounding-dino"])
def directory(request, tmp_path_factory):
    return save_grounding_dino(tmp_path_factory.mktemp("dino"), mm=request.param)


@pytest.fixture(scope="module")
def detector(directory):
    return GroundingDinoDetector.load(directory, name="tiny")


@pytest.fixture(scope="module")
def reference(directory):
    """Boxes, best score without separators and (M, K) scores, by the documented path."""
    processor = AutoProcessor.from_pretrained(directory)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(directory).eval()

    def run(image: Image, texts: list[str]):
        picture = PIL.Image.fromarray(image.pixels)
        inputs = processor(images=picture, text=[texts], return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        separators = torch.isin(inputs["input_ids"][0], SEPARATORS)
        tokens = outputs.logits[0, :, : len(separators)].sigmoid()
        ends = separators.nonzero().flatten().tolist()
        scores = [tokens[:, a + 1 : b].amax(1) for a, b in pairwise(ends) if b > a + 1]
        outputs.logits[:, :, : len(separators)][:, :, separators] = -torch.inf
        [result] = processor.post_process_grounded_object_detection(
            outputs, threshold=-1.0, target_sizes=[image.size]
        )
        return result["boxes"], result["scores"], torch.stack(scores, 1)

    return run


def everything(*texts: str) -> Query:
    return Query.of(texts).with_threshold(0.0)


@pytest.mark.parametrize("texts", [(DOG,), (DOG, CAR, "cat")])
@pytest.mark.parametrize("size", SIZES[:-1])
def test_agrees_with_the_reference(detector, reference, size, texts):
    image = picture(*size)
    boxes, best, scores = reference(image, list(texts))
    [found] = detector.detect([image], [everything(*texts)])
    assert_same(found, boxes, scores, size)
    torch.testing.assert_close(best, scores.max(1).values)


def test_a_strip_is_padded_and_its_boxes_are_put_back(detector, reference):
    image = picture(2, 300)
    canvas = Image(np.pad(image.pixels, ((0, 13), (0, 0), (0, 0))))
    boxes, _, scores = reference(canvas, [DOG, CAR])
    [found] = detector.detect([image], [everything(DOG, CAR)])
    assert_same(found, boxes, scores, image.size)


def test_a_batch_gives_what_each_image_gives_alone(detector):
    sizes = [(48, 64), (97, 41), (48, 64), (7, 3), (1, 400), (96, 128)]
    images = [picture(*size, seed) for seed, size in enumerate(sizes)]
    long = [f"thing {number}" for number in range(30)]  # needs several captions
    queries = [
        everything(*texts)
        for texts in ([DOG], [DOG, CAR], [CAR, "cat", "plant flower"], ["cat"], [DOG], long)
    ]
    batch = detector.detect(images, queries)
    for image, query, found in zip(images, queries, batch, strict=True):
        assert_equal_results(found, detector.detect([image], [query])[0])


def test_all_phrases_take_one_pass_and_many_images_of_one_size_too(detector):
    passes = []
    hook = detector._model.register_forward_hook(lambda *_: passes.append(1))
    images = [picture(48, 64, seed) for seed in range(3)]
    detector.detect(images, [everything(DOG, CAR), everything(CAR), everything("cat")])
    hook.remove()
    assert len(passes) == 1


def test_vocabulary_past_the_limit_is_split(detector, reference):
    texts = [f"thing {number}" for number in range(24)]  # 3 tokens and "." each, 30 fit: 7 a time
    image = picture(48, 64)
    images_encoded = []
    swin = detector._model.model.backbone.conv_encoder
    hook = swin.register_forward_hook(lambda *_: images_encoded.append(1))
    [found] = detector.detect([image], [everything(*texts)])
    hook.remove()
    assert len(images_encoded) == 1

    boxes, rows, start = [], [], 0
    limit = detector._model.config.max_text_len
    tokens = detector._saved.tokenizer(texts, add_special_tokens=False)["input_ids"]
    while start < len(texts):
        stop = start
        while stop < len(texts) and sum(len(t) + 1 for t in tokens[start : stop + 1]) + 2 <= limit:
            stop += 1
        part_boxes, _, part_scores = reference(image, texts[start:stop])
        part = np.zeros((len(part_boxes), len(texts)), np.float32)
        part[:, start:stop] = part_scores
        boxes.append(part_boxes)
        rows.append(part)
        start = stop
    assert len(rows) > 2
    assert_same(found, np.concatenate(boxes), np.concatenate(rows), image.size)
    assert found["phrase"].tolist() == [texts[i] for i in found["phrase_id"]]
    assert (found.class_id == found["phrase_id"]).all()


@pytest.mark.parametrize("per_pass", [40, 256])
def test_a_vocabulary_as_large_as_that_of_lvis(tmp_path_factory, per_pass):
    directory = save_grounding_dino(tmp_path_factory.mktemp("long"), max_text_len=256)
    detector = GroundingDinoDetector.load(directory, name="long")
    detector.phrases_per_pass = per_pass
    words = [f"thing {number}" for number in range(1203)]
    image = picture(48, 64)
    captions, encoded, lengths = detector._captions(everything(*words)), [], []
    model = detector._model.model
    model.backbone.conv_encoder.register_forward_hook(lambda *_: encoded.append(1))
    model.text_backbone.register_forward_hook(lambda _, given, __: lengths.append(given[0].shape))
    [found] = detector.detect([image], [everything(*words)])
    assert len(encoded) == 1
    assert len(lengths) == len(captions)
    assert all(rows == 1 and tokens <= 256 for rows, tokens in lengths)
    assert max(len(caption.spans) for caption in captions) <= per_pass
    assert [index for caption in captions for index, _, _ in caption.spans] == list(range(1203))
    assert found["phrase_scores"].shape == (len(found), 1203)
    assert (found.class_id == found["phrase_id"]).all()
    assert found["class_name"].tolist() == [words[index] for index in found.class_id]

    asked = [index for index, _, _ in captions[1].spans]  # a caption gives what it gives alone
    [alone] = detector.detect([image], [everything(*(words[index] for index in asked))])
    of_it = found[np.isin(found["phrase_id"], asked)]
    np.testing.assert_allclose(of_it.confidence, alone.confidence, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        of_it["phrase_scores"][:, asked], alone["phrase_scores"], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("phrase", "read_as"),
    [
        ("u.s. flag", "u s flag"),
        ("dog? red car", "dog red car"),
        ("DOG", "dog"),
        ("a . dog .", "a dog"),
    ],
)
def test_separators_inside_a_phrase_do_not_cut_it(detector, phrase, read_as):
    image = picture(48, 64)
    [found] = detector.detect([image], [everything(phrase, "cat")])
    [plain] = detector.detect([image], [everything(read_as, "cat")])
    assert_equal_results(found, plain)
    assert set(found["phrase"]) <= {phrase, "cat"}


@pytest.mark.parametrize(
    "phrase",
    [
        "狗和猫",
        "🐶 1",
        "zzz",
        "[PAD]x" * 20,
        "1.5",
        "dog " * 200,
        "a\u0301\u0302",
        "№5",
        "dog [SEP] cat",
    ],
)
def test_any_phrase_is_taken(detector, phrase):
    [found] = detector.detect([picture(9, 9)], [everything(phrase, DOG)])
    assert set(found["phrase"]) <= {Query.of([phrase]).texts[0], DOG}
    assert np.isfinite(found["phrase_scores"]).all()
    assert (found["phrase_scores"].max(axis=0) > 0).all()


def test_captions_are_packed_in_order():
    phrases = [[11], [12, 13], list(range(20, 40)), [14]]
    captions = build_captions(phrases, first=1, separator=3, last=2, limit=10)
    assert [caption.ids for caption in captions] == [
        (1, 11, 3, 12, 13, 3, 2),
        (1, *range(20, 27), 3, 2),  # cut to what a caption holds
        (1, 14, 3, 2),
    ]
    assert [caption.spans for caption in captions] == [
        ((0, 1, 2), (1, 3, 5)),
        ((2, 1, 8),),
        ((3, 1, 2),),
    ]


def test_captions_take_no_more_phrases_than_is_said():
    captions = build_captions([[11], [12], [13]], first=1, separator=3, last=2, limit=99, most=2)
    assert [caption.ids for caption in captions] == [(1, 11, 3, 12, 3, 2), (1, 13, 3, 2)]
    assert [caption.spans for caption in captions] == [((0, 1, 2), (1, 3, 4)), ((2, 1, 2),)]


def test_threshold_zero_one_and_per_phrase(detector):
    image = picture(48, 64)
    [found] = detector.detect([image], [everything(DOG, CAR)])
    assert len(found) > 0
    [nothing] = detector.detect([image], [Query.of([DOG, CAR]).with_threshold(1.0)])
    assert len(nothing) == 0
    assert nothing["phrase_scores"].shape == (0, 2)


def test_fits_the_port(detector):
    assert isinstance(detector, Detector)
    assert (detector.name, detector.default_threshold) == ("tiny", 0.3)
    assert detector.detect([], []) == []
    assert not detector._vision._features  # none are kept for nothing
