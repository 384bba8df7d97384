"""`grounding-sdk evaluate referring`: is the box that is chosen the one that was meant?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from grounding_sdk.cli.models import print_table

if TYPE_CHECKING:
    from grounding_sdk.evaluation.referring import Answer, Figure, ReferringReport
    from grounding_sdk.grounding import Grounding
    from grounding_sdk.image import Image


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "referring",
        help="the share of referring expressions for which the right box is chosen",
        description="Asks for each referring expression in its picture and says how often the best "
        "box has an IoU of at least 0.5 with the true one. Exit code 1 if a picture is missing or "
        "cannot be read.",
    )
    parser.add_argument("--images", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--annotations",
        required=True,
        type=Path,
        metavar="FILE.json",
        help="COCO JSON with a list of phrases: id, image_id, ann_id, phrase, bbox, kind",
    )
    parser.add_argument("--detector", default="mini", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--oracle",
        action="store_true",
        help="take the annotated boxes and class names in place of a detector",
    )
    parser.add_argument(
        "--no-relate",
        action="store_true",
        help="take the best box for the noun phrase alone, to see what the relations add",
    )
    parser.add_argument("--threshold", type=float, metavar="X", help="lowest score, 0 to 1")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, ...; default: a GPU if any")
    parser.add_argument("--offline", action="store_true", default=None, help="never ask the hub")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N expressions")
    parser.add_argument("--explain", action="store_true", help="say why each wrong box was chosen")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Returns:
        0, or 1 if a picture is missing or broken; what depends on it counts as wrong.
    """
    from tqdm import tqdm

    from grounding_sdk.evaluation.referring import evaluate_referring, read_expressions

    total = len(read_expressions(args.annotations)[: args.limit])
    ground = _grounder(args)
    with tqdm(
        total=total, unit="phrase", disable=args.json or args.quiet or None, file=sys.stderr
    ) as bar:
        report = evaluate_referring(
            ground,
            args.images,
            args.annotations,
            limit=args.limit,
            progress=lambda _: bar.update(),
        )
    if args.json:
        print(json.dumps(report.to_dict()))
    else:
        _print(report, explain=args.explain)
    unread = sorted({a.expression.file_name for a in report.failures if a.unread})
    if unread:
        more = f" and {len(unread) - 5} more" if len(unread) > 5 else ""
        print(
            f"grounding-sdk: missing or unreadable, counted as wrong: "
            f"{', '.join(unread[:5])}{more} (in {args.images})",
            file=sys.stderr,
        )
    return 1 if unread else 0


def _grounder(args: argparse.Namespace) -> Callable[[Image, str], Grounding]:
    from grounding_sdk.evaluation.oracle import OracleDetector
    from grounding_sdk.grounder import Grounder
    from grounding_sdk.query import Phrase
    from grounding_sdk.stages import Merge
    from grounding_sdk.text.referring import read_prompt

    grounder = Grounder(
        OracleDetector(args.annotations) if args.oracle else args.detector,
        None,
        threshold=args.threshold,
        reader="phrases" if args.no_relate else "referring",
        merge=None if args.oracle else Merge(),  # annotated boxes are no duplicates
        device=args.device,
        offline=args.offline,
    )

    def noun_phrase_alone(image: Image, text: str) -> Grounding:
        query = read_prompt(text, referring=True)
        phrase = query.targets[0].phrase if query.targets else query.texts[0]
        return grounder(image, Phrase(phrase))

    return noun_phrase_alone if args.no_relate else grounder


def _print(report: ReferringReport, *, explain: bool) -> None:
    rows = [_row(kind, figure) for kind, figure in report.by_kind.items()]
    print("Share of expressions whose best box has an IoU of at least 0.5 with the true one")
    print_table([("KIND", "ACCURACY", "N", "95% INTERVAL"), *rows, _row("in total", report.total)])
    if explain:
        for answer in report.failures:
            print(f"\n{_told(answer)}")
    elif report.failures:
        print(f"{len(report.failures)} wrong; --explain says why")


def _row(kind: str, figure: Figure) -> tuple[str, str, str, str]:
    low, high = figure.interval
    return kind, f"{figure.accuracy:.3f}", str(figure.n), f"{low:.3f} to {high:.3f}"


def _told(answer: Answer) -> str:
    asked = answer.expression
    lines = [f"{asked.text!r} ({asked.kind}, id {asked.id}) in {asked.file_name}"]
    if answer.problem:
        lines.append(f"  {answer.problem}")
    if answer.box is not None:
        lines.append(f"  chosen {_corners(answer.box)}, IoU {answer.iou:.2f}")
    lines.append(f"  meant  {_corners(asked.box)}")
    lines += [f"  {line}" for line in answer.explanation.splitlines()]
    return "\n".join(lines)


def _corners(box: tuple[float, ...]) -> str:
    return ",".join(f"{value:.0f}" for value in box)
