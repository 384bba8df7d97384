"""Mistakes that users of segmenters run into elsewhere: each asserted where it is made, then here.

If the first half of a test fails, the library below has changed, and the trap may be gone.
"""

import numpy as np
import PIL.Image
import pytest
import supervision as sv
import torch
from safetensors.torch import load_file, save_file
from segment_anything import SamPredictor
from tiny_segmenters import (
    HfReference,
    assert_same_prediction,
    boxes_in,
    official_sam,
    picture,
    save_hf,
)
from torch_threads import one_thread  # noqa: F401

from grounding_sdk.detections import detections_from_scores, with_columns
from grounding_sdk.errors import CorruptWeightsError
from grounding_sdk.image import Image
from grounding_sdk.models.segmenters.hf_sam import HfSamSegmenter
from grounding_sdk.models.segmenters.segment_anything import SegmentAnythingSegmenter
from grounding_sdk.query import Query


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: save_hf(name, tmp_path_factory.mktemp(name)) for name in ("sam", "sam2")}


@pytest.fixture(scope="module", params=["sam", "sam2"])
def hf(request, folders):
    segmenter = HfSamSegmenter.load(folders[request.param], name=request.param)
    return segmenter, HfReference(request.param, folders[request.param])


def test_masks_of_sam_hq_are_made_of_the_image_that_prompts_changed(tmp_path):
    """transformers 5.23 makes them of the one from before, rows and columns exchanged."""
    folder, image = save_hf("sam_hq", tmp_path), picture(40, 60)
    prompt = {"boxes": boxes_in(image, 1), "multimask": False}
    reference = HfReference("sam_hq", folder)
    right = reference(image, prompt)[2]
    del reference.model.mask_decoder.transformer.forward  # which mends it
    wrong = reference(image, prompt)[2]
    assert np.abs(right - wrong).max() > 0.1 * np.abs(right).max()

    segmenter = HfSamSegmenter.load(folder, name="sam_hq")
    found = segmenter.decode(segmenter.encode([image])[0], prompt["boxes"])
    np.testing.assert_allclose(found.logits[0], right, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def predictor():
    return SamPredictor(official_sam())


@pytest.fixture(scope="module")
def segmenter(predictor):
    return SegmentAnythingSegmenter(predictor.model)


def pil(image):
    return PIL.Image.fromarray(image.pixels)


def test_images_with_different_numbers_of_boxes_make_one_batch(hf):
    segmenter, reference = hf
    images = [picture(40, 60), picture(30, 30), picture(20, 50)]
    ragged = [boxes_in(image, count) for image, count in zip(images, (3, 0, 1), strict=True)]
    with pytest.raises(ValueError, match=r"inhomogeneous|inconsistent"):
        reference.processor(
            images=[pil(image) for image in images],
            input_boxes=[boxes.tolist() for boxes in (ragged[0], ragged[2], ragged[2])],
            return_tensors="pt",
        )
    found = [segmenter.decode(*each) for each in zip(segmenter.encode(images), ragged, strict=True)]
    assert [len(each.masks) for each in found] == [3, 0, 1]


def test_prompts_with_different_numbers_of_points_leave_each_other_alone(hf):
    segmenter, reference = hf
    image = picture(40, 60)
    few, many = [[5.0, 5.0]], [[7.0, 7.0], [9.0, 20.0]]

    def naive(points, labels):
        inputs = reference.processor(
            images=pil(image), input_points=[points], input_labels=[labels], return_tensors="pt"
        )
        sizes = [key for key in inputs if "sizes" in key]
        with torch.no_grad():
            logits = reference.model(**{k: v for k, v in inputs.items() if k not in sizes})
        return logits.pred_masks[0, 0]

    if segmenter.name == "sam":  # its processor cannot pad
        with pytest.raises(ValueError, match="inhomogeneous"):
            naive([few, many], [[1], [1, 0]])
    else:  # its processor can, but the model looks at the padding
        assert (naive([few], [[1]]) - naive([few, many], [[1], [1, 0]])).abs().max() > 1e-3

    embedding = segmenter.encode([image])[0]
    alone = segmenter.decode(embedding, points=[few], point_labels=[[1]])
    padded = np.array([[*few, [0.0, 0.0]], many])
    both = segmenter.decode(embedding, points=padded, point_labels=[[1, -1], [1, 0]])
    np.testing.assert_allclose(both.logits[0], alone.logits[0], rtol=1e-4, atol=1e-4)


def test_several_masks_prompt_several_objects(hf):
    segmenter, reference = hf
    image = picture(40, 60)
    embedding = segmenter.encode([image])[0]
    boxes = boxes_in(image, 2)
    masks = segmenter.decode(embedding, boxes).logits[:, 0]
    inputs = reference.processor(images=pil(image), return_tensors="pt")
    with pytest.raises(RuntimeError, match=r"shape|size"):
        reference.model(
            pixel_values=inputs["pixel_values"],
            input_boxes=torch.tensor(boxes, dtype=torch.float32)[None],
            input_masks=torch.tensor(masks)[:, None],
        )
    assert len(segmenter.decode(embedding, boxes, masks=masks).masks) == 2


def test_an_image_three_pixels_high_is_not_taken_for_channels(hf):
    segmenter, reference = hf
    image = picture(3, 7)
    guessed = reference.processor(images=np.array(image.pixels), return_tensors="pt")
    assert guessed["original_sizes"].tolist() == [[7, 3]]
    assert segmenter.encode([image])[0].image_size == (3, 7)


def test_an_image_too_thin_for_the_resize_is_segmented(hf, predictor, segmenter):
    image = picture(1, 3000)
    with pytest.raises(ValueError, match=r"[Hh]eight"):
        predictor.set_image(image.pixels)
    for each in (hf[0], segmenter):
        found = each.decode(each.encode([image])[0], [[0, 0, 3000, 1]])
        assert found.masks.shape == (1, 1, 3000)


def test_weights_that_are_missing_are_not_made_up(folders, tmp_path):
    (tmp_path / "config.json").write_bytes((folders["sam"] / "config.json").read_bytes())
    weights = load_file(folders["sam"] / "model.safetensors")
    weights.pop("mask_decoder.iou_token.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    HfReference("sam", folders["sam"]).model.from_pretrained(tmp_path)  # says nothing but a log
    with pytest.raises(
        CorruptWeightsError, match=r"1 tensors are missing .*mask_decoder\.iou_token\.weight"
    ):
        HfSamSegmenter.load(tmp_path, name="x")


def test_colours_are_not_swapped(predictor, segmenter):
    """autodistill-grounded-sam hands BGR, as OpenCV reads it, to `set_image`, which takes RGB."""
    image = picture(40, 60)
    bgr = image.pixels[..., ::-1]
    box = np.array([0, 0, 60, 40])
    predictor.set_image(np.ascontiguousarray(bgr))
    swapped = predictor.predict(box=box, multimask_output=False)[2]
    predictor.set_image(image.pixels)
    right = predictor.predict(box=box, multimask_output=False)[2]
    assert np.abs(swapped - right).max() > 1e-2
    for given in (image, Image.load(bgr, bgr=True)):
        found = segmenter.decode(segmenter.encode([given])[0], box[None])
        np.testing.assert_allclose(found.logits[0], right, rtol=1e-4, atol=1e-4)


def test_one_box_keeps_the_shape_of_many(predictor, segmenter):
    """lang-sam squeezes, so that one box gives a score without an axis."""
    image = picture(40, 60)
    predictor.set_image(image.pixels)
    box = torch.tensor([[0.0, 0.0, 60.0, 40.0]])
    masks, scores, _ = predictor.predict_torch(None, None, box, multimask_output=False)
    assert np.squeeze(masks.numpy()).shape == (40, 60)
    assert np.squeeze(scores.numpy()).shape == ()
    found = segmenter.decode(segmenter.encode([image])[0], [[0, 0, 60, 40]])
    assert found.masks.shape == (1, 40, 60)
    assert found.scores.shape == (1, 1)


def test_nothing_detected_is_a_normal_result(predictor, segmenter, hf):
    image = picture(40, 60)
    predictor.set_image(image.pixels)
    with pytest.raises(RuntimeError):
        predictor.predict_torch(None, None, torch.zeros(0, 4), multimask_output=False)
    with pytest.raises((IndexError, ValueError)):
        hf[1].processor(images=pil(image), input_boxes=[[]], return_tensors="pt")
    for each in (segmenter, hf[0]):
        found = each.decode(each.encode([image])[0], np.empty((0, 4)))
        assert found.masks.shape == (0, 40, 60)
        assert found.scores.shape == (0, 1)


def test_the_predictor_state_of_one_image_does_not_leak_into_another(predictor, segmenter):
    """`SamPredictor` decodes for whichever image was set last; an embedding is its image's."""
    first, second = picture(40, 60, seed=1), picture(60, 40, seed=2)
    predictor.set_image(first.pixels)
    predictor.set_image(second.pixels)
    masks, _, _ = predictor.predict(box=np.array([0, 0, 9, 9]), multimask_output=False)
    assert masks.shape == (1, 60, 40)
    one, two = segmenter.encode([first, second])
    before = segmenter.decode(one, [[0, 0, 9, 9]])
    segmenter.decode(two, [[0, 0, 9, 9]])
    assert_same_prediction(segmenter.decode(one, [[0, 0, 9, 9]]), before)
    assert before.masks.shape == (1, 40, 60)


def test_the_mask_score_does_not_replace_the_detector_score(segmenter):
    """Grounded-SAM-2's demo writes SAM's score as the detection's."""
    image = picture(40, 60)
    found = detections_from_scores(
        (40, 60), Query.of("cat . dog"), [[0, 0, 30, 30]], [[0.25, 0.5]], 0.1
    )
    predicted = segmenter.decode(segmenter.encode([image])[0], found.xyxy)
    masked = with_columns(found, mask=predicted.masks, mask_score=predicted.scores[:, 0])
    assert masked.confidence.tolist() == [0.5]
    np.testing.assert_array_equal(masked["mask_score"], predicted.scores[:, 0])
    assert abs(predicted.scores[0, 0] - 0.5) > 1e-3


def test_no_part_of_a_mask_is_lost(predictor, segmenter):
    """A mask made of one polygon loses its holes and its other parts."""
    image = picture(97, 80)
    embedding = segmenter.encode([image])[0]
    found = segmenter.decode(embedding, boxes_in(image, 4), multimask=True)
    full = predictor.model.postprocess_masks(
        torch.tensor(found.logits), embedding.input_size, embedding.image_size
    )
    dense = found.masks.to_dense()
    np.testing.assert_array_equal(dense, (full > 0).reshape(dense.shape).numpy())
    scattered = dense[np.argmax([len(sv.mask_to_polygons(mask)) for mask in dense])]
    largest = max(sv.mask_to_polygons(scattered), key=len)
    assert sv.polygon_to_mask(largest, (80, 97)).sum() != scattered.sum()
