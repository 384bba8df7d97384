"""Reads the words of a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, cast

from grounding_sdk.detections import empty_detections
from grounding_sdk.errors import ConfigError, QueryError
from grounding_sdk.grounding import Grounding
from grounding_sdk.query import Phrase, Query
from grounding_sdk.text.captions import read_caption
from grounding_sdk.text.referring import read_phrases, read_prompt
from grounding_sdk.text.rewrite import Rewriter, load_rewriter, rewrite_query


def _whole(text: str) -> Query:
    return Query((Phrase(text),), source=text)


READERS: dict[str, Callable[[str], Query]] = {
    "auto": read_prompt,
    "referring": lambda text: read_prompt(text, referring=True),
    "caption": read_caption,
    "phrases": Query.of,
    "whole": _whole,
}


@dataclass(frozen=True)
class Parse:
    """Reads the prompt that a query came from, and the phrases of a query made of a list.

    Attributes:
        reader: How.

            - "auto": names separated by dots, commas, semicolons or line breaks, among them
              referring expressions ("the cup left of the laptop", "two dogs") and exclusions
              ("dog, not toy dog"); a bare noun means all that fit.
            - "referring": the same, but a bare noun means one thing ("left man in blue").
            - "caption": a sentence, whose nouns are looked for.
            - "phrases": as "auto" but without understanding: each piece goes to the detector as
              it is.
            - "whole": the prompt is a single phrase.
        rewriter: Gives names for what is asked by its use ("something to sit on"): "lexical", the
            "URL#MODEL" of a chat endpoint, or a `Rewriter`; None asks for the words as they are.

    Queries that were read before, or built by hand from a caption or with targets, stay as they
    are.
    """

    reader: str = "auto"
    rewriter: Rewriter | str | None = None

    name: ClassVar[str] = "parse"
    needs: ClassVar[tuple[str, ...]] = ()
    adds: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.reader not in READERS:
            raise ConfigError(f"no reader is called {self.reader!r}; there are {sorted(READERS)}")
        if self.rewriter is not None:
            object.__setattr__(self, "rewriter", load_rewriter(self.rewriter))

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Replaces each query that reading changes; detections start anew with it."""
        return [self._read(item) for item in items]

    def read(self, query: Query) -> Query:
        """Reads one query.

        Raises:
            QueryError: If nothing is asked for.
            RewriteError: If a rewriter that asks a server got no answer.
        """
        query = _read(query, self.reader)
        if self.rewriter is None:
            return query
        return rewrite_query(query, cast(Rewriter, self.rewriter))

    def _read(self, item: Grounding) -> Grounding:
        query = self.read(item.query)
        if query == item.query:
            return item
        return replace(item, query=query, detections=empty_detections(query))


@lru_cache(maxsize=64)  # a data set asks one query of every picture
def _read(query: Query, reader: str) -> Query:
    if query.source is not None:
        return READERS[reader](query.source) if _is_unread(query, query.source) else query
    if reader in ("auto", "referring") and not query.targets:
        return read_phrases(query, referring=reader == "referring")
    return query


def _is_unread(query: Query, source: str) -> bool:
    """Whether it is what its prompt gives without understanding: cut into pieces, or whole."""
    try:
        return query == (Query.of(source) if query.phrases[0].span else _whole(source))
    except QueryError:  # the source is longer than a prompt can be: a page with captions
        return False
