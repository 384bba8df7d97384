from __future__ import annotations

import json

import pytest
from weights_on_disk import TENSORS, isolate, write_embedded, write_hub_cache

from grounding_sdk.cli import main
from grounding_sdk.models import store


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    monkeypatch.setattr(store, "embedded_folder", lambda: tmp_path / "embedded")
    return tmp_path


def test_check_verifies_what_is_here(home, capsys):
    write_embedded(home / "embedded")
    write_hub_cache(home / "hub", "facebook/sam-vit-base")
    assert main(["weights", "check", "mini", "sam:vit-b", "facebook/sam-vit-base"]) == 0
    out = capsys.readouterr().out
    assert out.count("here, 1 sha256 verified") == 2  # each set of weights once
    assert str(home / "embedded" / "mini") in out


def test_check_of_a_named_model_that_is_missing_says_where_it_looked(home, capsys):
    assert main(["weights", "check", "sam:vit-b"]) == 1
    out = capsys.readouterr().out
    assert "missing" in out
    assert str(home / "hub" / "models--facebook--sam-vit-base") in out
    assert "$GROUNDING_SDK_WEIGHTS (not set)" in out


def test_check_of_everything_fails_only_for_damage(home, capsys):
    write_embedded(home / "embedded")
    assert main(["weights", "check"]) == 0
    (home / "embedded" / "mini" / "vision.safetensors").write_bytes(TENSORS[:-1] + b"\x01")
    assert main(["weights", "check", "--json"]) == 1
    out = capsys.readouterr().out
    reports = {r["name"]: r for r in json.loads(out[out.index("\n[") :])}
    assert reports["mini"]["state"] == "damaged"
    assert "sha256" in reports["mini"]["error"]
    assert reports["owlv2:base"]["state"] == "missing"


@pytest.mark.parametrize("action", ["check", "pull"])
@pytest.mark.parametrize(
    "name, message", [("owlv3", "Did you mean"), ("fake", "brings its own weights")]
)
def test_names_that_have_no_weights_exit_with_2(action, name, message, capsys):
    assert main(["weights", action, name]) == 2
    assert message in capsys.readouterr().err


def test_pull_tries_each_and_reports_what_failed(monkeypatch, home, capsys):
    snapshot = write_hub_cache(home / "hub", "facebook/sam-vit-base")
    assert main(["weights", "pull", "mini", "owlv2", "sam:vit-b"]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"sam:vit-b: {snapshot}\n"
    assert "'mini' comes with the package" in printed.err
    assert "unreachable" in printed.err
    assert "Traceback" not in printed.err
