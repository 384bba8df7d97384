"""How well the rules agree with spaCy on the noun phrases of captions.

    python -m grounding_sdk.text.agreement captions.json --show 20

reads COCO JSON (its `captions` list, or `annotations` that have a `caption`) and compares the exact
spans of the phrases that could be seen; needs the extra `text`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grounding_sdk.errors import GroundingError, QueryError
from grounding_sdk.text.captions import is_visual
from grounding_sdk.text.nouns import NounParser, load_noun_parser


@dataclass(frozen=True)
class Agreement:
    """Counts of phrases; spaCy's are taken for the truth.

    Attributes:
        captions: Number of captions compared.
        both: Phrases whose span both parsers found.
        rules: Phrases that the rules found.
        spacy: Phrases that spaCy found.
        differences: For each caption where they differ: it, the texts that only the rules found,
            and those that only spaCy found.
    """

    captions: int
    both: int
    rules: int
    spacy: int
    differences: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]

    @property
    def precision(self) -> float:
        """Share of the rules' phrases that spaCy found too; 1 if there are none."""
        return self.both / self.rules if self.rules else 1.0

    @property
    def recall(self) -> float:
        """Share of spaCy's phrases that the rules found too; 1 if there are none."""
        return self.both / self.spacy if self.spacy else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.both / (self.rules + self.spacy) if self.rules + self.spacy else 1.0


def measure(captions: Iterable[str], rules: NounParser, spacy: NounParser) -> Agreement:
    """Compares two parsers on the visible phrases of captions, by exact spans."""
    asked = both = by_rules = by_spacy = 0
    differences = []
    for caption in captions:
        ours, theirs = (
            {p.span: p.text for p in parse(caption) if is_visual(p)} for parse in (rules, spacy)
        )
        asked += 1
        both += len(ours.keys() & theirs.keys())
        by_rules += len(ours)
        by_spacy += len(theirs)
        if ours.keys() != theirs.keys():
            only_ours = tuple(ours[span] for span in ours if span not in theirs)
            only_theirs = tuple(theirs[span] for span in theirs if span not in ours)
            differences.append((caption, only_ours, only_theirs))
    return Agreement(asked, both, by_rules, by_spacy, tuple(differences))


def read_captions(path: Path) -> list[str]:
    """Reads the captions of a COCO JSON file, in order.

    Raises:
        QueryError: If the file has none.
    """
    try:
        coco = json.loads(path.read_text(encoding="utf-8"))
        records = coco.get("captions") or coco.get("annotations") or []
        captions = [record["caption"] for record in records if "caption" in record]
    except (ValueError, AttributeError, TypeError):
        captions = []
    if not captions:
        raise QueryError(
            f"{path} has no captions: expected COCO JSON, with a list 'captions' or 'annotations' "
            f"of records that have a 'caption'"
        )
    return captions


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m grounding_sdk.text.agreement", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("file", type=Path, help="COCO JSON with captions")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="list N differences")
    asked = parser.parse_args(arguments)
    try:
        captions = read_captions(asked.file)
        result = measure(captions, load_noun_parser("rules"), load_noun_parser("spacy"))
    except (GroundingError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    lines = [
        f"{result.captions} captions; visible phrases: {result.rules} by rules, "
        f"{result.spacy} by spaCy, {result.both} the same",
        f"precision {result.precision:.3f}  recall {result.recall:.3f}  F1 {result.f1:.3f}",
    ]
    for caption, ours, theirs in result.differences[: asked.show]:
        lines += ["", caption, f"  rules only: {list(ours)}", f"  spaCy only: {list(theirs)}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
