"""`grounding-sdk review`: a job as a page to look through, and what a person decided put back."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from grounding_sdk.errors import ConfigError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "review",
        help="look through a labelling job, the doubtful pictures first, and put decisions back",
        description="Writes DIR/index.html, which opens in a browser without any network; there "
        "you accept, reject and relabel, and download the decisions, which --apply puts into the "
        "job.",
    )
    parser.add_argument("job", type=Path, metavar="JOB", help="the job's folder")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="DIR", help="write the report to this folder")
    what.add_argument(
        "--apply", type=Path, metavar="FILE", help="put the decisions of a report into the job"
    )
    parser.add_argument(
        "--against", type=Path, metavar="JOB", help="flag where another job disagrees"
    )
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="the N most doubtful pictures, 5,000 unless given; 0 for all",
    )
    parser.add_argument(
        "--copy", action="store_true", help="copy the pictures, so that the folder can be passed on"
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as a JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Returns:
        0, or 1 if decisions on some pictures were refused; the others are applied all the same.
    """
    return _write(args) if args.apply is None else _apply(args)


def _write(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from grounding_sdk.labeling import Ledger
    from grounding_sdk.labeling.report import PICTURES, write_report

    limit = PICTURES if args.limit is None else args.limit
    if limit < 0:
        raise ConfigError(f"expected --limit to be a number of pictures, got {limit}")
    ledger = Ledger.open(args.job)
    other = None if args.against is None else Ledger.open(args.against)
    counts = ledger.counts()
    shown = min(counts["done"], limit or counts["done"])
    with tqdm(total=shown, unit="image", disable=args.json or shown < 2, file=sys.stderr) as bar:
        page = write_report(
            ledger,
            args.out,
            other=other,
            limit=limit or None,
            copy=args.copy,
            progress=bar.update,
        )
    if args.json:
        print(json.dumps({"page": str(page), "pictures": shown, **counts}))
    else:
        print(page)
    return 0


def _apply(args: argparse.Namespace) -> int:
    from grounding_sdk.labeling import Ledger
    from grounding_sdk.labeling.decisions import apply_decisions, read_decisions

    if args.against is not None:
        raise ConfigError("--against is for --out DIR: a report; leave it out with --apply")
    done = apply_decisions(read_decisions(args.apply), Ledger.open(args.job))
    if args.json:
        data: dict[str, Any] = {"changed": list(done.changed), "unchanged": list(done.unchanged)}
        print(json.dumps({**data, "refused": done.refused}))
    else:
        print(
            f"{len(done.changed)} changed, {len(done.unchanged)} already as decided, "
            f"{len(done.refused)} refused"
        )
        for item, reason in done.refused.items():
            print(f"grounding-sdk: {item}: {reason}", file=sys.stderr)
    return 1 if done.refused else 0
