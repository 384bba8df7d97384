"""Detectors of every family, small and random, written with save_pretrained as real ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv
import torch
from numpy.typing import ArrayLike
from transformers import (
    BertTokenizer,
    CLIPTokenizer,
    DetrImageProcessor,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    OmDetTurboConfig,
    OmDetTurboForObjectDetection,
    OmDetTurboProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    OwlViTProcessor,
    Sam3Config,
    Sam3ImageProcessor,
    Sam3Model,
    Sam3Processor,
)

from grounding_sdk import Image
from grounding_sdk.detections import Size

torch.set_num_threads(1)  # more than one only gets in the way of models this small

# Single, non-square, tiny: every family must take each of them.
SIZES = [(48, 64), (97, 41), (1, 1), (7, 3), (3, 7), (2, 300)]


def picture(height: int, width: int, seed: int = 0) -> Image:
    """Blobs of random colour, so that nothing looks like anything else."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    return Image(coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].copy())


def assert_same(found: sv.Detections, boxes: ArrayLike, scores: ArrayLike, size: Size) -> None:
    """Checks detections against boxes (M, 4) and phrase scores (M, K) of the reference path.

    Those are raw: clipping to the image and dropping what lies outside are applied here, in
    numpy. The order is free but for the confidence, since almost equal scores may swap.
    """
    height, width = size
    boxes = np.asarray(boxes).clip(0, [width, height, width, height])
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    expected = np.hstack([boxes, np.asarray(scores)])[inside]
    actual = np.hstack([found.xyxy, found["phrase_scores"]])
    assert len(actual) == len(expected)
    matches = [int(np.abs(expected - row).max(axis=1).argmin()) for row in actual]
    assert sorted(matches) == list(range(len(expected)))
    np.testing.assert_allclose(actual, expected[matches], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.confidence, found["phrase_scores"].max(axis=1))
    np.testing.assert_array_equal(found["phrase_id"], found["phrase_scores"].argmax(axis=1))
    assert (np.diff(found.confidence) <= 0).all()


def assert_equal_results(found: sv.Detections, alone: sv.Detections) -> None:
    """Checks that an item of a batch got what it gets alone."""
    assert_same(found, alone.xyxy, alone["phrase_scores"], (10**6, 10**6))
    np.testing.assert_allclose(found.confidence, alone.confidence, rtol=1e-4, atol=1e-4)


def clip_tokenizer(model_max_length: int) -> CLIPTokenizer:
    """CLIP's byte-level BPE with no merges but for a few words; end of text has the highest id."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = [chr(b) for b in visible] + [chr(256 + i) for i in range(len(hidden))]
    vocabulary = [*letters, *(letter + "</w>" for letter in letters)]
    merges = []
    for word in ("dog", "red", "car", "cat"):
        a, b, c = word
        merges += [(a, b), (a + b, c + "</w>")]
        vocabulary += [a + b, word + "</w>"]
    vocabulary = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(vocabulary)},
        merges=list(dict.fromkeys(merges)),
        pad_token="!",
        model_max_length=model_max_length,
    )


def seeded(model_class: type, config: Any, scale: float) -> torch.nn.Module:
    """A random model with larger weights than a fresh one, and biases: its answers must differ."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape)
                if parameter.dim() > 1:
                    parameter.copy_(noise * scale / parameter[0].numel() ** 0.5)
                else:
                    parameter.add_(noise * 0.1)
    return model


def save_owl(directory: Path, version: int) -> Path:
    """OWL-ViT (1) or OWLv2 (2) with 4 x 4 patches."""
    config_class, model_class = [
        (OwlViTConfig, OwlViTForObjectDetection),
        (Owlv2Config, Owlv2ForObjectDetection),
    ][version - 1]
    processor_class, image_class = [
        (OwlViTProcessor, OwlViTImageProcessor),
        (Owlv2Processor, Owlv2ImageProcessor),
    ][version - 1]
    tokenizer = clip_tokenizer(16)
    layers = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2}
    layers |= {"num_attention_heads": 4}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 16}
    config = config_class(
        text_config={**layers, **ends, **sizes},
        vision_config={**layers, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    model = seeded(model_class, config, 1.5)
    model.save_pretrained(directory)
    image_processor = image_class(size={"height": 64, "width": 64})
    processor_class(image_processor=image_processor, tokenizer=tokenizer).save_pretrained(directory)
    return directory


def bert_tokenizer() -> BertTokenizer:
    """WordPiece with a handful of words; the special tokens have BERT's own ids.

    Grounding DINO's code looks for 101, 102, 1012 and 1029 whatever the vocabulary.
    """
    tokens = [f"[unused{index}]" for index in range(1100)]
    placed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    placed |= {1012: ".", 1029: "?"}
    words = "a the dog red car cat plant flower u s flag traffic light 2 5 mm thing"
    pieces = "##s ##berry ##flower straw sun ##0 ##1 ##2 ##3 ##4 ##5 ##6 ##7 ##8 ##9 0 1 3 4 6 7"
    placed |= dict(enumerate([*words.split(), *pieces.split()], start=200))
    for index, token in placed.items():
        tokens[index] = token
    return BertTokenizer(vocab={token: index for index, token in enumerate(tokens)})


SWIN = {
    "model_type": "swin",
    "image_size": 64,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [1, 1, 1, 1],
    "num_heads": [2, 2, 2, 2],
    "window_size": 4,
    "out_features": ["stage2", "stage3", "stage4"],
}


def save_grounding_dino(directory: Path, mm: bool = False, max_text_len: int = 32) -> Path:
    """Grounding DINO or MM-Grounding-DINO with a Swin of two layers and 10 queries."""
    tokenizer = bert_tokenizer()
    text = {"model_type": "bert", "hidden_size": 32, "intermediate_size": 37}
    text |= {"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": len(tokenizer)}
    heads = {f"{part}_attention_heads": 4 for part in ("encoder", "decoder")}
    sizes = {f"{part}_ffn_dim": 37 for part in ("encoder", "decoder")}
    depth = {f"{part}_layers": 2 for part in ("encoder", "decoder")}
    config_class = MMGroundingDinoConfig if mm else GroundingDinoConfig
    model_class = MMGroundingDinoForObjectDetection if mm else GroundingDinoForObjectDetection
    config = config_class(
        backbone_config=SWIN,
        text_config=text,
        d_model=64,
        num_queries=10,
        max_text_len=max_text_len,
        **heads,
        **sizes,
        **depth,
    )
    seeded(model_class, config, 1.0 if mm else 0.6).save_pretrained(directory)
    image_processor = GroundingDinoImageProcessor(size={"shortest_edge": 80, "longest_edge": 160})
    processor = GroundingDinoProcessor(image_processor=image_processor, tokenizer=tokenizer)
    processor.save_pretrained(directory)
    return directory


def save_omdet_turbo(directory: Path) -> Path:
    """OmDet-Turbo with transformers' own Swin in place of timm's, 10 queries and 77 tokens."""
    tokenizer = clip_tokenizer(77)
    text = {"model_type": "clip_text_model", "hidden_size": 48, "intermediate_size": 37}
    text |= {"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": len(tokenizer)}
    text |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = OmDetTurboConfig(
        backbone_config=SWIN,
        text_config=text,
        apply_layernorm_after_vision_backbone=False,
        image_size=64,
        text_projection_in_dim=48,
        text_projection_out_dim=48,
        class_embed_dim=48,
        task_encoder_hidden_dim=32,
        num_queries=10,
        encoder_hidden_dim=32,
        decoder_hidden_dim=32,
        vision_features_channels=[32, 32, 32],
        encoder_in_channels=[32, 64, 128],
        encoder_dim_feedforward=32,
        decoder_dim_feedforward=32,
        decoder_num_layers=2,
        encoder_attention_heads=4,
        decoder_num_heads=4,
    )
    seeded(OmDetTurboForObjectDetection, config, 1.0).save_pretrained(directory)
    image_processor = DetrImageProcessor(size={"height": 64, "width": 64})
    processor = OmDetTurboProcessor(image_processor=image_processor, tokenizer=tokenizer)
    processor.save_pretrained(directory)
    return directory


def sam3_config(tokenizer: CLIPTokenizer) -> Sam3Config:
    """SAM 3 with 4 x 4 patches, 8 queries and masks of 16 x 16."""
    part = {"hidden_size": 32, "num_attention_heads": 4}
    layers = {**part, "intermediate_size": 37, "num_layers": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return Sam3Config(
        vision_config={
            "backbone_config": {
                **part,
                "model_type": "sam3_vit_model",
                "intermediate_size": 37,
                "num_hidden_layers": 2,
                "image_size": 56,
                "pretrain_image_size": 28,
                "patch_size": 14,
                "window_size": 2,
                "global_attn_indexes": [1],
            },
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            **part,
            **ends,
            "model_type": "clip_text_model",
            "intermediate_size": 37,
            "num_hidden_layers": 2,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 32,
            "projection_dim": 32,
        },
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_queries": 8},
        mask_decoder_config=part,
    )


def save_sam3(directory: Path) -> Path:
    """SAM 3 as an image model."""
    tokenizer = clip_tokenizer(32)
    seeded(Sam3Model, sam3_config(tokenizer), 1.0).save_pretrained(directory)
    image_processor = Sam3ImageProcessor(size={"height": 56, "width": 56})
    Sam3Processor(image_processor=image_processor, tokenizer=tokenizer).save_pretrained(directory)
    return directory
