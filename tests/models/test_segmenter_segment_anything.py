import warnings

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.build_sam import build_sam_vit_b, build_sam_vit_h, build_sam_vit_l
from tiny_segmenters import (
    PROMPT_KINDS,
    SIZES,
    assert_masks_need_no_logits,
    assert_predicts,
    assert_same_prediction,
    assert_threads_do_not_tell,
    boxes_in,
    official_sam,
    picture,
    points_in,
    prompt_kinds,
    single_prompts,
    wants_several,
)
from torch_threads import one_thread  # noqa: F401

from grounding_sdk.errors import CorruptWeightsError, MissingWeightsError
from grounding_sdk.models.ports import Segmenter
from grounding_sdk.models.segmenters.segment_anything import (
    SegmentAnythingSegmenter,
    sam_from_weights,
)

MASK_SIDE = 32


@pytest.fixture(scope="module")
def sam():
    return official_sam()


@pytest.fixture(scope="module")
def checkpoint(sam, tmp_path_factory):
    """Laid out as the published files are."""
    file = tmp_path_factory.mktemp("sam") / "sam_vit_b_01ec64.pth"
    torch.save(sam.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def segmenter(checkpoint):
    return SegmentAnythingSegmenter.load(checkpoint, name="segment-anything:vit-b")


def reference(sam, image, prompt):
    """The official predictor on one prompt."""
    predictor = SamPredictor(sam)
    predictor.set_image(image.pixels)
    size, tensors = image.pixels.shape[:2], [None] * 4
    if "points" in prompt:
        tensors[0] = torch.tensor(predictor.transform.apply_coords(prompt["points"], size))
        tensors[1] = torch.tensor(prompt["point_labels"])
    if "boxes" in prompt:
        tensors[2] = torch.tensor(predictor.transform.apply_boxes(prompt["boxes"], size)).float()
    if "masks" in prompt:
        tensors[3] = torch.tensor(prompt["masks"])[:, None].float()
    full, scores, logits = predictor.predict_torch(
        *tensors, multimask_output=wants_several(prompt), return_logits=True
    )
    return full[0].numpy(), scores[0].numpy(), logits[0].numpy()


def test_is_a_segmenter(segmenter):
    assert isinstance(segmenter, Segmenter)
    assert segmenter.name == "segment-anything:vit-b"


@pytest.mark.parametrize("size", [*SIZES, (2, 300)])
def test_boxes_give_the_predictor_masks(segmenter, sam, size):
    image = picture(*size)
    prompts = {"boxes": boxes_in(image)}
    found = segmenter.decode(segmenter.encode([image])[0], **prompts)
    expected = [reference(sam, image, prompt) for prompt in single_prompts(prompts)]
    assert_predicts(found, expected, several=False)
    assert found.masks.shape == (2, *size)


@pytest.mark.parametrize("kind", PROMPT_KINDS)
def test_every_kind_of_prompt_gives_the_predictor_masks(segmenter, sam, kind):
    image = picture(40, 60)
    prompts = prompt_kinds(image, MASK_SIDE)[kind]
    found = segmenter.decode(segmenter.encode([image])[0], **prompts)
    expected = [reference(sam, image, prompt) for prompt in single_prompts(prompts)]
    several = prompts.get("multimask", False)
    assert_predicts(found, expected, several)
    assert found.logits.shape == (2, 3 if several else 1, MASK_SIDE, MASK_SIDE)
    on = found.masks.to_dense().mean(axis=(1, 2))
    assert ((on > 0.02) & (on < 0.98)).any()  # masks with an edge, or nothing was compared
    assert np.abs(np.diff(found.logits, axis=0)).max() > 1e-2  # that depend on the prompt


@pytest.mark.parametrize("size", [*SIZES, (300, 2)])
def test_masks_are_the_same_where_nobody_wants_the_logits(segmenter, size):
    image = picture(*size)
    assert_masks_need_no_logits(segmenter, image, boxes=boxes_in(image))


@pytest.mark.parametrize("kind", PROMPT_KINDS)
def test_prompts_of_every_kind_work_without_logits(segmenter, kind):
    image = picture(40, 60)
    prompts = prompt_kinds(image, MASK_SIDE)[kind]
    assert_masks_need_no_logits(segmenter, image, **prompts)


def test_results_do_not_depend_on_the_number_of_threads(segmenter):
    assert_threads_do_not_tell(segmenter)


def test_a_single_point_gets_the_mask_that_scores_best(segmenter):
    image = picture(40, 60)
    embedding = segmenter.encode([image])[0]
    point = points_in(image, 5)
    best, every = (segmenter.decode(embedding, points=point, multimask=m) for m in (False, True))
    np.testing.assert_allclose(best.scores[:, 0], every.scores.max(axis=1), rtol=1e-4)


def test_an_image_of_a_batch_gets_what_it_gets_alone(segmenter, sam):
    images = [picture(*size, seed=i) for i, size in enumerate(SIZES)]
    batched = SegmentAnythingSegmenter(sam, batch_size=4)
    for image, embedding in zip(images, batched.encode(images), strict=True):
        boxes = boxes_in(image)
        alone = segmenter.encode([image])[0]
        assert_same_prediction(batched.decode(embedding, boxes), segmenter.decode(alone, boxes))


def test_ragged_prompts_get_what_they_get_alone(segmenter):
    image = picture(40, 60)
    embedding = segmenter.encode([image])[0]
    points, labels = points_in(image, 12, 3), np.array([[1, -1, -1], [1, 0, 1], [-1, 0, 1]] * 4)
    points[labels == -1] = np.nan
    together = segmenter.decode(embedding, points=points, point_labels=labels)
    for i in range(12):
        real = labels[i] != -1
        alone = segmenter.decode(
            embedding, points=points[i, real][None], point_labels=labels[i, real][None]
        )
        np.testing.assert_allclose(together.logits[i], alone.logits[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(together.scores[i], alone.scores[0], rtol=1e-4, atol=1e-4)


def test_a_box_with_padding_points_is_the_box(segmenter):
    image = picture(40, 60)
    embedding = segmenter.encode([image])[0]
    boxes = boxes_in(image, 2)
    padded = segmenter.decode(
        embedding, boxes, points=np.zeros((2, 1, 2)), point_labels=np.full((2, 1), -1)
    )
    assert_same_prediction(padded, segmenter.decode(embedding, boxes))


def test_a_prediction_can_be_given_back_as_masks(segmenter):
    image = picture(40, 60)
    embedding = segmenter.encode([image])[0]
    first = segmenter.decode(embedding, boxes_in(image))
    second = segmenter.decode(embedding, boxes_in(image), masks=first.logits[:, 0])
    assert second.logits.shape == first.logits.shape
    assert np.abs(second.logits - first.logits).max() > 1e-3


@pytest.mark.parametrize("multimask, masks", [(False, 1), (True, 3)])
@pytest.mark.parametrize("boxes", [[], np.empty((0, 4))])
def test_no_prompts_give_no_masks(segmenter, boxes, multimask, masks):
    found = segmenter.decode(segmenter.encode([picture(9, 5)])[0], boxes, multimask=multimask)
    assert found.masks.shape == (0, 9, 5)
    assert found.scores.shape == (0, masks)
    assert found.logits.shape == (0, masks, MASK_SIDE, MASK_SIDE)


def test_no_images_give_no_embeddings(segmenter):
    assert segmenter.encode([]) == []


def test_decoding_leaves_arguments_alone(segmenter):
    image = picture(40, 60)
    prompts = prompt_kinds(image, MASK_SIDE)["everything"]
    before = {key: value.copy() for key, value in prompts.items()}
    for value in prompts.values():
        value.flags.writeable = False
    segmenter.decode(segmenter.encode([image])[0], **prompts)
    for key, value in before.items():
        np.testing.assert_array_equal(prompts[key], value)


# ---- loading


def test_a_folder_with_one_checkpoint_loads(checkpoint, segmenter):
    other = SegmentAnythingSegmenter.load(checkpoint.parent, name="x")
    image = picture(20, 20)
    assert_same_prediction(
        other.decode(other.encode([image])[0], boxes_in(image)),
        segmenter.decode(segmenter.encode([image])[0], boxes_in(image)),
    )


@pytest.mark.parametrize(
    "build",
    [build_sam_vit_b, build_sam_vit_l, build_sam_vit_h],
)
def test_the_published_architectures_are_recognised(build):
    with torch.device("meta"):
        official = build()
        ours = sam_from_weights(official.state_dict())
    for expected, found in zip(official.modules(), ours.modules(), strict=True):
        assert type(found) is type(expected)
        for setting in ("window_size", "num_heads", "scale", "eps", "internal_dim", "img_size"):
            assert getattr(found, setting, None) == getattr(expected, setting, None)
    assert ours.pixel_mean.shape == (3, 1, 1)


def test_half_precision_weights_run_in_single_precision(sam):
    loaded = sam_from_weights({key: value.half() for key, value in sam.state_dict().items()})
    (embedding,) = SegmentAnythingSegmenter(loaded).encode([picture(8, 8)])
    assert embedding.features[0].dtype == torch.float32


def test_loading_and_running_say_nothing(checkpoint, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segmenter = SegmentAnythingSegmenter.load(checkpoint, name="x")
        segmenter.decode(segmenter.encode([picture(3, 1)])[0], [[0, 0, 1, 1]])
    assert capfd.readouterr() == ("", "")


def test_no_file_is_missing_weights(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"nowhere\.pth; found none"):
        SegmentAnythingSegmenter.load(tmp_path / "nowhere.pth", name="x")


def test_two_files_are_one_too_many(tmp_path):
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(MissingWeightsError, match=r"found a\.pth, b\.pth"):
        SegmentAnythingSegmenter.load(tmp_path, name="x")


class Payload:
    def __reduce__(self):
        return print, ("this must not run",)


@pytest.mark.parametrize(
    "content, message",
    [
        ({}, "lacks 'image_encoder.pos_embed'"),
        ({"model": {}}, "mapping from names to tensors"),
        ([1, 2], "mapping from names to tensors"),
        (Payload(), "without running code"),
        ({"image_encoder.pos_embed": torch.zeros(3)}, "expected .* to be a SAM checkpoint"),
    ],
)
def test_other_files_are_corrupt(tmp_path, content, message, capfd):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CorruptWeightsError, match=message):
        SegmentAnythingSegmenter.load(tmp_path / "x.pth", name="x")
    assert "must not run" not in capfd.readouterr().out


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut off"])
def test_broken_files_are_corrupt(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CorruptWeightsError, match="download it again"):
        SegmentAnythingSegmenter.load(tmp_path, name="x")


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights.pop("mask_decoder.iou_token.weight"),
        lambda weights: weights.update(extra=torch.zeros(1)),
        lambda weights: weights.update({"mask_decoder.iou_token.weight": torch.zeros(1, 7)}),
        lambda weights: weights.pop("image_encoder.blocks.1.attn.rel_pos_h"),
    ],
)
def test_almost_right_weights_are_corrupt(sam, change):
    weights = dict(sam.state_dict())
    change(weights)
    with pytest.raises(CorruptWeightsError, match="SAM checkpoint"):
        sam_from_weights(weights)
