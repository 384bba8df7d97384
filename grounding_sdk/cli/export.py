"""`grounding-sdk export`: from a job's ledger to annotations in any format."""

from __future__ import annotations

import argparse
from pathlib import Path

from grounding_sdk.errors import ConfigError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="write what a labelling job has found, in any format",
        description="Writes what the job has found so far, as often as wanted.",
    )
    parser.add_argument("job", type=Path, help="the folder that 'label --out' wrote")
    parser.add_argument("--format", required=True, metavar="NAME", help="coco, yolo, voc, ...")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--min-score", type=float, default=0.0, metavar="X", help="0 to 1")
    parser.add_argument("--labels", metavar="A,B", help="only these, in this order")
    parser.add_argument(
        "--splits", metavar="NAME=SHARE,...", help="such as train=0.8,val=0.1,test=0.1"
    )
    parser.add_argument("--pictures", action="store_true", help="copy the pictures too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    from grounding_sdk.labeling import export_job

    count = export_job(
        args.job,
        args.format,
        args.out,
        min_score=args.min_score,
        labels=[each.strip() for each in args.labels.split(",")] if args.labels else None,
        splits=_splits(args.splits) if args.splits else None,
        pictures=args.pictures,
    )
    print(f"{count:,} images written to {args.out} as {args.format}")
    return 0


def _splits(text: str) -> dict[str, float]:
    shares = {}
    for each in text.split(","):
        name, _, share = each.partition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise ConfigError(f"expected splits such as train=0.8,val=0.2, got {text!r}") from None
    return shares
