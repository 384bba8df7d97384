from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from weights_on_disk import isolate, write_embedded, write_hub_cache, write_model

from grounding_sdk.cli import main
from grounding_sdk.models import catalog, store

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    monkeypatch.setattr(store, "embedded_folder", lambda: tmp_path / "embedded")
    return tmp_path


def listed(capsys, *args):
    assert main(["models", *args, "--json"]) == 0
    return {(row["kind"], row["name"]): row for row in json.loads(capsys.readouterr().out)}


def test_every_model_is_listed_with_what_is_known_of_it(capsys):
    rows = listed(capsys)
    assert {(info.kind, info.name) for info in catalog.models()} <= set(rows)
    row = rows["detector", "grounding-dino:tiny"]
    assert row["licence"] == "Apache-2.0"
    assert row["megabytes"] == 689
    assert row["source"] == "IDEA-Research/grounding-dino-tiny"
    assert row["weights"] == "missing"
    assert ("segmenter", "fake") in rows


def test_kind_leaves_out_the_other(capsys):
    assert {kind for kind, _ in listed(capsys, "--kind", "segmenter")} == {"segmenter"}


def test_it_says_where_the_weights_are(capsys, home, monkeypatch):
    write_embedded(home / "embedded")
    snapshot = write_hub_cache(home / "hub", "facebook/sam-vit-base")
    monkeypatch.setenv("GROUNDING_SDK_WEIGHTS", str(home / "chosen"))
    folder = write_model(home / "chosen" / "owlv2-base")
    rows = listed(capsys)
    assert rows["detector", "mini"]["weights"] == "embedded"
    assert rows["segmenter", "sam:vit-b"]["path"] == str(snapshot)
    assert rows["segmenter", "sam:vit-b"]["weights"] == "cache"
    assert rows["detector", "owlv2:base"]["path"] == str(folder)

    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "LICENCE", "SIZE", "EXTRA", "WEIGHTS"]
    assert any(line.startswith("owlv2:base ") and str(folder) in line for line in lines)
    assert len({line.index("  segmenter ") for line in lines if "  segmenter " in line}) == 1


def test_a_damaged_cache_does_not_hide_the_rest(capsys, home):
    snapshot = write_hub_cache(home / "hub", "facebook/sam-vit-base")
    (snapshot / "model.safetensors.index.json").write_text("<html>")
    assert listed(capsys)["segmenter", "sam:vit-b"]["weights"] == "missing"


def run(code, *args):
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_listing_loads_nothing_heavy():
    code = (
        "import sys; from grounding_sdk.cli import main; code = main(['models']);"
        "heavy = {'torch', 'transformers', 'cv2', 'supervision'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_early_is_no_error():
    code = (
        "import os, sys; from grounding_sdk.cli import main; r, w = os.pipe(); os.close(r);"
        "os.dup2(w, 1); sys.exit(main(['models']))"
    )
    done = run(code)
    assert (done.returncode, done.stderr) == (141, "")


def test_version_and_module(capsys):
    done = subprocess.run(
        [sys.executable, "-m", "grounding_sdk", "--version"],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    from grounding_sdk import __version__

    assert done.stdout == f"grounding-sdk {__version__}\n"


@pytest.mark.parametrize("args", [[], ["nix"], ["models", "--kind", "cat"], ["weights"]])
def test_usage_errors_exit_with_2(args, capsys):
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert "usage: grounding-sdk" in capsys.readouterr().err


def test_an_interrupt_is_told_apart(monkeypatch, capsys):
    def interrupted(info):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "find", interrupted)
    assert main(["models"]) == 130
    assert "interrupted" in capsys.readouterr().err
