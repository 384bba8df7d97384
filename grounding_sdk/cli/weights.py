"""`grounding-sdk weights`: check what is here before a job starts, and fetch what is not."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grounding_sdk.cli.models import print_table
from grounding_sdk.errors import CorruptWeightsError, GroundingError

if TYPE_CHECKING:
    from grounding_sdk.models.catalog import ModelInfo


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the commands to the command line."""
    parser = subparsers.add_parser("weights", help="check which weights are here, or fetch some")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    check = actions.add_parser(
        "check",
        help="say what is here, what is missing and where it was looked for; no network",
        description="Verifies the sha256 of weights that are here, where one is known. Exit code "
        "1 if a model that is named is missing, or if any is damaged.",
    )
    check.add_argument("names", nargs="*", metavar="NAME", help="default: every model")
    check.add_argument("--json", action="store_true", help="print a JSON list")
    check.set_defaults(run=run_check)

    pull = actions.add_parser(
        "pull",
        help="download weights and verify them",
        description="Downloads weights and verifies them. With --to, the folder can be brought to "
        "a machine without network and be named there by GROUNDING_SDK_WEIGHTS.",
    )
    pull.add_argument("names", nargs="+", metavar="NAME", help="a model's name or hub id")
    pull.add_argument("--to", type=Path, metavar="DIR", help="default: the usual caches")
    pull.set_defaults(run=run_pull)


def run_check(args: argparse.Namespace) -> int:
    """Runs `weights check`."""
    reports = [_report(info) for info in _chosen(args.names)]
    if args.json:
        print(json.dumps(reports, indent=2))
    else:
        print_table([("NAME", "STATE", "WHERE"), *(_line(report) for report in reports)])
        for report in reports:
            if report["error"] or (args.names and report["looked"] and not report["path"]):
                print(f"\n{report['name']}: {report['state']}")
                for line in [report["error"]] if report["error"] else report["looked"]:
                    print(f"  - {line}")
    damaged = any(report["state"] == "damaged" for report in reports)
    missing = any(report["state"] == "missing" for report in reports)
    return 1 if damaged or (missing and args.names) else 0


def run_pull(args: argparse.Namespace) -> int:
    """Runs `weights pull`; a model that cannot be had does not keep the others back."""
    from grounding_sdk.models import store

    failed = 0
    for info in _chosen(args.names):
        try:
            print(f"{info.name}: {store.pull(info, args.to)}")
        except GroundingError as error:
            failed += 1
            print(f"grounding-sdk: {error}", file=sys.stderr)
    return 1 if failed else 0


def _chosen(names: list[str]) -> list[ModelInfo]:
    """The models that are named, or all, each set of weights once."""
    from grounding_sdk.models import catalog, registry

    infos = [registry.model_info(name) for name in names] or catalog.models()
    return list({(info.name, info.source): info for info in infos}.values())


def _report(info: ModelInfo) -> dict[str, Any]:
    from grounding_sdk.models import store

    search = store.find(info)
    report: dict[str, Any] = {
        "name": info.name,
        "state": "missing",
        "path": str(search.path) if search.path else None,
        "verified": [],
        "looked": list(search.looked),
        "error": None,
    }
    if search.path is None:
        return report
    try:
        return report | {"state": "here", "verified": store.verify(info, search.path)}
    except CorruptWeightsError as error:
        return report | {"state": "damaged", "error": str(error)}


def _line(report: dict[str, Any]) -> tuple[str, str, str]:
    state = report["state"]
    if state == "here":
        count = len(report["verified"])
        state = f"here, {count} sha256 verified" if count else "here, no sha256 known"
    return report["name"], state, report["path"] or "-"
