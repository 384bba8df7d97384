"""`grounding-sdk evaluate detection`: are the named things found, as boxes and as masks?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grounding_sdk.cli.models import print_table
from grounding_sdk.errors import ConfigError

if TYPE_CHECKING:
    from grounding_sdk.evaluation.coco_matches import Figure
    from grounding_sdk.evaluation.detection import DetectionReport

TITLES = {
    "box_ap": "box AP",
    "box_ap50": "box AP50",
    "box_ar100": "box AR, 100 boxes",
    "agnostic_ap": "class-agnostic AP",
    "agnostic_ap50": "class-agnostic AP50",
    "top1": "best box of a picture right",
    "precision": "precision at the threshold",
    "recall": "recall at the threshold",
    "f1": "F1 at the threshold",
    "boxes_per_picture": "boxes a picture at the threshold",
    "mask_ap": "mask AP",
    "mask_ap50": "mask AP50",
    "mask_miou": "mask IoU, boxes given",
    "boundary_f": "boundary F, boxes given",
    "point_miou": "mask IoU, one point given",
    "false_alarms": "false alarms a picture, absent names",
    "pictures_with_false_alarms": "pictures with false alarms",
}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "detection",
        help="average precision and more of boxes and masks, against COCO annotations",
        description="Asks for all names of the annotations in every picture. Average precision is "
        "that of pycocotools; intervals are 95%, bootstrap over pictures.",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="not needed with --results")
    parser.add_argument("--annotations", required=True, type=Path, metavar="COCO.json")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE.json",
        help="judge results that are there, in COCO's results format, in place of a detector",
    )
    parser.add_argument("--detector", default="mini", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--segmenter", default="mini", metavar="NAME", help="'none' for boxes alone; default: mini"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="for F1 and false alarms; default: the detector's, 0.5 with --results",
    )
    parser.add_argument(
        "--absent",
        type=int,
        default=20,
        metavar="N",
        help="names that are not in a picture to ask, to count false alarms; default: %(default)s",
    )
    parser.add_argument(
        "--points", action="store_true", help="judge the segmenter on single points, too"
    )
    parser.add_argument("--rounds", type=int, default=300, metavar="N", help="of the bootstrap")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    parser.add_argument("--classes", action="store_true", help="show AP50 of each name")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, ...; default: a GPU if any")
    parser.add_argument("--offline", action="store_true", default=None, help="never ask the hub")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    report = _judge_results(args) if args.results else _judge_models(args)
    if args.json:
        print(json.dumps(report.to_dict()))
    else:
        _print(report, classes=args.classes)
    return 0


def _judge_results(args: argparse.Namespace) -> DetectionReport:
    from grounding_sdk.evaluation.detection import evaluate_results

    threshold = 0.5 if args.threshold is None else args.threshold
    return evaluate_results(args.results, args.annotations, threshold=threshold, rounds=args.rounds)


def _judge_models(args: argparse.Namespace) -> DetectionReport:
    if args.images is None:
        raise ConfigError("expected --images DIR with the annotated pictures, or --results FILE")

    from tqdm import tqdm

    from grounding_sdk.evaluation.coco_truth import read_truth
    from grounding_sdk.evaluation.detection import evaluate_detection
    from grounding_sdk.models.registry import load_detector, load_segmenter

    place = {"device": args.device, "offline": args.offline}
    detector = load_detector(args.detector, **place)
    segmenter = None
    if args.segmenter.lower() != "none":
        segmenter = load_segmenter(args.segmenter, **place)
    total = len(read_truth(args.annotations, args.limit)["images"])
    hidden = args.json or args.quiet or None
    with tqdm(total=total, unit="picture", disable=hidden, file=sys.stderr) as bar:
        return evaluate_detection(
            detector,
            args.images,
            args.annotations,
            segmenter=segmenter,
            threshold=args.threshold,
            absent=args.absent,
            points=args.points,
            limit=args.limit,
            rounds=args.rounds,
            progress=bar.update,
        )


def _print(report: DetectionReport, *, classes: bool) -> None:
    rows = [_row(TITLES[name], figure) for name, figure in report.figures.items()]
    rows += [_row(f"box AP, {size} objects", figure) for size, figure in report.by_size.items()]
    if classes:
        rows += [_row(f"AP50 of {name}", figure) for name, figure in report.by_class.items()]
    print_table([("FIGURE", "VALUE", "N", "95% INTERVAL"), *rows])
    print(f"threshold {report.threshold:g}; F1 would be best at {report.best_threshold:g}")


def _row(title: str, figure: Figure) -> tuple[str, str, str, str]:
    interval = "" if figure.interval is None else "{:.3f} to {:.3f}".format(*figure.interval)
    value = "-" if figure.value != figure.value else f"{figure.value:.3f}"
    return title, value, str(figure.n), interval
