"""The code blocks of README.md and docs/ run, in order, page by page."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

import grounding_sdk

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(<!-- not run[^>]*-->\n)?^```(python|console)\n(.*?)^```", re.M | re.S)


def blocks(page):
    for skipped, language, code in BLOCK.findall(page.read_text()):
        if not skipped:
            yield language, code


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(blocks(p))], ids=lambda p: str(p.relative_to(ROOT))
)
def test_code_blocks_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "demos", tmp_path / "demos")
    scope: dict[str, object] = {"__name__": "__docs__"}
    for language, code in blocks(page):
        if language == "python":
            exec(compile(code, str(page), "exec"), scope)
        else:
            run_console(code)


def run_console(block):
    """Runs the lines that start with `$ grounding-sdk` through the command line's entry."""
    from grounding_sdk.cli import main

    for line in block.replace("\\\n", " ").splitlines():
        command = line.removeprefix("$ ")
        if line.startswith("$ grounding-sdk "):
            assert main(shlex.split(command)[1:]) == 0, command


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r"^pip install .*pytest.*$", (ROOT / "README.md").read_text(), re.M)
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text()


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_reference_lists_every_public_name():
    page = (ROOT / "docs" / "reference.md").read_text()
    missing = [name for name in grounding_sdk.__all__ if f"`{name}" not in page]
    assert not missing
