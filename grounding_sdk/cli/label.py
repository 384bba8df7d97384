"""`grounding-sdk label`: a dataset and an ontology in, a job's ledger out; see `export`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grounding_sdk.labeling import Progress, Summary

INTERRUPTED = 130
SHOWN_FAILURES = 20


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "label",
        help="label a dataset: a job that can be stopped at any moment, and goes on",
        description="Labels each image of SOURCE once and keeps what it finds in the folder JOB. "
        "Stopped at any moment, the same command goes on. Write it out with 'export'.",
    )
    parser.add_argument(
        "source",
        help="folder, pattern, list (.txt), table (.csv, .jsonl, .parquet), COCO .json, Hugging "
        "Face dataset, or video",
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--query", metavar="FILE", help="an ontology or saved query: .yaml or .json")
    asked.add_argument("--text", help="or what to look for: 'dog . red car'")
    parser.add_argument("--out", required=True, type=Path, metavar="JOB", help="the job's folder")
    parser.add_argument("--detector", default="mini", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--segmenter", default="mini", metavar="NAME", help="'none' for boxes alone; default: mini"
    )
    parser.add_argument("--threshold", type=float, metavar="X", help="lowest score, 0 to 1")
    parser.add_argument(
        "--tile", type=int, metavar="N", help="look at large pictures in N x N tiles"
    )
    parser.add_argument("--batch-size", type=int, default=4, metavar="N")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes; default: 1")
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="'ray' labels on a Ray cluster, with as many actors as --workers says",
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every n-th video frame")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="what paths in a list or table are relative to"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="end after so many images")
    parser.add_argument("--retry-failed", action="store_true", help="try again what has failed")
    parser.add_argument("--preserve", metavar="FILE", help="annotations of people, to be kept")
    parser.add_argument(
        "--format-of-preserve", default="coco", metavar="NAME", help="default: %(default)s"
    )
    parser.add_argument(
        "--overwrite-human", action="store_true", help="label also what people have labelled"
    )
    parser.add_argument(
        "--reconfigure",
        action="store_true",
        help="go on with another source, query or model; images are labelled anew",
    )
    parser.add_argument("--device", metavar="D", help="cpu, cuda, ...; default: a GPU if any")
    parser.add_argument("--offline", action="store_true", default=None, help="never ask the hub")
    parser.add_argument("--quiet", action="store_true", help="no progress, and no summary")
    parser.add_argument("--json", action="store_true", help="print the summary as a JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Returns:
        0; 1 if an image failed, in this run or before; 130 after Ctrl-C.
    """
    from grounding_sdk.labeling import LabelJob
    from grounding_sdk.query import Query

    job = LabelJob(
        args.source,
        Query.load(args.query) if args.query is not None else Query.of(args.text),
        args.out,
        detector=args.detector,
        segmenter=None if args.segmenter.lower() == "none" else args.segmenter,
        threshold=args.threshold,
        tile=args.tile,
        batch_size=args.batch_size,
        workers=args.workers,
        every_nth=args.every,
        root=args.root,
        preserve=args.preserve,
        preserve_format=args.format_of_preserve,
        device=args.device,
        offline=args.offline,
    )
    line = _Line(quiet=args.quiet or args.json)
    try:
        summary = job.run(
            line.show,
            retry_failed=args.retry_failed,
            limit=args.limit,
            reconfigure=args.reconfigure,
            overwrite_human=args.overwrite_human,
            engine=_engine(args),
        )
    except KeyboardInterrupt:
        line.close()
        seen = f" after {line.last.done} more images" if line.last else ""
        print(
            f"grounding-sdk: stopped{seen}; nothing is lost, the same command goes on",
            file=sys.stderr,
        )
        return INTERRUPTED
    finally:
        line.close()
    if args.json:
        print(json.dumps(_data(summary)))
    elif not args.quiet:
        _print(summary)
    return 1 if summary.failed else 0


def _engine(args: argparse.Namespace) -> Any:
    if args.engine == "local":
        return None
    from grounding_sdk.labeling.ray_engine import on_ray

    return on_ray(args.workers, args.batch_size)


class _Line:
    """The progress line on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self.last: Progress | None = None
        self._quiet = quiet
        self._bar: Any = None
        self._shown = 0.0

    def show(self, progress: Progress) -> None:
        """Draws the line, at most five times a second."""
        self.last = progress
        if self._quiet or time.monotonic() - self._shown < 0.2:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=progress.total, file=sys.stderr, bar_format="{desc}")
        self._bar.set_description_str(progress_line(progress))
        self._shown = time.monotonic()

    def close(self) -> None:
        """Ends the line, as it is now."""
        if self._bar is not None:
            if self.last is not None:
                self._bar.set_description_str(progress_line(self.last))
            self._bar.close()
            self._bar = None


def progress_line(progress: Progress) -> str:
    """Says how far a run is, in one line."""
    total = "?" if progress.total is None else f"{progress.total:,}"
    parts = [f"{progress.seen - progress.failed:,} of {total} images"]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.left is not None:
        parts.append(f"{progress.left:,} left")
    parts.append(f"{progress.per_second:.1f}/s")
    if progress.seconds_left is not None:
        parts.append(f"{_clock(progress.seconds_left)} to go")
    return " | ".join([*parts, _objects(progress.objects, 4)])


def _objects(objects: Any, most: int) -> str:
    shown = [f"{label} {count:,}" for label, count in list(objects.items())[:most]]
    if len(objects) > most:
        shown.append(f"{len(objects) - most} more labels")
    return ", ".join(shown) or "no objects"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _print(summary: Summary) -> None:
    parts = [f"{summary.done:,} labelled"]
    parts += [f"{summary.kept:,} were already"] if summary.kept else []
    parts += [f"{summary.human:,} by people"] if summary.human else []
    parts += [f"{summary.failed:,} failed"] if summary.failed else []
    parts += [f"{summary.left:,} left"] if summary.left else []
    print(f"{summary.total:,} images: {', '.join(parts)}, in {_clock(summary.seconds)}")
    print(f"{summary.job} holds {_objects(summary.objects, 20)}")
    if summary.failed:
        print(f"{summary.failed:,} failed:", file=sys.stderr)
        for head in summary.failures[:SHOWN_FAILURES]:
            print(f"  {head.item}: {head.error}", file=sys.stderr)
        if summary.failed > SHOWN_FAILURES:
            print(f"  ...; see the ledger in {summary.job}", file=sys.stderr)


def _data(summary: Summary) -> dict[str, Any]:
    return {
        "job": str(summary.job),
        "images": summary.total,
        "done": summary.done,
        "kept": summary.kept,
        "human": summary.human,
        "failed": summary.failed,
        "left": summary.left,
        "objects": dict(summary.objects),
        "seconds": round(summary.seconds, 3),
        "failures": [{"image": head.item, "error": head.error} for head in summary.failures],
    }
