"""`grounding-sdk tune`: thresholds for an ontology, from a few annotated pictures."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grounding_sdk.cli.models import print_table
from grounding_sdk.errors import ConfigError
from grounding_sdk.files import write_file

if TYPE_CHECKING:
    from grounding_sdk.evaluation.thresholds import Figures, Tuning
    from grounding_sdk.formats import Dataset
    from grounding_sdk.query import Query


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "tune",
        help="choose thresholds from a few annotated pictures and write them into an ontology",
        description="Runs the detector once on annotated pictures, in which every object of the "
        "ontology's labels must be marked, and chooses the threshold of each label: for best F1, "
        "or for a precision or recall wanted. Without --out and --curves it only tells.",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the pictures are")
    parser.add_argument("--annotations", required=True, type=Path, metavar="FILE")
    parser.add_argument(
        "--format", default="coco", metavar="NAME", help="of the annotations; default: %(default)s"
    )
    parser.add_argument(
        "--query", required=True, type=Path, metavar="FILE", help="an ontology or a saved query"
    )
    parser.add_argument("--detector", default="mini", metavar="NAME", help="default: %(default)s")
    aim = parser.add_mutually_exclusive_group()
    aim.add_argument(
        "--precision", type=float, metavar="X", help="find as much as this precision allows"
    )
    aim.add_argument("--recall", type=float, metavar="X", help="be as strict as this recall allows")
    parser.add_argument(
        "--by",
        choices=("label", "phrase"),
        default="label",
        help="one threshold for all phrases of a label, or one for each; default: %(default)s",
    )
    parser.add_argument(
        "--enough",
        type=int,
        default=5,
        metavar="N",
        help="right and wrong detections from which a label has a threshold of its own; with "
        "fewer it gets that of all labels together; default: %(default)s",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the ontology with its thresholds; with --by phrase a saved query, where an ontology "
        "cannot say it",
    )
    parser.add_argument("--curves", type=Path, metavar="DIR", help="write a picture of each label")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, ...; default: a GPU if any")
    parser.add_argument("--offline", action="store_true", default=None, help="never ask the hub")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Returns:
        0, or 1 if there was too little for any threshold; then no ontology is written.
    """
    from grounding_sdk.query import Query
    from grounding_sdk.stages import Parse

    asked = Query.load(args.query)
    _check_out(args)
    tuning = _tuned(args, Parse().read(asked), _dataset(args))
    chosen = any(choice.basis != "kept" for choice in tuning.choices)
    if args.out is not None and chosen:
        _write(args, asked, tuning)
    if args.curves is not None:
        _draw(args.curves, tuning)
    if args.json:
        print(json.dumps(tuning.to_dict(), allow_nan=False))
    else:
        _print(tuning)
        if args.out is not None and chosen:
            print(f"written to {args.out}")
    if not chosen:
        print(
            f"grounding-sdk: too few examples for any threshold: expected {args.enough} right and "
            f"{args.enough} wrong detections at the least; annotate more pictures",
            file=sys.stderr,
        )
    return 0 if chosen else 1


def _check_out(args: argparse.Namespace) -> None:
    """A suffix that cannot be written is told before the work, not after it."""
    if args.out is None:
        return
    json_in, json_out = (path.suffix.lower() == ".json" for path in (args.query, args.out))
    if json_in != json_out or args.out.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise ConfigError(
            f"expected --out to end like --query {args.query.name}, got {args.out.name}"
        )


def _dataset(args: argparse.Namespace) -> Dataset:
    from grounding_sdk.formats import FORMATS

    readers = {name: each.read for name, each in FORMATS.items() if each.read is not None}
    if args.format not in readers:
        raise ConfigError(f"no format {args.format!r} can be read; there are {', '.join(readers)}")
    return readers[args.format](args.annotations)


def _tuned(args: argparse.Namespace, query: Query, dataset: Dataset) -> Tuning:
    from itertools import islice

    from tqdm import tqdm

    from grounding_sdk.evaluation.thresholds import tune
    from grounding_sdk.grounder import Grounder
    from grounding_sdk.models.registry import load_detector

    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"expected --limit of 1 or more, got {args.limit}")
    if args.enough < 1:
        raise ConfigError(f"expected --enough of 1 or more, got {args.enough}")
    rows = list(islice(dataset, args.limit))
    detector = load_detector(args.detector, device=args.device, offline=args.offline)
    hidden = args.json or args.quiet or None
    with tqdm(total=len(rows), unit="picture", disable=hidden, file=sys.stderr) as bar:
        return tune(
            Grounder(detector, None),
            rows,
            query,
            args.images,
            names=dataset.labels,
            default_threshold=detector.default_threshold,
            precision=args.precision,
            recall=args.recall,
            by=args.by,
            enough=args.enough,
            progress=bar.update,
        )


def _write(args: argparse.Namespace, asked: Query, tuning: Tuning) -> None:
    """Writes the user's own file with other thresholds; a saved query where that cannot be."""
    from grounding_sdk.text.document import read_document
    from grounding_sdk.text.ontology_edit import with_label_thresholds

    of_label: dict[str, set[float | None]] = {}
    for choice in tuning.choices:
        of_label.setdefault(choice.label, set()).add(choice.threshold)
    is_ontology = "labels" in read_document(args.query).mapping()
    if not is_ontology or any(len(thresholds) > 1 for thresholds in of_label.values()):
        tuning.tuned.save(args.out)
        return
    chosen = {c.label: c.threshold for c in tuning.choices if c.basis != "kept"}
    thresholds = {label: x for label, x in chosen.items() if x is not None}
    text = args.query.read_bytes().decode("utf-8-sig")
    is_json = args.query.suffix.lower() == ".json"
    write_file(args.out, with_label_thresholds(text, thresholds, is_json=is_json))


def _draw(folder: Path, tuning: Tuning) -> None:
    """Writes a picture for each label, and one of all."""
    from grounding_sdk.viz import save_picture
    from grounding_sdk.viz.curves import curve_sheet, draw_curve

    pictures = []
    for index, (label, curve) in enumerate(tuning.curves.items(), 1):
        mine = [choice for choice in tuning.choices if choice.label == label]
        one = len({choice.threshold for choice in mine}) == 1
        threshold, interval = (mine[0].threshold, mine[0].interval) if one else (None, None)
        pictures.append(draw_curve(curve, label, threshold=threshold, interval=interval))
        name = re.sub(r"\W+", "_", label).strip("_")[:80]
        save_picture(pictures[-1], folder / f"{index:03}_{name}.png")
    save_picture(curve_sheet(pictures), folder / "all.png")


def _print(tuning: Tuning) -> None:
    head = "LABEL PHRASE THRESHOLD INTERVAL PRECISION RECALL F1 INTERVAL OBJECTS RIGHT WRONG"
    rows = [(*head.split(), "REASON")]
    for choice in tuning.choices:
        figures = choice.figures
        rows.append(
            (
                choice.label,
                "" if choice.phrase == choice.label else choice.phrase,
                "-" if choice.threshold is None else f"{choice.threshold:g}",
                _interval(choice.interval),
                _share(figures.precision),
                _share(figures.recall),
                _share(figures.f1),
                _interval(figures.interval),
                *(str(n) for n in (choice.objects, choice.right, choice.wrong)),
                choice.reason,
            )
        )
    print_table(rows)
    print(f"{tuning.pictures} pictures; precision, recall and F1 of all labels together:")
    print(f"  as it was     {_figures(tuning.before)}")
    print(f"  as chosen     {_figures(tuning.after)}")
    print(
        f"  F1 on pictures that had no part in the choice: {_share(tuning.f1_unseen)} (bootstrap)"
    )


def _figures(figures: Figures) -> str:
    shares = "  ".join(_share(x) for x in (figures.precision, figures.recall, figures.f1))
    return shares + (f"  ({_interval(figures.interval)})" if figures.interval else "")


def _share(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else "{:.2f} to {:.2f}".format(*interval)
