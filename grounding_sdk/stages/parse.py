"""Reads the text of a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from grounding_sdk.detections import empty_detections
from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding
from grounding_sdk.query import Phrase, Query

READERS: dict[str, Callable[[str], Query]] = {
    "phrases": Query.of,
    "whole": lambda text: Query((Phrase(text),), source=text),
}


@dataclass(frozen=True)
class Parse:
    """Reads the prompt that a query came from; queries made of lists stay as they are.

    Attributes:
        reader: "phrases" splits the prompt at dots, commas, semicolons and line breaks; "whole"
            takes it as a single phrase.
    """

    reader: str = "phrases"

    name: ClassVar[str] = "parse"
    needs: ClassVar[tuple[str, ...]] = ()
    adds: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.reader not in READERS:
            raise ConfigError(f"no reader is called {self.reader!r}; there are {sorted(READERS)}")

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Replaces each query that has a source text; detections start anew with it."""
        return [self._read(item) for item in items]

    def _read(self, item: Grounding) -> Grounding:
        if item.query.source is None:
            return item
        query = READERS[self.reader](item.query.source)
        if query == item.query:
            return item
        return replace(item, query=query, detections=empty_detections(query))
