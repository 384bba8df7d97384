import json
import pathlib
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_segmenters import (
    HF,
    PROMPT_KINDS,
    SIZES,
    HfReference,
    assert_masks_need_no_logits,
    assert_predicts,
    assert_same_prediction,
    assert_threads_do_not_tell,
    boxes_in,
    picture,
    points_in,
    prompt_kinds,
    save_hf,
    single_prompts,
)
from torch_threads import one_thread  # noqa: F401
from transformers.utils.import_utils import BACKENDS_MAPPING

from grounding_sdk.errors import (
    ConfigError,
    CorruptWeightsError,
    MissingExtraError,
    MissingWeightsError,
)
from grounding_sdk.models.ports import Segmenter
from grounding_sdk.models.segmenters.hf_sam import FAMILIES, HfSamSegmenter

# As the published checkpoints name themselves; the other types are loaded below.
PUBLISHED = ["sam", "sam_hq", "sam2_video", "edgetam_video", "sam3_video"]


def saved(model_type, tmp_path_factory):
    return save_hf(model_type, tmp_path_factory.mktemp(model_type))


@pytest.fixture(scope="module", params=PUBLISHED)
def family(request, tmp_path_factory):
    """A segmenter loaded from its directory, and transformers' own path with the same weights."""
    folder = saved(request.param, tmp_path_factory)
    segmenter = HfSamSegmenter.load(folder, name=request.param)
    return segmenter, HfReference(request.param, folder)


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory):
    return save_hf("sam", tmp_path_factory.mktemp("sam"))


def mask_side(segmenter):
    image = picture(8, 8)
    return segmenter.decode(segmenter.encode([image])[0], []).logits.shape[-1]


def test_is_a_segmenter(family):
    assert isinstance(family[0], Segmenter)


@pytest.mark.parametrize("size", SIZES)
def test_boxes_give_the_reference_masks(family, size):
    segmenter, reference = family
    image = picture(*size)
    prompts = {"boxes": boxes_in(image)}
    found = segmenter.decode(segmenter.encode([image])[0], **prompts)
    expected = [reference(image, prompt) for prompt in single_prompts(prompts)]
    assert_predicts(found, expected, several=False)
    assert found.masks.shape == (2, *size)


@pytest.mark.parametrize("kind", PROMPT_KINDS)
def test_every_kind_of_prompt_gives_the_reference_masks(family, kind):
    segmenter, reference = family
    image = picture(40, 60)
    prompts = prompt_kinds(image, mask_side(segmenter))[kind]
    found = segmenter.decode(segmenter.encode([image])[0], **prompts)
    expected = [reference(image, prompt) for prompt in single_prompts(prompts)]
    several = prompts.get("multimask", False)
    assert_predicts(found, expected, several)
    assert found.logits.shape[:2] == (2, 3 if several else 1)
    on = found.masks.to_dense().mean(axis=(1, 2))
    assert ((on > 0.02) & (on < 0.98)).any()  # masks with an edge, or nothing was compared
    assert np.abs(np.diff(found.logits, axis=0)).max() > 1e-2  # that depend on the prompt


def test_an_image_of_a_batch_gets_what_it_gets_alone(family):
    images = [picture(*size, seed=i) for i, size in enumerate(SIZES)]
    segmenter = HfSamSegmenter(family[0]._model, family[0]._processor, name="", batch_size=4)
    for image, embedding in zip(images, segmenter.encode(images), strict=True):
        boxes = boxes_in(image)
        (alone,) = family[0].encode([image])
        assert_same_prediction(segmenter.decode(embedding, boxes), family[0].decode(alone, boxes))


@pytest.mark.parametrize("size", [*SIZES, (300, 2)])
def test_masks_are_the_same_where_nobody_wants_the_logits(family, size):
    image = picture(*size)
    assert_masks_need_no_logits(family[0], image, boxes=boxes_in(image))


@pytest.mark.parametrize("kind", PROMPT_KINDS)
def test_prompts_of_every_kind_work_without_logits(family, kind):
    image = picture(40, 60)
    prompts = prompt_kinds(image, mask_side(family[0]))[kind]
    assert_masks_need_no_logits(family[0], image, **prompts)


def test_results_do_not_depend_on_the_number_of_threads(family):
    assert_threads_do_not_tell(family[0])


def test_a_prompt_among_many_gets_what_it_gets_alone(family):
    segmenter, _ = family
    image = picture(40, 60)
    embedding = segmenter.encode([image])[0]
    boxes = boxes_in(image, 20)
    together = segmenter.decode(embedding, boxes)
    for i in (0, 7, 8, 19):
        alone = segmenter.decode(embedding, boxes[i : i + 1])
        np.testing.assert_allclose(together.logits[i], alone.logits[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(together.scores[i], alone.scores[0], rtol=1e-4, atol=1e-4)


def test_padding_points_change_nothing(family):
    segmenter, _ = family
    image = picture(40, 60)
    embedding = segmenter.encode([image])[0]
    points, labels = points_in(image, 3, 3), np.array([[1, -1, -1], [1, 0, 1], [-1, 0, 1]])
    points[labels == -1] = np.nan
    together = segmenter.decode(embedding, points=points, point_labels=labels)
    for i in range(3):
        real = labels[i] != -1
        alone = segmenter.decode(
            embedding, points=points[i, real][None], point_labels=labels[i, real][None]
        )
        np.testing.assert_allclose(together.logits[i], alone.logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("multimask, masks", [(False, 1), (True, 3)])
def test_no_prompts_give_no_masks(family, multimask, masks):
    segmenter, _ = family
    found = segmenter.decode(segmenter.encode([picture(9, 5)])[0], [], multimask=multimask)
    assert found.masks.shape == (0, 9, 5)
    assert found.scores.shape == (0, masks)
    assert found.logits.shape[:2] == (0, masks)


def test_no_images_give_no_embeddings(family):
    assert family[0].encode([]) == []


@pytest.mark.parametrize("size", [(2, 300), (1, 3000), (3000, 1)])
def test_an_image_too_thin_for_the_reference_works(family, size):
    segmenter, _ = family
    found = segmenter.decode(segmenter.encode([picture(*size)])[0], [[0, 0, size[1], size[0]]])
    assert found.masks.shape == (1, *size)
    assert np.isfinite(found.logits).all()


def test_prompts_outside_of_the_image_do_not_crash(family):
    segmenter, _ = family
    embedding = segmenter.encode([picture(40, 60)])[0]
    found = segmenter.decode(embedding, [[-50, -50, -1, -1], [100, 100, 1e8, 1e8], [5, 5, 5, 5]])
    assert found.masks.shape == (3, 40, 60)
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize("model_type", [t for t in HF if t not in PUBLISHED])
def test_the_other_types_load_too(model_type, tmp_path_factory):
    folder = saved(model_type, tmp_path_factory)
    segmenter, reference = HfSamSegmenter.load(folder, name="x"), HfReference(model_type, folder)
    image = picture(40, 60)
    prompts = {"boxes": boxes_in(image)}
    found = segmenter.decode(segmenter.encode([image])[0], **prompts)
    expected = [reference(image, prompt) for prompt in single_prompts(prompts)]
    assert_predicts(found, expected, several=False)


def test_every_type_is_tested():
    assert set(FAMILIES) == set(HF)


def test_sizes_come_from_the_model_where_the_processor_says_otherwise(sam_folder, tmp_path):
    expected = HfSamSegmenter.load(sam_folder, name="x")
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((sam_folder / file).read_bytes())
    without = HfSamSegmenter.load(tmp_path, name="x")
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "SamImageProcessor", "size": {"longest_edge": 1024}})
    )
    otherwise = HfSamSegmenter.load(tmp_path, name="x")
    image = picture(40, 60)
    for segmenter in (without, otherwise):
        assert_same_prediction(
            segmenter.decode(segmenter.encode([image])[0], boxes_in(image)),
            expected.decode(expected.encode([image])[0], boxes_in(image)),
        )


def test_half_precision_files_run_in_single_precision(sam_folder, tmp_path):
    (tmp_path / "config.json").write_bytes((sam_folder / "config.json").read_bytes())
    weights = {k: v.half() for k, v in load_file(sam_folder / "model.safetensors").items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    segmenter = HfSamSegmenter.load(tmp_path, name="x")
    (embedding,) = segmenter.encode([picture(8, 8)])
    assert embedding.features[0].dtype == torch.float32


def test_loading_and_running_say_nothing(sam_folder, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segmenter = HfSamSegmenter.load(sam_folder, name="x")
        segmenter.decode(segmenter.encode([picture(3, 1)])[0], [[0, 0, 1, 1]])
    assert capfd.readouterr() == ("", "")


def test_a_folder_without_a_model_is_missing_weights(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"config\.json"):
        HfSamSegmenter.load(tmp_path, name="x")


@pytest.mark.parametrize(
    "config, error, message",
    [
        ("{", CorruptWeightsError, "no JSON object"),
        ("[]", CorruptWeightsError, "no JSON object"),
        ("{}", ConfigError, "this adapter reads sam, sam_hq"),
        ('{"model_type": "owlv2"}', ConfigError, "type 'owlv2', this adapter reads sam, sam_hq"),
        ('{"model_type": "sam"}', MissingWeightsError, "no weights"),
    ],
)
def test_a_folder_with_something_else_says_what_it_is(tmp_path, config, error, message):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(error, match=message):
        HfSamSegmenter.load(tmp_path, name="x")


def test_pickled_objects_are_not_read(sam_folder, tmp_path):
    (tmp_path / "config.json").write_bytes((sam_folder / "config.json").read_bytes())
    torch.save({"weights": pathlib.PurePosixPath("/")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CorruptWeightsError, match="more in it than tensors"):
        HfSamSegmenter.load(tmp_path, name="x")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_broken_weights_are_corrupt(sam_folder, tmp_path, content):
    (tmp_path / "config.json").write_bytes((sam_folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CorruptWeightsError, match="cannot be read"):
        HfSamSegmenter.load(tmp_path, name="x")


def test_edgetam_without_timm_names_the_extra(tmp_path_factory, monkeypatch):
    folder = saved("edgetam_video", tmp_path_factory)
    monkeypatch.setitem(BACKENDS_MAPPING, "timm", (lambda: False, "{0} needs timm"))
    with pytest.raises(MissingExtraError, match=r"pip install 'grounding_sdk\[timm\]'"):
        HfSamSegmenter.load(folder, name="edgetam")
