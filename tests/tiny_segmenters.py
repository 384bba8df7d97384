"""Segmenters of every family, small and random, laid out as published ones; pictures, prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from safetensors.torch import load_file, save_file
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch_threads import torch_threads
from transformers import (
    EdgeTamConfig,
    EdgeTamModel,
    EdgeTamVideoConfig,
    EdgeTamVideoModel,
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2Processor,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam3ImageProcessor,
    Sam3TrackerConfig,
    Sam3TrackerModel,
    Sam3TrackerProcessor,
    Sam3TrackerVideoConfig,
    Sam3TrackerVideoModel,
    Sam3VideoConfig,
    Sam3VideoModel,
    SamConfig,
    SamHQConfig,
    SamHQModel,
    SamHQProcessor,
    SamImageProcessor,
    SamModel,
    SamProcessor,
)

from grounding_sdk import Image
from grounding_sdk.benchmark.reference import mend_sam_hq
from grounding_sdk.models.ports import MaskPrediction, Segmenter

# Landscape, portrait, square, tiny, thin; 3 is also a number of channels.
SIZES = [(48, 64), (97, 41), (50, 50), (1, 1), (3, 7), (3, 300)]
SIDE = 64  # of the models' input, 56 for SAM 3


def picture(height: int, width: int, seed: int = 0) -> Image:
    """Blobs of random colour, so that nothing looks like anything else."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    return Image(coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].copy())


def boxes_in(image: Image, count: int = 2, seed: int = 0) -> np.ndarray:
    """Boxes with corners between pixels; the first is the whole image."""
    height, width = image.pixels.shape[:2]
    corners = np.random.default_rng(seed).uniform(0, 1, (count, 2, 2)) * [width, height]
    boxes = np.hstack([corners.min(axis=1), corners.max(axis=1)])
    boxes[:1] = [0, 0, width, height]
    return boxes


def points_in(image: Image, count: int, each: int = 1, seed: int = 0) -> np.ndarray:
    height, width = image.pixels.shape[:2]
    return np.random.default_rng(seed).uniform(0, 1, (count, each, 2)) * [width, height]


def rough_masks(count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.normal(0, 5, (count, size // 4, size // 4)).repeat(4, 1).repeat(4, 2)


def prompt_kinds(image: Image, mask_side: int) -> dict[str, dict[str, Any]]:
    """Arguments of `decode` for every kind of prompt, two prompts each."""
    boxes, point = boxes_in(image, 2), points_in(image, 2)
    points, labels = points_in(image, 2, 2, seed=1), np.array([[1, 0], [1, 1]])
    masks = rough_masks(2, mask_side)
    return {
        "boxes": {"boxes": boxes},
        "a point": {"points": point},
        "points": {"points": points, "point_labels": labels},
        "boxes and points": {"boxes": boxes, "points": points, "point_labels": labels},
        "masks": {"masks": masks},
        "masks and a point": {"masks": masks, "points": point},
        "everything": {"boxes": boxes, "points": points, "point_labels": labels, "masks": masks},
        "boxes, all masks": {"boxes": boxes, "multimask": True},
        "a point, all masks": {"points": point, "multimask": True},
    }


PROMPT_KINDS = list(prompt_kinds(picture(8, 8), 16))


def single_prompts(prompts: dict[str, Any]) -> list[dict[str, Any]]:
    """The same, one prompt at a time; labels made explicit, as references want them."""
    prompts = dict(prompts)
    multimask = prompts.pop("multimask", False)
    if "points" in prompts:
        prompts.setdefault("point_labels", np.ones(prompts["points"].shape[:2], int))
    count = len(next(iter(prompts.values())))
    return [
        {**{k: v[i : i + 1] for k, v in prompts.items()}, "multimask": multimask}
        for i in range(count)
    ]


def wants_several(prompt: dict[str, Any]) -> bool:
    """Whether the reference should be asked for several masks: the rule that `decode` documents."""
    lone_point = set(prompt) == {"points", "point_labels", "multimask"}
    return prompt["multimask"] or (lone_point and prompt["points"].shape[1] == 1)


def assert_predicts(
    found: MaskPrediction, expected: list[tuple[np.ndarray, np.ndarray, np.ndarray]], several: bool
) -> None:
    """Checks a prediction against a reference run on each prompt alone.

    Args:
        found: What our adapter gives for all of the prompts.
        expected: For each prompt logits at image size (M, H, W), scores (M,), logits (M, h, w).
        several: Whether all M are expected, or the best.
    """
    if not several:
        expected = [tuple(value[[one[1].argmax()]] for value in one) for one in expected]
    full, scores, logits = (np.stack(values) for values in zip(*expected, strict=True))
    np.testing.assert_allclose(found.scores, scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-4)
    full = full.reshape(-1, *full.shape[2:])
    wrong = found.masks.to_dense() != (full > 0)
    assert found.masks.shape == full.shape
    assert np.abs(full[wrong]).max(initial=0) < 1e-4


def assert_same_prediction(found: MaskPrediction, other: MaskPrediction) -> None:
    np.testing.assert_allclose(found.scores, other.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.logits, other.logits, rtol=1e-4, atol=1e-4)
    different = found.masks.to_dense() != other.masks.to_dense()
    assert different.mean() < 1e-3  # ties


def assert_masks_need_no_logits(segmenter: Segmenter, image: Image, **prompts: Any) -> None:
    """Checks that who does not want the logits gets the masks and scores of who does."""
    [embedding] = segmenter.encode([image])
    found = segmenter.decode(embedding, **prompts, logits=False)
    expected = segmenter.decode(embedding, **prompts)
    assert found.logits is None
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)
    different = found.masks.to_dense() != expected.masks.to_dense()
    assert different.mean() < 1e-3  # ties


def assert_threads_do_not_tell(segmenter: Segmenter) -> None:
    """Checks that results are the same whatever the number of torch's threads."""
    image, results = picture(40, 60), []
    for threads in (1, 3):
        with torch_threads(threads):
            [embedding] = segmenter.encode([image])
            results.append(segmenter.decode(embedding, boxes_in(image, 6)))
    assert_same_prediction(*results)


def enliven(model: torch.nn.Module, seed: int, gain: float = 1.0) -> None:
    """Random weights under which masks have edges and depend on picture and prompt."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if not value.is_floating_point() or "norm" in name or "running" in name or ".bn." in name:
            continue
        embeds = "positional" in name or ("embed" in name and value.ndim == 2)
        fan_in = value[0].numel() if value.ndim > 1 and not embeds else 1
        std = 0.2 if value.ndim == 1 else gain / fan_in**0.5
        value.copy_(torch.randn(value.shape, generator=generator) * std)


# ---- segment-anything


def official_sam() -> Sam:
    sam = Sam(
        ImageEncoderViT(
            img_size=128,
            patch_size=16,
            embed_dim=32,
            depth=3,
            num_heads=2,
            out_chans=32,
            norm_layer=lambda dim: torch.nn.LayerNorm(dim, eps=1e-6),
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(1,),
        ),
        PromptEncoder(32, (8, 8), (128, 128), mask_in_chans=8),
        MaskDecoder(
            transformer_dim=32,
            transformer=TwoWayTransformer(depth=2, embedding_dim=32, num_heads=8, mlp_dim=64),
            iou_head_hidden_dim=32,
        ),
    )
    enliven(sam, seed=1, gain=2.0)
    return sam.eval()


# ---- transformers

_PROMPTS = {"hidden_size": 32, "image_size": SIDE, "patch_size": 16}
_MASKS = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
_MEMORY = {
    "memory_attention_hidden_size": 32,
    "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 32,
    "memory_encoder_hidden_size": 32,
    "memory_encoder_output_channels": 8,
    "mask_downsampler_embed_dim": 32,
    "memory_fuser_num_layers": 1,
    "memory_fuser_embed_dim": 32,
    "memory_fuser_intermediate_dim": 32,
    "memory_attention_rope_feat_sizes": [4, 4],
}
_LEVELS = [[16, 16], [8, 8], [4, 4]]


def _sam1(**decoder: int) -> dict[str, Any]:
    vision = {
        "hidden_size": 32,
        "output_channels": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
        "window_size": 3,
        "global_attn_indexes": [0, 2],
        "num_pos_feats": 16,
        "mlp_dim": 64,
    }
    return {
        "vision_config": vision,
        "prompt_encoder_config": _PROMPTS | {"patch_size": 8},
        "mask_decoder_config": _MASKS | decoder,
    }


def _sam2() -> dict[str, Any]:
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "window_positional_embedding_background_size": [2, 2],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 2, 2],
        "window_size_per_stage": [4, 4, 4, 2],
        "global_attention_blocks": [3],
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": _LEVELS,
        "fpn_hidden_size": 32,
    }
    return {
        "vision_config": vision,
        "prompt_encoder_config": _PROMPTS,
        "mask_decoder_config": _MASKS,
    }


def _edgetam() -> dict[str, Any]:
    backbone = {
        "model_type": "timm_wrapper",
        "architecture": "repvit_m1",
        "num_classes": 1000,
        "model_args": {
            "in_chans": 3,
            "features_only": True,
            "out_indices": [0, 1, 2, 3],
            "embed_dim": [8, 16, 24, 32],
            "depth": [1, 1, 2, 1],
        },
    }
    vision = {
        "model_type": "edgetam_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": _LEVELS,
        "fpn_hidden_size": 32,
    }
    return _sam2() | {"vision_config": vision}


def _sam3() -> dict[str, Any]:
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "window_size": 2,
        "global_attn_indexes": [1],
        "pretrain_image_size": 28,
    }
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": _LEVELS,
    }
    return {
        "vision_config": vision,
        "prompt_encoder_config": {"hidden_size": 32, "image_size": 56, "patch_size": 14},
        "mask_decoder_config": _MASKS,
    }


def _sam3_video() -> dict[str, Any]:
    small = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = {
        "model_type": "clip_text_model",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 50,
        "max_position_embeddings": 8,
        "projection_dim": 16,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    detector = {
        "model_type": "sam3",
        "vision_config": _sam3()["vision_config"],
        "text_config": text,
        "geometry_encoder_config": small,
        "detr_encoder_config": small,
        "detr_decoder_config": small | {"num_queries": 4},
        "mask_decoder_config": {"hidden_size": 32, "num_attention_heads": 2},
    }
    tracker = {"model_type": "sam3_tracker_video", "image_size": 56, **_sam3(), **_MEMORY}
    return {"detector_config": detector, "tracker_config": tracker, "low_res_mask_size": 16}


_VIDEO = {"image_size": SIDE, **_MEMORY}

# model_type -> its configuration, the model that is saved, the image model and processor of
# transformers' documentation.
HF = {
    "sam": (SamConfig, _sam1, SamModel, SamModel, SamProcessor),
    "sam_hq": (SamHQConfig, lambda: _sam1(vit_dim=32), SamHQModel, SamHQModel, SamHQProcessor),
    "sam2": (Sam2Config, _sam2, Sam2Model, Sam2Model, Sam2Processor),
    "sam2_video": (
        Sam2VideoConfig,
        lambda: _sam2() | _VIDEO,
        Sam2VideoModel,
        Sam2Model,
        Sam2Processor,
    ),
    "edgetam": (EdgeTamConfig, _edgetam, EdgeTamModel, EdgeTamModel, Sam2Processor),
    "edgetam_video": (
        EdgeTamVideoConfig,
        lambda: _edgetam() | _VIDEO,
        EdgeTamVideoModel,
        EdgeTamModel,
        Sam2Processor,
    ),
    "sam3_tracker": (
        Sam3TrackerConfig,
        _sam3,
        Sam3TrackerModel,
        Sam3TrackerModel,
        Sam3TrackerProcessor,
    ),
    "sam3_tracker_video": (
        Sam3TrackerVideoConfig,
        lambda: _sam3() | _MEMORY | {"image_size": 56},
        Sam3TrackerVideoModel,
        Sam3TrackerModel,
        Sam3TrackerProcessor,
    ),
    "sam3_video": (
        Sam3VideoConfig,
        _sam3_video,
        Sam3VideoModel,
        Sam3TrackerModel,
        Sam3TrackerProcessor,
    ),
}


SEEDS = {"sam2_video": 1, "sam3_video": 5}  # with which about half of the pixels are on


def save_hf(model_type: str, folder: Path) -> Path:
    """Writes a small random model of this type and its processor as a published one."""
    config, settings, model_class, _, _ = HF[model_type]
    model = model_class(config(**settings()))
    enliven(model, SEEDS.get(model_type, 10))
    model.save_pretrained(folder)
    if model_type == "sam3_video":
        # transformers 5.23 writes this prefix twice, which it cannot read again; published once.
        weights = {
            key.replace("tracker_model.tracker_model.", "tracker_model."): value
            for key, value in load_file(folder / "model.safetensors").items()
        }
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if "3" in model_type:
        processor = Sam3ImageProcessor(size={"height": 56, "width": 56})
    elif "2" in model_type or "edge" in model_type:
        processor = Sam2ImageProcessor(size={"height": SIDE, "width": SIDE})
    else:
        square = {"height": SIDE, "width": SIDE}
        processor = SamImageProcessor(size={"longest_edge": SIDE}, pad_size=square)
    processor.save_pretrained(folder)
    return folder


class HfReference:
    """transformers' documented path: processor, model, `post_process_masks`; one prompt a time."""

    def __init__(self, model_type: str, folder: Path) -> None:
        _, _, _, model_class, processor_class = HF[model_type]
        self.model = model_class.from_pretrained(folder).eval()
        if model_type == "sam_hq":
            mend_sam_hq(self.model)
        image_processor = Sam3ImageProcessor if "3" in model_type else Sam2ImageProcessor
        if model_type in ("sam", "sam_hq"):
            image_processor = SamImageProcessor
        self.processor = processor_class(image_processor.from_pretrained(folder))

    @torch.no_grad()
    def __call__(self, image: Image, prompt: dict[str, Any]) -> tuple[np.ndarray, ...]:
        lists = {
            "input_boxes": prompt.get("boxes"),
            "input_points": prompt.get("points"),
            "input_labels": prompt.get("point_labels"),
        }
        inputs = self.processor(
            images=PIL.Image.fromarray(image.pixels),
            **{k: [v.tolist()] for k, v in lists.items() if v is not None},
            return_tensors="pt",
        )
        sizes = [inputs.pop("original_sizes")]
        if "reshaped_input_sizes" in inputs:
            sizes.append(inputs.pop("reshaped_input_sizes"))
        if "masks" in prompt:
            inputs["input_masks"] = torch.tensor(prompt["masks"], dtype=torch.float32)[None]
        output = self.model(**inputs, multimask_output=wants_several(prompt))
        full = self.processor.post_process_masks(output.pred_masks, *sizes, binarize=False)
        results = full[0][0], output.iou_scores[0, 0], output.pred_masks[0, 0]
        return tuple(value.numpy() for value in results)
