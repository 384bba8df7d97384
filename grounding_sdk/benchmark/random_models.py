"""Models of the published shapes with random weights, for speed where there is no checkpoint.

How long a model takes does not depend on its weights. They are drawn with a deviation of
1 / sqrt(fan in), so that values neither vanish nor explode on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import transformers as hf

from grounding_sdk.errors import ConfigError
from grounding_sdk.models.catalog import DETECTOR, SEGMENTER
from grounding_sdk.models.pretrained import reading

OWL_LARGE = {
    "text_config": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
    "projection_dim": 768,
}
VIT_L = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
SAM: Mapping[str, dict[str, Any]] = {
    "b": {},
    "l": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    | {"mlp_dim": 4096, "global_attn_indexes": [5, 11, 17, 23]},
    "h": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16}
    | {"mlp_dim": 5120, "global_attn_indexes": [7, 15, 23, 31]},
}
# As the configurations of the sam2 package have it.
SAM2: Mapping[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 96},
    "small": {"hidden_size": 96, "blocks_per_stage": [1, 2, 11, 2]}
    | {"global_attention_blocks": [7, 10, 13]},
    "base-plus": {"hidden_size": 112, "num_attention_heads": 2, "blocks_per_stage": [2, 3, 16, 3]}
    | {"global_attention_blocks": [12, 16, 20]}
    | {"window_positional_embedding_background_size": [14, 14]},
    "large": {"hidden_size": 144, "num_attention_heads": 2, "blocks_per_stage": [2, 6, 36, 4]}
    | {"global_attention_blocks": [23, 33, 43], "window_size_per_stage": [8, 4, 16, 8]},
}
DINO_SWIN: dict[str, Any] = {"model_type": "swin", "out_features": ["stage2", "stage3", "stage4"]}
SWIN: Mapping[str, dict[str, Any]] = {
    "tiny": {},
    "base": {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32]}
    | {"window_size": 12, "image_size": 384},
    "large": {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48]}
    | {"window_size": 12, "image_size": 384},
}
TINY_SAM: dict[str, Any] = {
    "hidden_size": 32,
    "output_channels": 32,
    "num_hidden_layers": 3,
    "mlp_dim": 64,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 8,
    "window_size": 3,
    "global_attn_indexes": [0, 2],
    "num_pos_feats": 16,
}
TINY_SAM2: dict[str, Any] = {
    "hidden_size": 8,
    "image_size": [64, 64],
    "blocks_per_stage": [1, 1, 2, 1],
    "global_attention_blocks": [3],
    "window_size_per_stage": [4, 4, 4, 2],
    "window_positional_embedding_background_size": [2, 2],
}
TINY_DECODER: dict[str, Any] = {
    "hidden_size": 32,
    "mlp_dim": 64,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 32,
}


def save_random(name: str, kind: str, folder: Path, *, tiny: bool = False, seed: int = 0) -> Path:
    """Writes a model of the catalog, with random weights, as a published one is laid out.

    Args:
        name: The model's name in the catalog.
        kind: "detector" or "segmenter".
        folder: Where to.
        tiny: A model of the family that is hundreds of times smaller, for tests.
        seed: Of the random numbers.

    Returns:
        What `load_detector` or `load_segmenter` takes: the folder, or the file in it.

    Raises:
        ConfigError: If the shape of this model is not known here.
    """
    builders = BUILDERS[kind]
    if name not in builders:
        raise ConfigError(
            f"no random weights can be made for the {kind} {name!r}, only for "
            f"{', '.join(builders)}: fetch its weights with `grounding-sdk weights pull`"
        )
    with torch.random.fork_rng(devices=()), reading(folder):
        torch.manual_seed(seed)
        return builders[name](folder, tiny)


@torch.no_grad()
def _randomized(model: torch.nn.Module) -> Any:
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=parameter[0].numel() ** -0.5)
    return model


def _owl(version: int, changes: Mapping[str, Any], folder: Path, tiny: bool) -> Path:
    prefix = ("OwlViT", "Owlv2")[version - 1]
    config_class, model_class, image_class, processor_class = (
        getattr(hf, prefix + part)
        for part in ("Config", "ForObjectDetection", "ImageProcessor", "Processor")
    )
    tokenizer = _clip_tokenizer()
    config = config_class(**(_tiny_owl(len(tokenizer)) if tiny else changes))
    _randomized(model_class(config)).save_pretrained(folder)
    side = config.vision_config.image_size
    image_processor = image_class(size={"height": side, "width": side})
    processor_class(image_processor=image_processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def _tiny_owl(vocabulary: int) -> dict[str, Any]:
    layers = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2}
    layers |= {"num_attention_heads": 4}
    return {
        "text_config": {
            **layers,
            "vocab_size": vocabulary,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
        },
        "vision_config": {**layers, "image_size": 64, "patch_size": 16},
        "projection_dim": 32,
    }


def _clip_tokenizer() -> Any:
    """CLIP's byte-level tokenizer without merges; the end of text has the highest id, as there."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in visible] + [chr(256 + i) for i in range(256 - len(visible))]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>"]
    vocabulary = {token: index for index, token in enumerate([*tokens, "<|endoftext|>"])}
    return hf.CLIPTokenizer(vocab=vocabulary, merges=[], pad_token="!", model_max_length=16)


def _grounding_dino(prefix: str, size: str, folder: Path, tiny: bool) -> Path:
    tokenizer = _bert_tokenizer()
    parts = _tiny_dino(len(tokenizer)) if tiny else {"backbone_config": DINO_SWIN | SWIN[size]}
    config = getattr(hf, f"{prefix}Config")(**parts)
    _randomized(getattr(hf, f"{prefix}ForObjectDetection")(config)).save_pretrained(folder)
    sides = {"shortest_edge": 80, "longest_edge": 160} if tiny else None
    image_processor = hf.GroundingDinoImageProcessor(**({"size": sides} if sides else {}))
    hf.GroundingDinoProcessor(image_processor, tokenizer).save_pretrained(folder)
    return folder


def _tiny_dino(vocabulary: int) -> dict[str, Any]:
    heads = {f"{part}_attention_heads": 4 for part in ("encoder", "decoder")}
    sizes = {f"{part}_ffn_dim": 37 for part in ("encoder", "decoder")}
    depth = {f"{part}_layers": 2 for part in ("encoder", "decoder")}
    swin = DINO_SWIN | {"image_size": 64, "embed_dim": 16, "depths": [1, 1, 1, 1]}
    swin |= {"num_heads": [2, 2, 2, 2], "window_size": 4}
    text = {"model_type": "bert", "hidden_size": 32, "intermediate_size": 37}
    text |= {"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": vocabulary}
    small = {"d_model": 64, "num_queries": 30, "max_text_len": 64}
    return {"backbone_config": swin, "text_config": text, **small, **heads, **sizes, **depth}


def _bert_tokenizer() -> Any:
    """WordPiece of single letters; the special tokens have BERT's own ids, which the code knows."""
    tokens = [f"[unused{index}]" for index in range(1100)]
    placed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    placed |= {1012: ".", 1029: "?"}
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = [*letters, *(f"##{letter}" for letter in letters)]
    for index, token in (placed | dict(enumerate(pieces, start=200))).items():
        tokens[index] = token
    return hf.BertTokenizer(vocab={token: index for index, token in enumerate(tokens)})


def _sam(size: str, folder: Path, tiny: bool, prefix: str = "Sam") -> Path:
    vision = TINY_SAM if tiny else SAM[size]
    parts: dict[str, Any] = {"vision_config": vision}
    if tiny:
        parts["prompt_encoder_config"] = {"hidden_size": 32, "image_size": 64, "patch_size": 8}
        parts["mask_decoder_config"] = TINY_DECODER
    config = getattr(hf, f"{prefix}Config")(**parts)
    if prefix == "SamHQ":  # whose decoder reads the encoder's early features
        config.mask_decoder_config.vit_dim = config.vision_config.hidden_size
    _randomized(getattr(hf, f"{prefix}Model")(config)).save_pretrained(folder)
    side = config.vision_config.image_size
    square = {"height": side, "width": side}
    hf.SamImageProcessor(size={"longest_edge": side}, pad_size=square).save_pretrained(folder)
    return folder


def _sam2(size: str, folder: Path, tiny: bool) -> Path:
    backbone = {"model_type": "sam2_hiera_det_model", **(TINY_SAM2 if tiny else SAM2[size])}
    width = backbone["hidden_size"]
    backbone["embed_dim_per_stage"] = [width, 2 * width, 4 * width, 8 * width]
    heads = backbone.get("num_attention_heads", 1)
    backbone["num_attention_heads_per_stage"] = [heads, 2 * heads, 4 * heads, 8 * heads]
    vision: dict[str, Any] = {"model_type": "sam2_vision_model", "backbone_config": backbone}
    vision["backbone_channel_list"] = backbone["embed_dim_per_stage"][::-1]
    parts: dict[str, Any] = {"vision_config": vision}
    if tiny:
        vision |= {"backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 32}
        parts["prompt_encoder_config"] = {"hidden_size": 32, "image_size": 64, "patch_size": 16}
        parts["mask_decoder_config"] = TINY_DECODER
    config = hf.Sam2Config(**parts)
    _randomized(hf.Sam2Model(config)).save_pretrained(folder)
    side = config.prompt_encoder_config.image_size
    hf.Sam2ImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def _segment_anything(size: str, folder: Path, tiny: bool) -> Path:
    from segment_anything import sam_model_registry

    sam = _tiny_segment_anything() if tiny else sam_model_registry[f"vit_{size}"]()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"sam_vit_{size}_random.pth"
    torch.save(_randomized(sam).state_dict(), file)
    return file


def _tiny_segment_anything() -> Any:
    from segment_anything import modeling

    encoder = modeling.ImageEncoderViT(
        img_size=128,
        embed_dim=32,
        depth=3,
        num_heads=2,
        out_chans=32,
        use_rel_pos=True,
        window_size=3,
        global_attn_indexes=(1,),
    )
    transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=32, num_heads=8, mlp_dim=64)
    return modeling.Sam(
        encoder,
        modeling.PromptEncoder(32, (8, 8), (128, 128), mask_in_chans=8),
        modeling.MaskDecoder(transformer_dim=32, transformer=transformer, iou_head_hidden_dim=32),
    )


BUILDERS: Mapping[str, Mapping[str, Callable[[Path, bool], Path]]] = MappingProxyType(
    {
        DETECTOR: {
            "owlvit:base-32": partial(_owl, 1, {}),
            "owlvit:base-16": partial(_owl, 1, {"vision_config": {"patch_size": 16}}),
            "owlvit:large": partial(
                _owl, 1, OWL_LARGE | {"vision_config": VIT_L | {"image_size": 840}}
            ),
            **{
                f"owlv2:{name}": partial(
                    _owl, 2, {"vision_config": {"image_size": 960, "patch_size": 16}}
                )
                for name in ("base-ensemble", "base")
            },
            **{
                f"owlv2:{name}": partial(
                    _owl, 2, OWL_LARGE | {"vision_config": VIT_L | {"image_size": 1008}}
                )
                for name in ("large-ensemble", "large")
            },
            **{
                f"grounding-dino:{size}": partial(_grounding_dino, "GroundingDino", size)
                for size in ("tiny", "base")
            },
            **{
                f"mm-grounding-dino:{size}{data}": partial(_grounding_dino, "MMGroundingDino", size)
                for size in SWIN
                for data in (("",) if size == "tiny" else ("", "-all"))
            },
            **{
                f"llmdet:{size}": partial(_grounding_dino, "MMGroundingDino", size) for size in SWIN
            },
        },
        SEGMENTER: {
            **{f"sam:vit-{size}": partial(_sam, size) for size in SAM},
            **{f"sam-hq:vit-{size}": partial(_sam, size, prefix="SamHQ") for size in SAM},
            **{f"sam2:{size}": partial(_sam2, size) for size in SAM2},
            **{f"segment-anything:vit-{size}": partial(_segment_anything, size) for size in SAM},
        },
    }
)
