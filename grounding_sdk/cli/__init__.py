"""The command line, one module a command.

A module has `add_parser`, which describes the command, and `run`, which imports what is heavy and
returns the exit code: 0 done, 1 done in part, 2 not understood or not possible.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from grounding_sdk import __version__
from grounding_sdk.cli import (
    bench,
    convert,
    evaluate,
    export,
    ground,
    label,
    models,
    review,
    train_mini,
    tune,
    weights,
)
from grounding_sdk.errors import GroundingError

REFUSED = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
READER_GONE = 141  # 128 + SIGPIPE, likewise


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The words after the program's name; those of this process unless given.

    Returns:
        The exit code.
    """
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except GroundingError as error:
        print(f"grounding-sdk: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("grounding-sdk: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # `| head` has seen enough. The interpreter would flush once more at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="grounding-sdk", description="Words in, pixels out.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    every = (
        ground,
        label,
        review,
        export,
        evaluate,
        tune,
        bench,
        models,
        convert,
        train_mini,
        weights,
    )
    for command in every:
        command.add_parser(commands)
    return parser
