"""Measures a stream against the same pipeline called picture by picture, alternating in one run.

    python tests/benchmarks/stream.py [--models mini] [--pictures 24] [--repeats 3]

Pictures of two sizes are read from JPEG files and the results written as such. `--models waiting`
takes models that wait 40 ms for each picture, as one waits for an accelerator; `mini` computes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL.Image

from grounding_sdk import FakeDetector, FakeSegmenter, Grounder, Grounding

WAIT = 0.04  # seconds a picture


class WaitingDetector(FakeDetector):
    """A fake that takes its time."""

    def detect(self, images, queries):
        time.sleep(WAIT * len(images))
        return super().detect(images, queries)


class WaitingSegmenter(FakeSegmenter):
    """Likewise."""

    def encode(self, images):
        time.sleep(WAIT * len(images))
        return super().encode(images)


def pictures(folder: Path, count: int) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{index}.jpg" for index in range(count)]
    for index, path in enumerate(paths):
        size = (640, 480) if index % 2 else (480, 640)
        rough = PIL.Image.fromarray(rng.integers(0, 255, (30, 40, 3), np.uint8))
        rough.resize(size, PIL.Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def write(results: Iterable[Grounding], folder: Path) -> int:
    count = 0
    for count, result in enumerate(results, 1):
        result.save(folder / f"{count}.jpg")
    return count


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", choices=["mini", "waiting"], default="mini")
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    waiting = arguments.models == "waiting"
    models = (WaitingDetector(), WaitingSegmenter()) if waiting else ("mini", "mini")
    ground = Grounder(*models, cache=None)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = pictures(folder, arguments.pictures)
        out = folder / "out"
        write(ground.many(paths[:2], "dog . cup"), out)
        rounds = []
        for _ in range(arguments.repeats):
            times = [time.perf_counter()]
            for results in (
                (ground(path, "dog . cup") for path in paths),
                ground.many(paths, "dog . cup"),
            ):
                if write(results, out) != len(paths):
                    raise SystemExit("a picture failed")
                times.append(time.perf_counter())
            rounds.append(len(paths) / np.diff(times))
    one, many = (statistics.median(speeds) for speeds in zip(*rounds, strict=True))
    ratio = statistics.median(b / a for a, b in rounds)
    sys.stdout.write(f"{one:.1f} pictures/s one by one, {many:.1f} in a stream: {ratio:.2f}x\n")


if __name__ == "__main__":
    main()
