"""Measures ours against the way that lang-sam and autodistill-grounded-sam call their models.

    python tests/benchmarks/peers.py lang-sam --repeats 3
    python tests/benchmarks/peers.py autodistill-grounded-sam --repeats 3

These are reproductions: neither package is run. lang-sam is not on PyPI, and the other needs forks
of GroundingDINO and of segment-anything with weights from the network. What is reproduced is the
sequence of their calls, read in their sources (lang_sam/lang_sam.py and lang_sam/models/ of
luca-medeiros/lang-segment-anything; autodistill_grounded_sam 0.1.2), with the same models, weights
and preprocessing on both sides:

- lang-sam: all phrases in one text, transformers' Grounding DINO; then SAM's predictor for all
  boxes of an image in one batch. It uses SAM 2 there; SAM ViT-B stands for it here.
- autodistill-grounded-sam: Grounding DINO anew for each phrase; then segment-anything's
  `SamPredictor`, one box after the other. It uses ViT-H; ViT-B stands for it here.

Both models are of their full size with random weights, `--tiny` ones for a try. Boxes are given, as
random weights find none worth it. Printed are medians in seconds and the median of the ratios of
the rounds (theirs / ours), which take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from segment_anything import SamPredictor
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from grounding_sdk import Image, Query, load_detector, load_segmenter
from grounding_sdk.benchmark.random_models import save_random
from grounding_sdk.benchmark.run import WORDS
from grounding_sdk.models.segmenters.segment_anything import sam_from_weights

SIZE = 960, 1280
BOX_THRESHOLD, TEXT_THRESHOLD = 0.3, 0.25


class GroundingDino:
    """Grounding DINO through transformers' processor, as both peers' code does in effect."""

    def __init__(self, path: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(path, local_files_only=True)
        self.model = AutoModelForZeroShotObjectDetection.from_pretrained(
            path, local_files_only=True, dtype=torch.float32
        ).eval()

    @torch.no_grad()
    def __call__(self, picture: PIL.Image.Image, phrases: list[str]) -> None:
        text = " ".join(f"{phrase}." for phrase in phrases)
        inputs = self.processor(images=[picture], text=[text], padding=True, return_tensors="pt")
        self.processor.post_process_grounded_object_detection(
            self.model(**inputs),
            inputs["input_ids"],
            threshold=BOX_THRESHOLD,
            text_threshold=TEXT_THRESHOLD,
            target_sizes=[picture.size[::-1]],
        )


def lang_sam(
    detector: GroundingDino, predictor: SamPredictor, pixels: np.ndarray, phrases: list[str]
) -> Callable[[np.ndarray], np.ndarray]:
    detector(PIL.Image.fromarray(pixels), phrases)
    predictor.set_image(pixels)

    def masks(boxes: np.ndarray) -> np.ndarray:
        given = predictor.transform.apply_boxes_torch(torch.from_numpy(boxes), SIZE)
        return predictor.predict_torch(None, None, boxes=given, multimask_output=False)[0][:, 0]

    return masks


def autodistill(
    detector: GroundingDino, predictor: SamPredictor, pixels: np.ndarray, phrases: list[str]
) -> Callable[[np.ndarray], np.ndarray]:
    for phrase in phrases:
        detector(PIL.Image.fromarray(pixels), [phrase])
    predictor.set_image(pixels)

    def masks(boxes: np.ndarray) -> np.ndarray:
        results = [predictor.predict(box=box, multimask_output=False)[0] for box in boxes]
        return np.concatenate(results)

    return masks


PEERS = {"lang-sam": lang_sam, "autodistill-grounded-sam": autodistill}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--boxes", type=int, default=20)
    parser.add_argument("--phrases", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    phrases = WORDS[: arguments.phrases]
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1, (arguments.boxes, 2, 2)) * [SIZE[1], SIZE[0]]
    boxes = np.hstack([corners.min(axis=1), corners.max(axis=1)]).astype(np.float32)

    with tempfile.TemporaryDirectory() as folder:
        dino, sam = (
            save_random(name, kind, Path(folder) / kind, tiny=arguments.tiny)
            for name, kind in (
                ("grounding-dino:tiny", "detector"),
                ("segment-anything:vit-b", "segmenter"),
            )
        )
        detector, segmenter = load_detector(dino, device="cpu"), load_segmenter(sam, device="cpu")
        theirs = GroundingDino(dino)
        weights = torch.load(sam, map_location="cpu", weights_only=True)
        predictor = SamPredictor(sam_from_weights(weights))

        def ours(pixels: np.ndarray) -> np.ndarray:
            image = Image(pixels)
            detector.detect([image], [Query.of(phrases)])
            return segmenter.decode(segmenter.encode([image])[0], boxes).masks.to_dense()

        def their_way(pixels: np.ndarray) -> np.ndarray:
            return np.asarray(
                PEERS[arguments.peer](theirs, predictor, pixels, phrases)(boxes), dtype=bool
            )

        rounds = []
        for number in range(arguments.repeats + 1):
            pixels = rng.integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8, 3), np.uint8)
            pixels = np.ascontiguousarray(pixels.repeat(8, axis=0).repeat(8, axis=1))
            times, results = [time.perf_counter()], []
            for run in (their_way, ours):
                results.append(run(pixels))
                times.append(time.perf_counter())
            if number:  # the first warms up
                rounds.append(np.diff(times))
        different = np.mean(results[0] != results[1])
    slow, fast = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratio = statistics.median(one / other for one, other in rounds)
    sys.stdout.write(
        f"the calls of {arguments.peer}: {slow:.2f} s, ours {fast:.2f} s, ratio {ratio:.2f}, "
        f"{different:.1e} of the masks' pixels differ\n"
    )


if __name__ == "__main__":
    main()
