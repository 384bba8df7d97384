"""Measures the embedded model: photos a second one by one and in a stream, and the first result.

    python tests/benchmarks/mini.py [FOLDER] [--photos 24] [--repeats 5] [--engine openvino]

Photos of FOLDER (default: demos/images) are brought to 640 x 480 and asked for five names, with
masks. The first result is that of a process of its own, imports included.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image

from grounding_sdk import Grounder

QUERY = "person . car . dog . chair . cup"
FIRST = f"from grounding_sdk import Grounder; Grounder()({{!r}}, {QUERY!r})"


def photos(folder: Path, count: int) -> list[np.ndarray]:
    """The folder's photos in turn, each time with other pixels, so that nothing is remembered."""
    paths = sorted(folder.glob("*.jpg"))
    pictures = [np.asarray(PIL.Image.open(p).convert("RGB").resize((640, 480))) for p in paths]
    turns = itertools.islice(itertools.cycle(pictures), count)
    return [np.roll(pixels, turn, axis=1) for turn, pixels in enumerate(turns)]


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    demos = Path(__file__).parents[2] / "demos" / "images"
    parser.add_argument("folder", type=Path, nargs="?", default=demos)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--firsts", type=int, default=3, help="processes for the first result")
    parser.add_argument("--precision", choices=["exact", "fast"], default="exact")
    parser.add_argument("--engine", default="torch", help="or openvino, onnxruntime, fastest")
    parser.add_argument("--threshold", type=float, help="for more masks a photo")
    arguments = parser.parse_args()
    command = [sys.executable, "-c", FIRST.format(str(demos / "cat.jpg"))]
    firsts = []
    for _ in range(arguments.firsts):
        start = time.perf_counter()
        subprocess.run(command, check=True)
        firsts.append(time.perf_counter() - start)
    ground = Grounder(precision=arguments.precision, threshold=arguments.threshold, cache=None)
    detector = next(s.model for s in ground.pipeline.stages if s.name == "detect")
    detector.engine = arguments.engine
    ground(photos(arguments.folder, 1)[0], QUERY)
    rounds = []
    shift = itertools.count()
    for _ in range(arguments.repeats):
        speeds = []
        for many in (False, True):
            given = [
                np.roll(p, next(shift), axis=0) for p in photos(arguments.folder, arguments.photos)
            ]
            start = time.perf_counter()
            asked = ground.many(given, QUERY) if many else (ground(p, QUERY) for p in given)
            masks = sum(len(result) for result in asked)
            speeds.append(len(given) / (time.perf_counter() - start))
        rounds.append(speeds)
    one, stream = (statistics.median(speeds) for speeds in zip(*rounds, strict=True))
    first = f"first result after {statistics.median(firsts):.1f} s; " if firsts else ""
    sys.stdout.write(
        f"{detector.engine}: {first}{one:.1f} photos/s one by one, "
        f"{stream:.1f} in a stream, {masks / arguments.photos:.1f} masks a photo\n"
    )


if __name__ == "__main__":
    main()
