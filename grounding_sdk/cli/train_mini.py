"""`grounding-sdk train-mini`: train the embedded model, or adapt it to data of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from grounding_sdk.errors import ConfigError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "train-mini",
        help="train the embedded model, or adapt it to your own data",
        description="Trains as CONFIG says and writes the trained weights, a checkpoint and the "
        "curves into its `out`. Stopped, it goes on from the checkpoint when called again. "
        "docs/mini/training.md explains the configuration.",
    )
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="a YAML file")
    parser.add_argument(
        "--tiny",
        type=Path,
        metavar="DIR",
        help="in place of CONFIG: make a set of shapes and a configuration in DIR, and train on "
        "them for less than a minute",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    if (args.config is None) == (args.tiny is None):
        raise ConfigError("expected a configuration or --tiny DIR; docs/mini/training.md has both")
    path = args.config if args.config is not None else _tiny(args.tiny)

    from grounding_sdk.models.mini.config import TrainConfig
    from grounding_sdk.models.mini.train import train

    config = TrainConfig.read(path)
    folder = train(config, lambda line: print(line, flush=True))
    print(f"trained weights: {folder}")
    return 0


def _tiny(folder: Path) -> Path:
    """Makes the shapes, and a configuration that trains on them from the embedded weights."""
    import yaml

    from grounding_sdk.models.mini.shapes import write_shapes

    shapes = {"path": str(write_shapes(folder / "shapes")), "kind": "coco", "weight": 1.0}
    config = {
        "start": "mini",
        "out": str(folder / "run"),
        "size": 192,
        "slots": 48,
        "first": 24,
        "fresh": 1,
        "batch": 4,
        "rounds": 50,
        "rate": 1.0e-3,
        "sources": [shapes | {"exhaustive": True, "scale": [0.8, 1.3]}],
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
