"""What `pip install .` puts on a machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("grounding_sdk", "weights", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy so that the checkout stays clean."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PARTS:
        path = ROOT / name
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--no-index", "-w", str(out), str(source)], check=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_carries_every_module_and_the_embedded_weights(wheel):
    names = set(wheel.namelist())
    modules = (p.relative_to(ROOT).as_posix() for p in (ROOT / "grounding_sdk").rglob("*.py"))
    assert set(modules) <= names
    manifest = json.loads(wheel.read("grounding_sdk/weights/manifest.json"))
    for name, known in manifest["models"]["mini"]["files"].items():
        assert wheel.getinfo(f"grounding_sdk/weights/{name}").file_size == known["bytes"]
    assert "grounding_sdk/weights/mini/MODEL_CARD.md" in names
    for name in ("page.html", "page.css", "page.js"):
        assert f"grounding_sdk/labeling/report_page/{name}" in names
    assert "grounding_sdk/py.typed" in names


def test_the_embedded_weights_stay_small():
    assert sum(p.stat().st_size for p in (ROOT / "weights").rglob("*") if p.is_file()) < 60e6
