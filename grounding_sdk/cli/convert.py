"""`grounding-sdk convert`: a model's encoder as a file for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "convert",
        help="write a model's image encoder as ONNX or OpenVINO, and check it",
        description="Writes the part of a model that sees the picture (of mini, OWL-ViT, OWLv2 or "
        "SAM), reads the file again, runs it on a drawn picture and says how far it is from torch.",
    )
    parser.add_argument("model", metavar="MODEL", help="a name, a folder or a checkpoint")
    parser.add_argument("out", type=Path, metavar="DIR", help="where to")
    parser.add_argument(
        "--to", choices=("onnx", "openvino"), default="onnx", help="default: %(default)s"
    )
    parser.add_argument("--offline", action="store_true", default=None, help="never ask the hub")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    from grounding_sdk.models.conversion import FILES, convert

    differences = convert(_model(args.model, args.offline), args.out, args.to)
    print(f"{args.out / FILES[args.to]} written; against torch, in parts of the largest number:")
    for name, difference in differences.items():
        print(f"{name}: {difference:.1e}")
    return 0


def _model(name: str, offline: bool | None) -> Any:
    from grounding_sdk.errors import UnknownModelError
    from grounding_sdk.models.registry import load_detector, load_segmenter

    try:
        return load_detector(name, device="cpu", offline=offline)
    except UnknownModelError:
        return load_segmenter(name, device="cpu", offline=offline)
