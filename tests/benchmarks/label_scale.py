"""Labels many tiny pictures with a fake model: memory, speed as it goes on, start-up of a resume.

python tests/benchmarks/label_scale.py [--images 20000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import PIL.Image

from grounding_sdk.labeling import LabelJob, Ledger, Progress, export_job

STEPS = 10


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        pictures(root / "in", count)
        marks: list[tuple[int, float, float, float]] = []

        def mark(progress: Progress) -> None:
            if progress.done >= len(marks) * count // STEPS:
                marks.append((progress.done, time.monotonic(), time.process_time(), megabytes()))

        job(root).run(mark)
        say("images   images/s   images/s of CPU time   resident MB")
        for (n0, wall0, cpu0, _), (n1, wall1, cpu1, memory) in pairwise(marks):
            speed, cpu_speed = (n1 - n0) / (wall1 - wall0), (n1 - n0) / (cpu1 - cpu0)
            say(f"{n1:6d} {speed:10.0f} {cpu_speed:22.0f} {memory:13.1f}")
        say(f"memory grew by {marks[-1][3] - marks[0][3]:.1f} MB after the first images")

        began = time.monotonic()
        ledger = Ledger.open(root / "job")
        say(f"opening the ledger: {time.monotonic() - began:.2f} s")
        began, processor = time.monotonic(), time.process_time()
        summary = job(root).run()
        took, used = time.monotonic() - began, time.process_time() - processor
        say(f"resume with nothing left: {took:.2f} s, {used:.2f} s of CPU; kept {summary.kept}")
        before = megabytes()
        began = time.monotonic()
        export_job(root / "job", "coco", root / "coco")
        say(f"COCO export: {time.monotonic() - began:.2f} s, {megabytes() - before:+.1f} MB")
        size = sum(file.stat().st_size for file in (root / "job").glob("ledger-*"))
        say(f"ledger: {size / 1e6:.1f} MB for {len(ledger):,} images")


def pictures(folder: Path, count: int) -> None:
    """Makes tiny pictures, a thousand to a folder."""
    noise = np.random.default_rng(0)
    for index in range(count):
        place = folder / f"{index // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 255, (16, 16, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(place / f"{index:06d}.bmp")


def job(root: Path) -> LabelJob:
    """Returns the job."""
    models = {"detector": "fake", "segmenter": "fake"}
    return LabelJob(root / "in", "cup . plate", root / "job", device="cpu", **models)


def megabytes() -> float:
    """Returns the resident memory of this process."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) / 1024


def say(line: str) -> None:
    """Writes a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
