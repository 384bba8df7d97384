"""`grounding-sdk bench`: how fast it is here, against the path that people run today."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grounding_sdk.cli.models import print_table

if TYPE_CHECKING:
    from grounding_sdk.benchmark.run import Report


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="measure a detector and a segmenter on this machine against the usual path",
        description="Runs the usual path (transformers' zero-shot pipeline, SamModel and "
        "post_process_masks, where the models have them) and this package in turns on the same "
        "pictures, with the same weights. Says the medians, the ratios stage by stage, the memory "
        "and how far the outputs are apart. Progress goes to standard error; interrupted, it "
        "reports the rounds that were done.",
    )
    parser.add_argument("--detector", default="mini", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--segmenter", default="mini", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--precision", choices=("exact", "fast"), default="exact")
    parser.add_argument(
        "--engine",
        choices=("torch", "openvino", "onnxruntime", "fastest"),
        default="torch",
        help="what runs our image encoders, of mini, SAM, OWL-ViT and OWLv2; 'fastest' tries those "
        "that are installed; default: %(default)s",
    )
    parser.add_argument("--phrases", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--boxes", type=int, default=20, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--size",
        type=_size,
        default=None,
        metavar="WxH",
        help="of the picture; default: that of --image, or 1280x960",
    )
    parser.add_argument("--image", type=Path, metavar="FILE", help="default: one is drawn")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--stages",
        choices=("all", "detect", "segment", "decode"),
        default="all",
        help="measure one part alone; default: %(default)s",
    )
    parser.add_argument(
        "--random-weights",
        action="store_true",
        help="where there is no checkpoint, the published architecture with random weights: the "
        "times are real, the answers are not",
    )
    parser.add_argument(
        "--tiny", action="store_true", help="with --random-weights: a tiny model, to try this out"
    )
    parser.add_argument("--device", default="cpu", metavar="D", help="default: %(default)s")
    parser.add_argument("--offline", action="store_true", default=None, help="never ask the hub")
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    from grounding_sdk.benchmark.run import Work, run_benchmark

    work = Work(
        detector=args.detector,
        segmenter=args.segmenter,
        phrases=args.phrases,
        boxes=args.boxes,
        size=args.size or (None if args.image else (1280, 960)),
        rounds=args.rounds,
        stages=args.stages,
        precision=args.precision,
        engine=args.engine,
        random_weights=args.random_weights or args.tiny,
        tiny=args.tiny,
        picture=args.image,
        device=args.device,
        offline=args.offline,
    )
    report = run_benchmark(work, lambda text: print(text, file=sys.stderr, flush=True))
    if args.json:
        print(json.dumps(report.to_dict()))
    else:
        _print(report)
    if report.rounds < work.rounds:
        raise KeyboardInterrupt
    return 0


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT such as 1280x960, got {text!r}")
    return int(found[1]), int(found[2])


def _print(report: Report) -> None:
    work = report.work
    size = "x".join(map(str, work.size)) if work.size else str(work.picture)
    print(
        f"{size}, {work.phrases} phrases, {work.boxes} boxes, {report.rounds} rounds, "
        f"{report.threads} threads, {work.device}"
    )
    for kind, name in (("detector", work.detector), ("segmenter", work.segmenter)):
        weights = report.weights[kind] + (" weights of a tiny model" if work.tiny else " weights")
        weights = "a checkpoint's weights" if weights.startswith("checkpoint") else weights
        precision = report.applied_precision[kind] or "no precision to set"
        engine = report.applied_engine[kind] or "torch"
        print(f"{kind} {name}: {weights}, {precision}, {engine}; against {report.reference[kind]}")
    print()
    rows = [("STAGE", "REFERENCE MS", "OURS MS", "RATIO")]
    for stage, ratio in report.stages.items():
        both = report.milliseconds[stage]
        rows.append(
            (
                stage.replace("_", " "),
                f"{both['reference']:,.1f}",
                f"{both['ours']:,.1f}",
                f"{ratio:.2f}",
            )
        )
    print_table(rows)
    print()
    for what, value in report.peak_mb.items():
        shown = "not known here" if value is None else f"{value:,.0f} MB above the models"
        print(f"peak memory, {what}: {shown}")
    for what, difference in report.parity.items():
        print(f"{what.replace('_', ' ')}: {'-' if difference is None else f'{difference:.6g}'}")
