"""`grounding-sdk evaluate`: how good models and stages are, one module for each kind of answer."""

from __future__ import annotations

import argparse

from grounding_sdk.cli import evaluate_detection, evaluate_referring

MEASURES = (evaluate_detection, evaluate_referring)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the commands to the command line."""
    parser = subparsers.add_parser("evaluate", help="measure how good answers are on your pictures")
    measures = parser.add_subparsers(title="measures", metavar="MEASURE", required=True)
    for measure in MEASURES:
        measure.add_parser(measures)
