"""Measures what `phrases_per_pass` costs with a vocabulary of the size of LVIS, 1,203 names.

    python tests/benchmarks/vocabulary.py owlv2 256 1203

The models have the shape of the published ones and random weights, so the times are real and the
answers are not. What does not depend on the setting is made small: SAM 3's image encoder, and the
pictures of Grounding DINO. Printed are seconds of the processor, one thread unless said, of the
first call, which encodes the texts, and of a later one (median of the repeats), and the most memory
that the process took so far.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
import transformers as hf

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_detectors import bert_tokenizer, clip_tokenizer, picture

from grounding_sdk import Query
from grounding_sdk.models.detectors._common import Saved
from grounding_sdk.models.detectors.grounding_dino import GroundingDinoDetector
from grounding_sdk.models.detectors.omdet_turbo import OmDetTurboDetector
from grounding_sdk.models.detectors.owl import OwlDetector
from grounding_sdk.models.detectors.sam3 import Sam3Detector


def owlvit():
    config = hf.OwlViTConfig()  # B/32
    model = hf.OwlViTForObjectDetection(config)
    return OwlDetector, model, hf.OwlViTImageProcessor(), clip_tokenizer(16)


def owlv2():
    config = hf.Owlv2Config(vision_config={"image_size": 960, "patch_size": 16})  # base
    model = hf.Owlv2ForObjectDetection(config)
    return OwlDetector, model, hf.Owlv2ImageProcessor(), clip_tokenizer(16)


def grounding_dino():
    model = hf.GroundingDinoForObjectDetection(hf.GroundingDinoConfig())  # Swin-T
    size = {"shortest_edge": 480, "longest_edge": 640}
    return (
        GroundingDinoDetector,
        model,
        hf.GroundingDinoImageProcessor(size=size),
        bert_tokenizer(),
    )


def omdet_turbo():
    model = hf.OmDetTurboForObjectDetection(hf.OmDetTurboConfig())  # Swin-T
    image_processor = hf.DetrImageProcessor(size={"height": 640, "width": 640})
    return OmDetTurboDetector, model, image_processor, clip_tokenizer(77)


def sam3():
    part = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    backbone = {**part, "model_type": "sam3_vit_model", "num_attention_heads": 2}
    model = hf.Sam3Model(hf.Sam3Config(vision_config={"backbone_config": backbone}))
    size = {"height": 1008, "width": 1008}
    return Sam3Detector, model, hf.Sam3ImageProcessor(size=size), clip_tokenizer(32)


FAMILIES = {f.__name__: f for f in (owlvit, owlv2, grounding_dino, omdet_turbo, sam3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("per_pass", type=int, nargs="+")
    parser.add_argument("--names", type=int, default=1203)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--templates", type=int, default=0)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    detector_class, model, image_processor, tokenizer = FAMILIES[arguments.family]()
    saved = Saved(model.eval(), image_processor, tokenizer, torch.device("cpu"))
    image = picture(480, 640)
    templates = tuple(f"photo {number} of {{}}" for number in range(arguments.templates))
    phrases = Query.of([f"thing {number}" for number in range(arguments.names)]).phrases
    query = Query(phrases, templates=templates).with_threshold(0.99)
    for per_pass in arguments.per_pass:
        detector = detector_class(saved, "benchmark")
        detector.phrases_per_pass = per_pass
        seconds = []
        for _ in range(arguments.repeats + 1):
            start = time.process_time()
            detector.detect([image], [query])
            seconds.append(time.process_time() - start)
        later = statistics.median(seconds[1:] or seconds)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        sys.stdout.write(
            f"{arguments.family} {arguments.names} names, {per_pass:>4} a pass: first "
            f"{seconds[0]:.2f} s, later {later:.2f} s, peak {peak:.2f} GB\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
