from __future__ import annotations

import runpy
from pathlib import Path

import PIL.Image
import pytest

DEMOS = sorted((Path(__file__).parent.parent / "demos").glob("*.py"))


@pytest.mark.parametrize("script", DEMOS, ids=lambda path: path.stem)
def test_a_demo_runs_and_leaves_a_picture(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(script)])
    runpy.run_path(str(script), run_name="__main__")
    pictures = list((tmp_path / "out").glob("*.jpg"))
    assert pictures
    for picture in pictures:
        assert min(PIL.Image.open(picture).size) > 100


def test_every_demo_and_picture_is_listed_with_its_licence():
    folder = DEMOS[0].parent
    listed = (folder / "README.md").read_text()
    assert all(f"`{script.name}`" in listed for script in DEMOS)
    pictures = (folder / "images" / "README.md").read_text()
    assert all(f"`{path.name}`" in pictures for path in (folder / "images").glob("*.jpg"))
