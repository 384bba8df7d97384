"""`grounding-sdk models`: what can be asked for by name, and what of it is here. No network."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "models",
        help="list the models by name, with licence, size and where their weights are",
        description="Lists the models that can be asked for by name. Never asks the network.",
    )
    parser.add_argument("--kind", choices=("detector", "segmenter"), help="only this kind")
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    kinds = [args.kind] if args.kind else ["detector", "segmenter"]
    rows = [row for kind in kinds for row in _rows(kind)]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = [("NAME", "KIND", "LICENCE", "SIZE", "EXTRA", "WEIGHTS")]
    for row in rows:
        extra = row["extra"] or "-"
        if row["missing_modules"]:
            extra += " (not installed)"
        size = f"{row['megabytes']:,} MB" if row["megabytes"] else "-"
        where = row["path"] if row["weights"] == "folder" else row["weights"]
        table.append((row["name"], row["kind"], row["licence"] or "-", size, extra, where))
    print_table(table)
    return 0


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Prints rows in columns as wide as they need."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _rows(kind: str) -> list[dict[str, Any]]:
    from grounding_sdk.models import catalog, registry, store

    rows = []
    for name in registry.model_names(kind):
        row: dict[str, Any] = {"name": name, "kind": kind, "licence": None, "megabytes": None}
        row |= {"extra": None, "missing_modules": [], "source": None}
        row |= {"weights": "of its own", "path": None, "note": ""}
        info = next((info for info in catalog.models(kind) if info.name == name), None)
        if info is not None:
            search = store.find(info)
            row |= {
                "licence": info.licence,
                "megabytes": store.megabytes(info),
                "extra": info.extra,
                "missing_modules": registry.missing_modules(info),
                "source": info.source,
                "weights": search.place,
                "path": str(search.path) if search.path else None,
                "note": info.note,
            }
        rows.append(row)
    return rows
