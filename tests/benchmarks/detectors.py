"""Measures our detectors against their packages' documented way, interleaved in one run.

    python tests/benchmarks/detectors.py grounding-dino:tiny --size 1066 800
    python tests/benchmarks/detectors.py owlv2:base --phrases 5 --same
    python tests/benchmarks/detectors.py owlv2:base --vocabulary 1203

The models have the shape of the published ones and random weights: the times are real, the answers
are not, but for being the same. `detect` is the whole way from a picture to boxes, against
processor, model and post-processing of transformers; for OWL that is `pipeline(...)`, which runs
the model once for each phrase, or with `--same` one call for all. With `--vocabulary`, ours with
that many phrases is compared with ours with `--phrases`, texts known. Printed are medians in
milliseconds and the median of the ratios of the rounds. `features` is the largest difference of
the image encoder's output, relative to its largest number.

On a busy machine, `--threads 1 --processor-time` leaves out what others take.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf

from grounding_sdk import Image, Query, load_detector
from grounding_sdk.benchmark.random_models import save_random
from grounding_sdk.benchmark.reference import Found, reference_detector

THRESHOLD = 0.3


class OneCall:
    """transformers' processor and model, all phrases in one call."""

    says = "transformers' processor, model and post-processing, once"

    def __init__(self, folder: Path) -> None:
        self.processor = hf.AutoProcessor.from_pretrained(folder)
        self.model = hf.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()

    @torch.no_grad()
    def detect(self, image: Image, phrases: list[str], threshold: float) -> Found:
        inputs = self.processor(images=image.pixels, text=[phrases], return_tensors="pt")
        [found] = self.processor.post_process_grounded_object_detection(
            self.model(**inputs), threshold=threshold, target_sizes=[image.size]
        )
        return Found(found["boxes"].numpy(), found["scores"].numpy(), [])


def compare(
    names: tuple[str, str],
    runs: tuple[Callable[[], Any], Callable[[], Any]],
    repeats: int,
    clock: Callable[[], float],
) -> None:
    for run in runs:
        run()
    rounds = []
    for _ in range(repeats):
        times = [clock()]
        for run in runs:
            run()
            times.append(clock())
        rounds.append(np.diff(times))
    medians = [statistics.median(times) * 1000 for times in zip(*rounds, strict=True)]
    ratio = statistics.median(one / other for one, other in rounds)
    say(f"{names[0]}: {medians[0]:.0f} ms; {names[1]}: {medians[1]:.0f} ms; ratio {ratio:.2f}")


def features(model: Any, run: Callable[[], Any]) -> torch.Tensor:
    """What the image encoder gives while something runs."""
    kept: list[torch.Tensor] = []
    part = getattr(model.base_model, "vision_model", None) or model.base_model.encoder
    hook = part.register_forward_hook(lambda _, __, output: kept.append(output[0].float()))
    run()
    hook.remove()
    return kept[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="grounding-dino:tiny or one of owlvit:*, owlv2:*")
    parser.add_argument("--size", type=int, nargs=2, default=[1280, 960], metavar=("W", "H"))
    parser.add_argument("--phrases", type=int, default=5)
    parser.add_argument("--vocabulary", type=int)
    parser.add_argument("--side", type=int, help="Grounding DINO's shorter side, less for a glance")
    parser.add_argument("--same", action="store_true")
    parser.add_argument("--precision", choices=["exact", "fast"], default="exact")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor-time", action="store_true")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.processor_time else time.perf_counter
    torch.set_num_threads(arguments.threads)
    width, height = arguments.size
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (-(-height // 32), -(-width // 32), 3), np.uint8)
    image = Image(coarse.repeat(32, axis=0).repeat(32, axis=1)[:height, :width].copy())

    with tempfile.TemporaryDirectory() as place:
        folder = save_random(arguments.model, "detector", Path(place))
        if arguments.side:
            smaller(folder / "processor_config.json", arguments.side)
        detector = load_detector(folder, precision=arguments.precision)

        def ours(count: int) -> Callable[[], Any]:
            query = Query.of(words(count)).with_threshold(THRESHOLD)
            return lambda: detector.detect([image], [query])

        few = ours(arguments.phrases)
        if arguments.vocabulary:
            counts = arguments.vocabulary, arguments.phrases
            names = tuple(f"{arguments.model}, {count} phrases" for count in counts)
            compare(names, (ours(counts[0]), few), arguments.repeats, clock)
            return
        reference: Any = OneCall(folder)
        if not arguments.same:
            reference = reference_detector(detector, folder, "cpu")

        def theirs() -> Found:
            return reference.detect(image, words(arguments.phrases), THRESHOLD)

        model = getattr(reference, "model", getattr(reference, "_model", None))
        if model is not None:
            expected = features(model, theirs)
            difference = (features(detector._model, few) - expected).abs().max()
            say(f"features differ by {difference / expected.abs().max():.1e}")
        compare((reference.says, "ours"), (theirs, few), arguments.repeats, clock)


def smaller(config: Path, side: int) -> None:
    told = json.loads(config.read_text())
    told["image_processor"]["size"] = {"shortest_edge": side, "longest_edge": 2 * side}
    config.write_text(json.dumps(told))


def words(count: int) -> list[str]:
    return [f"thing {number}" for number in range(count)]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
