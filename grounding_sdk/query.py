"""What is asked: phrases and the labels that they count as.

A list of names, a dot-separated prompt, a mapping from phrase to label and a ready-made `Query`
all become one `Query`, which every detector understands:

>>> Query.of("a dog . red car").texts
('a dog', 'red car')
>>> Query.of({"person": "human", "pedestrian": "human", "dog": "dog"}).labels
('human', 'dog')
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import TypeAlias

from grounding_sdk.errors import QueryError

MAX_PHRASE_CHARS = 1000  # far beyond any text encoder's limit; a guard against pasted files
MAX_PHRASES = 100_000

# Dots and commas inside numbers ("2.5 mm") and dots of abbreviations ("u.s. flag") belong to the
# phrase. All others separate phrases, and so do semicolons and line breaks.
_PHRASE = re.compile(r"(?:\d[.,](?=\d)|\b(?:[^\W\d_]\.){2,}|[^.,;\n])+")


@dataclass(frozen=True)
class Phrase:
    """A piece of text to look for.

    Attributes:
        text: The words, whitespace collapsed.
        label: The class that a hit counts as; several phrases may share one. The text itself
            unless given.
        threshold: Lowest score of a hit, in [0, 1]; None leaves it to the detector.
        span: Start and end of the text in `Query.source`, where it came from one.

    Raises:
        QueryError: If the text holds no letter or digit, is too long, or a field has a wrong type.
    """

    text: str
    label: str = ""
    threshold: float | None = None
    span: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _clean(self.text, "a phrase"))
        label = _clean(self.label, "a label") if self.label != "" else self.text
        object.__setattr__(self, "label", label)
        if self.threshold is not None:
            object.__setattr__(self, "threshold", check_threshold(self.threshold))


@dataclass(frozen=True)
class Query:
    """All that is asked of one image, in the order in which it was asked.

    Attributes:
        phrases: At least one phrase; no text twice.
        source: The prompt that the phrases' spans index, if there was one.

    Raises:
        QueryError: If there is no phrase, or two phrases have the same text.
    """

    phrases: tuple[Phrase, ...]
    source: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrases", tuple(self.phrases))
        if not self.phrases:
            raise QueryError(
                "the query is empty: expected at least one phrase, such as 'dog' or 'dog . red car'"
            )
        seen: dict[str, str] = {}
        for phrase in self.phrases:
            if seen.setdefault(phrase.text, phrase.label) != phrase.label:
                raise QueryError(
                    f"the phrase {phrase.text!r} is asked twice, with the labels "
                    f"{seen[phrase.text]!r} and {phrase.label!r}: give it one"
                )
        if len(seen) < len(self.phrases):
            raise QueryError("a phrase is asked twice: build the query with Query.of")

    @classmethod
    def of(cls, asked: QueryLike) -> Query:
        """Makes a query from whatever form the question has.

        Args:
            asked: A prompt whose phrases are separated by dots, commas, semicolons or line breaks;
                a list of texts or `Phrase`s (each taken whole, dots and all); a mapping from text
                to label; one `Phrase`; or a `Query`, returned as it is. Repeats are dropped.

        Raises:
            QueryError: If no phrase can be made of it.

        >>> [p.span for p in Query.of("a dog. red car.").phrases]
        [(0, 5), (7, 14)]
        >>> Query.of("u.s. flag . 2.5 mm screw").texts
        ('u.s. flag', '2.5 mm screw')
        """
        if isinstance(asked, Query):
            return asked
        if isinstance(asked, Phrase):
            return cls((asked,))
        if isinstance(asked, str):
            return cls(_unique(_split(asked)), source=asked)
        if isinstance(asked, Mapping):
            return cls(_unique(Phrase(text, _given(label)) for text, label in asked.items()))
        if isinstance(asked, Iterable) and not isinstance(asked, bytes | bytearray | memoryview):
            return cls(_unique(p if isinstance(p, Phrase) else Phrase(p) for p in asked))
        raise QueryError(
            f"expected a prompt, a list of phrases or a mapping from phrase to label, "
            f"got {type(asked).__name__}"
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The phrases' texts; `phrase_id` of a detection indexes them."""
        return tuple(phrase.text for phrase in self.phrases)

    @property
    def labels(self) -> tuple[str, ...]:
        """The distinct labels, in order of first use; `class_id` of a detection indexes them."""
        return tuple(dict.fromkeys(phrase.label for phrase in self.phrases))

    def with_threshold(self, default: float | None) -> Query:
        """Gives `default` to every phrase that has no threshold of its own."""
        if default is None:
            return self
        filled = (p if p.threshold is not None else replace(p, threshold=default) for p in self)
        return replace(self, phrases=tuple(filled))

    def __iter__(self) -> Iterator[Phrase]:
        return iter(self.phrases)

    def __len__(self) -> int:
        return len(self.phrases)

    def __str__(self) -> str:
        return " . ".join(p.text + (f" -> {p.label}" if p.label != p.text else "") for p in self)


def check_threshold(value: float) -> float:
    """Returns a score threshold as a float.

    Raises:
        QueryError: If it is not a number in [0, 1].

    >>> check_threshold(0.3)
    0.3
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise QueryError(f"expected a threshold between 0 and 1, got {value!r}")
    return float(value)


def _split(prompt: str) -> Iterator[Phrase]:
    for match in _PHRASE.finditer(prompt):
        piece = match.group()
        if any(char.isalnum() for char in piece):
            start = match.start() + len(piece) - len(piece.lstrip())
            yield Phrase(piece, span=(start, start + len(piece.strip())))


def _unique(phrases: Iterable[Phrase]) -> tuple[Phrase, ...]:
    first: dict[tuple[str, str, float | None], Phrase] = {}
    for phrase in phrases:
        first.setdefault((phrase.text, phrase.label, phrase.threshold), phrase)
        if len(first) > MAX_PHRASES:
            raise QueryError(f"more than {MAX_PHRASES:,} phrases: ask for fewer at a time")
    return tuple(first.values())


def _given(label: object) -> str:
    if label == "":
        raise QueryError("a label is empty: give each phrase the class that it counts as")
    return label  # type: ignore[return-value]  # Phrase checks the type


def _clean(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise QueryError(f"expected {what} as a string, got {type(text).__name__}: {text!r:.80}")
    text = " ".join(text.split())
    if len(text) > MAX_PHRASE_CHARS:
        raise QueryError(
            f"{what} has {len(text):,} characters, at most {MAX_PHRASE_CHARS:,} are taken: "
            f"separate phrases by dots ('dog . red car') or pass a list"
        )
    if not any(char.isalnum() for char in text):
        raise QueryError(f"expected {what} with at least one letter or digit, got {text!r:.80}")
    if not text.isprintable():
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text


QueryLike: TypeAlias = str | Phrase | Query | Mapping[str, str] | Iterable[str | Phrase]
