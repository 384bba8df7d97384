"""Lets `python -m grounding_sdk` stand for `grounding-sdk`."""

from grounding_sdk.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
