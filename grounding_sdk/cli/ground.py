"""`grounding-sdk ground`: words and pictures in, pictures with boxes and masks out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from grounding_sdk.errors import ConfigError, GroundingError, ImageError, PipelineError
from grounding_sdk.files import write_file


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "ground",
        help="find and segment what a text names, in one picture or many",
        description="Writes DIR/<stem>.jpg for each picture and one DIR/annotations.json (COCO).",
    )
    parser.add_argument("images", nargs="+", help="files, folders or patterns such as 'in/*.jpg'")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--text", help="what to look for: 'dog . red car'")
    asked.add_argument(
        "--query", metavar="FILE", help="or a .yaml or .json file: an ontology or a saved query"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--detector", default="mini", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--segmenter", default="mini", metavar="NAME", help="'none' for boxes alone; default: mini"
    )
    parser.add_argument(
        "--reader",
        default="auto",
        choices=("auto", "referring", "caption", "phrases", "whole"),
        help="how the text is read; default: names and expressions such as 'the cup on the left'",
    )
    parser.add_argument(
        "--rewriter",
        metavar="R",
        help="name what is asked by its use ('something to sit on'): 'lexical' or URL#MODEL",
    )
    parser.add_argument("--explain", action="store_true", help="say why each one was chosen")
    parser.add_argument("--threshold", type=float, metavar="X", help="lowest score, 0 to 1")
    parser.add_argument(
        "--tile", type=int, metavar="N", help="look at large pictures in N x N tiles"
    )
    parser.add_argument(
        "--cache",
        default="memory",
        metavar="DIR",
        help="keep pictures as the segmenter encodes them, so that the next run on them is faster",
    )
    parser.add_argument("--device", metavar="D", help="cpu, cuda, ...; default: a GPU if any")
    parser.add_argument(
        "--precision",
        choices=("exact", "fast"),
        help="fast: bfloat16 where the device gains from it; default: exact",
    )
    parser.add_argument("--batch-size", type=int, default=4, metavar="N")
    parser.add_argument("--offline", action="store_true", default=None, help="never ask the hub")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Returns:
        0, or 1 if a picture failed; the others are done all the same.
    """
    from grounding_sdk.formats import CocoWriter
    from grounding_sdk.grounder import Grounder
    from grounding_sdk.query import Query

    query = Query.load(args.query) if args.query is not None else Query.of(args.text)
    failures: list[dict[str, str]] = []
    named = list(_images(args.images, failures))
    images = [path for path, _ in named]
    if not images:
        raise ImageError("; ".join(failure["error"] for failure in failures))
    segmenter = None if args.segmenter.lower() == "none" else args.segmenter
    grounder = Grounder(
        args.detector,
        segmenter,
        threshold=args.threshold,
        reader=args.reader,
        rewriter=args.rewriter,
        tile=args.tile,
        cache=args.cache,
        device=args.device,
        offline=args.offline,
        precision=args.precision,
    )
    names = _Names(args.out, images)
    file_names = dict(named)
    coco = CocoWriter()
    done: list[dict[str, Any]] = []

    def failed(error: PipelineError) -> None:
        failures.append({"image": str(images[error.index]), "error": str(error.__cause__)})
        _say(f"{images[error.index]}: {error.__cause__}", progress)

    progress = _progress(len(images), quiet=args.json)
    try:
        for result in grounder.many(images, query, batch_size=args.batch_size, on_error=failed):
            source = result.image.source or ""
            picture = names.new(source)
            result.save(picture)
            coco.add(result, file_names[source])
            done.append({"picture": str(picture), **result.to_dict()})
            if args.explain and not args.json:
                print(f"{source}\n{result.explain()}\n")
            progress.update()
    finally:
        progress.close()
        if done:
            write_file(args.out / "annotations.json", json.dumps(coco.to_dict()))
    if args.json:
        print(json.dumps({"out": str(args.out), "images": done, "failures": failures}))
    else:
        _summary(args.out, done, failures)
    return 1 if failures else 0


def _images(sources: list[str], failures: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    """Yields each picture's path and its COCO file name: relative to the folder that was given."""
    from grounding_sdk.sources import find_images

    for source in sources:
        try:
            for path in find_images(source):
                folder = source if Path(source).is_dir() else Path(path).parent
                yield path, path if "://" in path else Path(path).relative_to(folder).as_posix()
        except GroundingError as error:
            failures.append({"image": source, "error": str(error)})
            _say(str(error))


class _Names:
    """Paths in the output folder: one for each picture, even where stems repeat, and no input's."""

    def __init__(self, folder: Path, inputs: list[str]) -> None:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"--out {folder} is a file, expected a folder to write to")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._taken = {Path(path).resolve() for path in inputs}

    def new(self, source: str) -> Path:
        """Returns `<stem>.jpg`, or `<stem>_2.jpg` and so on where that is taken in this run."""
        stem = Path(urlsplit(source).path if "://" in source else source).stem or "image"
        path, count = self._folder / f"{stem}.jpg", 1
        while path.resolve() in self._taken:
            count += 1
            path = self._folder / f"{stem}_{count}.jpg"
        self._taken.add(path.resolve())
        return path


def _progress(total: int, *, quiet: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit="image", disable=quiet or total < 2, file=sys.stderr)


def _say(message: str, progress: Any = None) -> None:
    text = f"grounding-sdk: {message}"
    if progress is None:
        print(text, file=sys.stderr)
    else:
        progress.write(text, file=sys.stderr)


def _summary(out: Path, done: list[dict[str, Any]], failures: list[dict[str, str]]) -> None:
    for entry in done if len(done) <= 20 else []:
        found = ", ".join(f"{o['label']} {o['score']:.2f}" for o in entry["objects"]) or "nothing"
        print(f"{entry['picture']}: {found}")
    objects = sum(len(entry["objects"]) for entry in done)
    print(f"{len(done)} pictures, {objects} objects, written to {out}")
    if failures:
        print(f"{len(failures)} failed:", file=sys.stderr)
        for failure in failures:
            print(f"  {failure['image']}: {failure['error']}", file=sys.stderr)
