"""Kills a labelling job again and again, and compares what it comes to with an undisturbed run.

    python tests/benchmarks/label_kill.py [--images 300] [--kills 30] [--workers 1] [--seed 0]

Exits with 1 if ledger or COCO export differ, or if an image has more than one line in the ledger.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image

from grounding_sdk.labeling import LabelJob, Ledger, export_job

START = 0.05  # seconds until the first image, about


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        pictures(root / "in", args.images)
        label(root, "warm", 1, limit=2)  # imports all, which the processes below are born with
        seconds = timed(root, "whole", args.workers)
        say(f"undisturbed: {args.images} images in {seconds:.2f} s")
        kills, early, sizes = 0, 0, []
        while kills < args.kills:
            left = args.kills - kills
            share = (args.images - entries(root / "job")) / args.images / (left + 1)
            delay = START + chance.uniform(0, 2 * share) * seconds
            process = start(root, "job", args.workers)
            time.sleep(delay)
            process.kill()
            process.join()
            kills += 1
            early += process.exitcode == 0
            sizes.append(entries(root / "job"))
        say(f"{kills} kills ({early} came too late); images in the ledger after each: {sizes}")
        timed(root, "job", args.workers)
        same = compare(root, args.images)
    say("ledger and COCO export are equal" if same else "THEY DIFFER")
    return 0 if same else 1


def pictures(folder: Path, count: int) -> None:
    """Makes small pictures of noise."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    for index in range(count):
        pixels = noise.integers(0, 255, (48, 64, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{index:04d}.png")


def start(root: Path, job: str, workers: int) -> multiprocessing.Process:
    """Labels in a process of its own, forked so that nothing needs to be imported again."""
    process = multiprocessing.get_context("fork").Process(target=label, args=(root, job, workers))
    process.start()
    return process


def label(root: Path, job: str, workers: int, limit: int | None = None) -> None:
    """Labels what is not labelled yet."""
    options = {"detector": "fake", "segmenter": "fake", "batch_size": 2, "device": "cpu"}
    labelled = LabelJob(root / "in", "cup . plate . spoon", root / job, workers=workers, **options)
    labelled.run(limit=limit)


def timed(root: Path, job: str, workers: int) -> float:
    """Labels to the end."""
    began = time.monotonic()
    process = start(root, job, workers)
    process.join()
    if process.exitcode:
        raise SystemExit(f"labelling ended with {process.exitcode}")
    return time.monotonic() - began


def entries(job: Path) -> int:
    """Counts what the ledger has."""
    return len(Ledger.open(job)) if job.is_dir() else 0


def compare(root: Path, count: int) -> bool:
    """Tells whether both jobs have the same content, and each image once."""
    contents, exports = [], []
    for job in ("whole", "job"):
        contents.append([replace(entry, seconds=0.0) for entry in Ledger.open(root / job)])
        export_job(root / job, "coco", root / f"{job}-coco")
        exports.append((root / f"{job}-coco" / "annotations.json").read_bytes())
    lines = [
        json.loads(line)["item"]
        for shard in sorted((root / "job").glob("ledger-*.jsonl"))
        for line in shard.read_text().splitlines()
    ]
    say(f"{len(lines)} lines for {len(set(lines))} images, {len(exports[0]):,} bytes of COCO")
    once = len(lines) == len(set(lines)) == count
    return once and contents[0] == contents[1] and exports[0] == exports[1]


def say(line: str) -> None:
    """Writes a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
