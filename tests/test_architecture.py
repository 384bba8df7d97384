"""The house rules that a test can keep: which way imports run, what an import costs, its size."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import grounding_sdk

PACKAGE = Path(grounding_sdk.__file__).parent

# A module may import only from its own floor or from those below; side rooms see only the nouns,
# and evaluation also words.
FLOORS = [
    {"errors", "__version__"},
    {"query", "target", "evidence", "image", "detections", "sources", "files"},
    {"grounding"},
    {"text"},
    {"models"},
    {"stages"},
    {"pipeline"},
    {"grounder"},
    {"labeling", "benchmark"},
    {"cli", "__main__"},
]
SIDE_ROOMS = {"viz", "formats", "evaluation"}
NOUNS = {"errors", "query", "target", "evidence", "image", "detections", "files", "grounding"}

CORE = (
    "query.py grounding.py models/ports.py pipeline.py stages/base.py stages/detect.py grounder.py"
).split()


def rooms():
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in ("__init__", "weights"):
            yield path, room


def imported_rooms(path):
    """Rooms of the package that a file imports when it is loaded, not inside its functions."""
    for node in ast.parse(path.read_text()).body:
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module == "grounding_sdk":
                names = [f"grounding_sdk.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (n.split(".")[1] for n in names if n.startswith("grounding_sdk."))


def allowed(room):
    if room in SIDE_ROOMS:
        return NOUNS | SIDE_ROOMS | ({"text"} if room == "evaluation" else set())
    floor = next(i for i, floor in enumerate(FLOORS) if room in floor)
    below = set().union(*FLOORS[: floor + 1])
    return below | SIDE_ROOMS if floor > 3 else below


@pytest.mark.parametrize("path, room", [pytest.param(*x, id=str(x[0].name)) for x in rooms()])
def test_imports_run_one_way(path, room):
    assert set(imported_rooms(path)) <= allowed(room), path


def test_public_names_are_those_listed_and_all_exist():
    assert sorted(grounding_sdk.__all__) == grounding_sdk.__all__
    assert sorted(grounding_sdk._HOME_OF) == grounding_sdk.__all__
    for name in grounding_sdk.__all__:
        assert getattr(grounding_sdk, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Grouder'"):
        grounding_sdk.Grouder  # noqa: B018


def test_importing_the_package_is_cheap_and_silent():
    code = (
        "import sys, grounding_sdk; from grounding_sdk import Query; Query.of('dog');"
        "print([m for m in ('torch', 'transformers', 'cv2', 'supervision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_core_is_read_in_an_hour():
    lines = sum(len((PACKAGE / name).read_text().splitlines()) for name in CORE)
    assert lines < 1200, lines
