"""What is asked: phrases, the labels that they count as, and what is demanded beyond them.

A list of names, a dot-separated prompt, a mapping from phrase to label and a ready-made `Query`
all become one `Query`, which every detector understands:

>>> Query.of("a dog . red car").texts
('a dog', 'red car')
>>> Query.of({"person": "human", "pedestrian": "human", "dog": "dog"}).labels
('human', 'dog')

`grounding_sdk.text` makes queries of captions, referring expressions and ontologies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from grounding_sdk.errors import QueryError
from grounding_sdk.target import Target

MAX_PHRASE_CHARS = 1000  # far beyond any text encoder's limit; a guard against pasted files
MAX_PHRASES = 100_000

# Dots and commas inside numbers ("2.5 mm") and dots of abbreviations ("u.s. flag") belong to the
# phrase. All others separate phrases, and so do semicolons and line breaks.
_PHRASE = re.compile(r"(?:\d[.,](?=\d)|\b(?:[^\W\d_]\.){2,}|[^.,;\n])+")

Role: TypeAlias = Literal["find", "part", "exclude"]


@dataclass(frozen=True)
class Phrase:
    """A piece of text to look for.

    Attributes:
        text: The words, whitespace collapsed.
        label: The class that a hit counts as; several phrases may share one. The text itself
            unless given. Of an excluded phrase: the class that a hit counts against, or "" for
            all classes.
        threshold: Lowest score of a hit, in [0, 1]; None leaves it to the detector.
        span: Start and end of the text in `Query.source`, where it came from one.
        role: "find" for what is wanted; "part" for what only serves the query's targets, as their
            candidates or anchors; "exclude" for what must not be taken for what is wanted.

    Raises:
        QueryError: If the text holds no letter or digit, is too long, or a field has a wrong type.
    """

    text: str
    label: str = ""
    threshold: float | None = None
    span: tuple[int, int] | None = None
    role: Role = "find"

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _clean(self.text, "a phrase"))
        if self.role not in get_args(Role):
            raise QueryError(f"expected a role out of {get_args(Role)}, got {self.role!r}")
        unsaid = "" if self.role == "exclude" else self.text
        label = _clean(self.label, "a label") if self.label != "" else unsaid
        object.__setattr__(self, "label", label)
        if self.threshold is not None:
            object.__setattr__(self, "threshold", check_threshold(self.threshold))


@dataclass(frozen=True)
class LabelRule:
    """What holds for all detections of one label.

    Attributes:
        label: The label.
        nms: Overlap (IoU) from which two of them count as one; None leaves it to `Merge`.
        max_count: How many there can be in a picture, best first; None for any number.

    Raises:
        QueryError: If a number is out of range.
    """

    label: str
    nms: float | None = None
    max_count: int | None = None

    def __post_init__(self) -> None:
        if self.nms is not None and not (_is_number(self.nms) and 0 < self.nms <= 1):
            raise QueryError(
                f"expected nms of {self.label!r} above 0 and up to 1, got {self.nms!r}"
            )
        object.__setattr__(self, "nms", None if self.nms is None else float(self.nms))
        whole = isinstance(self.max_count, int) and not isinstance(self.max_count, bool)
        if self.max_count is not None and not (whole and self.max_count >= 1):
            raise QueryError(
                f"expected max_count of {self.label!r} as a whole number from 1, "
                f"got {self.max_count!r}"
            )


@dataclass(frozen=True)
class Query:
    """All that is asked of one image, in the order in which it was asked.

    Attributes:
        phrases: What a detector is asked for; something is to be found; no text twice, except
            that an excluded text may also be looked for, or excluded for several labels.
        source: The prompt that the spans index, if there was one.
        targets: Referring expressions: which of their phrase's detections are meant.
        rules: For some labels, what holds for their detections.
        templates: Sentences with "{}" for the phrase, whose scores a model averages where it gains
            from that (OWL-ViT, OWLv2); none for the phrases as they are.

    Raises:
        QueryError: If nothing is to be found, two phrases have the same text, or a target or rule
            speaks of what no phrase does.
    """

    phrases: tuple[Phrase, ...]
    source: str | None = None
    targets: tuple[Target, ...] = ()
    rules: tuple[LabelRule, ...] = ()
    templates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("phrases", "targets", "rules", "templates"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if not self.targets and not any(phrase.role == "find" for phrase in self.phrases):
            raise QueryError(
                "the query is empty: expected at least one phrase, such as 'dog' or 'dog . red car'"
            )
        _check_phrases(self.phrases)
        _check_targets(self.targets, self.phrases)
        labels, ruled = set(self.labels), set[str]()
        for rule in self.rules:
            if rule.label not in labels:
                raise QueryError(f"a rule speaks of {rule.label!r}, which is none of {self.labels}")
            if rule.label in ruled:
                raise QueryError(f"two rules speak of {rule.label!r}: make one of them")
            ruled.add(rule.label)
        for template in self.templates:
            check_template(template)

    @classmethod
    def of(cls, asked: QueryLike) -> Query:
        """Makes a query from whatever form the question has.

        Args:
            asked: A prompt whose phrases are separated by dots, commas, semicolons or line breaks;
                a list of texts or `Phrase`s (each taken whole, dots and all); a mapping from text
                to label; one `Phrase`; an ontology, {"labels": {...}}; a `Path` for `load`; or a
                `Query`, returned as it is. Repeats are dropped.

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
        if isinstance(asked, Path):
            return cls.load(asked)
        if isinstance(asked, Mapping):
            if any(isinstance(asked.get(key), Mapping | list) for key in ("labels", "phrases")):
                return cls.from_dict(asked)
            return cls(_unique(Phrase(text, _given(label)) for text, label in asked.items()))
        if isinstance(asked, Iterable) and not isinstance(asked, bytes | bytearray | memoryview):
            return cls(_unique(p if isinstance(p, Phrase) else Phrase(p) for p in asked))
        raise QueryError(
            f"expected a prompt, a list of phrases or a mapping from phrase to label, "
            f"got {type(asked).__name__}"
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Query:
        """Makes a query of what `to_dict` gave, or of an ontology; see `grounding_sdk.text`.

        Raises:
            QueryError: If something in it is not understood; says where.
        """
        from grounding_sdk.text import query_file

        return query_file.query_from_dict(data)

    @classmethod
    def load(cls, path: str | Path) -> Query:
        """Reads what `save` wrote, or an ontology, in YAML or JSON.

        Raises:
            QueryError: If the file cannot be read or understood; names file, line and column.
        """
        from grounding_sdk.text import query_file

        return query_file.load_query(path)

    def to_dict(self) -> dict[str, Any]:
        """Returns the query as plain JSON types, without what has its default."""
        from grounding_sdk.text import query_file

        return query_file.query_to_dict(self)

    def save(self, path: str | Path) -> Path:
        """Writes the query as .yaml, .yml or .json, by the path's suffix; returns the path."""
        from grounding_sdk.text import query_file

        return query_file.save_query(self, path)

    @property
    def texts(self) -> tuple[str, ...]:
        """The phrases' texts; `phrase_id` of a detection indexes them."""
        return tuple(phrase.text for phrase in self.phrases)

    @property
    def labels(self) -> tuple[str, ...]:
        """The distinct labels; `class_id` of a detection indexes them.

        First those that are wanted, in order of first use, then those of parts.
        """
        parts = (p.label for p in self.phrases if p.role == "part")
        return tuple(dict.fromkeys([*self.wanted, *parts]))

    @property
    def wanted(self) -> tuple[str, ...]:
        """The labels that a result can have: those of the phrases to find and of the targets."""
        found = [p.label for p in self.phrases if p.role == "find"]
        return tuple(dict.fromkeys([*found, *(target.label for target in self.targets)]))

    def with_threshold(self, default: float | None) -> Query:
        """Gives `default` to every phrase to be found that has no threshold of its own."""
        if default is None:
            return self
        filled = (
            p if p.threshold is not None or p.role == "exclude" else replace(p, threshold=default)
            for p in self
        )
        return replace(self, phrases=tuple(filled))

    def __iter__(self) -> Iterator[Phrase]:
        return iter(self.phrases)

    def __len__(self) -> int:
        return len(self.phrases)

    def __str__(self) -> str:
        return " . ".join(
            [_phrase_text(p) for p in self if p.role != "part"]
            + [_counted(target) for target in self.targets]
        )


def check_threshold(value: float) -> float:
    """Returns a score threshold as a float.

    Raises:
        QueryError: If it is not a number in [0, 1].

    >>> check_threshold(0.3)
    0.3
    """
    if not _is_number(value) or not 0 <= value <= 1:
        raise QueryError(f"expected a threshold between 0 and 1, got {value!r}")
    return float(value)


def check_template(template: str) -> str:
    """Returns a template.

    Raises:
        QueryError: If it is no string with one "{}" in it.
    """
    if not isinstance(template, str) or template.count("{}") != 1:
        raise QueryError(f"expected a template with one '{{}}' in it, got {template!r}")
    return template


def _check_phrases(phrases: tuple[Phrase, ...]) -> None:
    asked: dict[str, Phrase] = {}
    excluded: set[tuple[str, str]] = set()
    for phrase in phrases:
        if phrase.role == "exclude":
            again = (phrase.text, phrase.label) in excluded
            excluded.add((phrase.text, phrase.label))
        else:
            first = asked.setdefault(phrase.text, phrase)
            if first.label != phrase.label:
                raise QueryError(
                    f"the phrase {phrase.text!r} is asked twice, with the labels "
                    f"{first.label!r} and {phrase.label!r}: give it one"
                )
            again = first is not phrase
        if again:
            raise QueryError(
                f"the phrase {phrase.text!r} is asked twice: build the query with Query.of"
            )
    for text, label in excluded:
        if text in asked and label in ("", asked[text].label) and asked[text].role == "find":
            raise QueryError(
                f"{text!r} is both asked for and excluded: leave one out, or say which label it "
                f"is excluded from"
            )


def _check_targets(targets: tuple[Target, ...], phrases: tuple[Phrase, ...]) -> None:
    texts = {phrase.text for phrase in phrases if phrase.role != "exclude"}
    for target in targets:
        for part in target.walk():
            if part.phrase not in texts:
                raise QueryError(
                    f"a target speaks of {part.phrase!r}, which is no phrase of the query: add "
                    f"Phrase({part.phrase!r}, role='part')"
                )


def _phrase_text(phrase: Phrase) -> str:
    if phrase.role == "exclude":
        return f"not {phrase.text}" + (f" for {phrase.label}" if phrase.label else "")
    return phrase.text + (f" -> {phrase.label}" if phrase.label != phrase.text else "")


def _counted(target: Target) -> str:
    number = "all" if target.count is None else str(target.count)
    label = f" -> {target.label}" if target.label != target.phrase else ""
    return f"{number} {target}{label}"


def _split(prompt: str) -> Iterator[Phrase]:
    for match in _PHRASE.finditer(prompt):
        piece = match.group()
        if any(char.isalnum() for char in piece):
            start = match.start() + len(piece) - len(piece.lstrip())
            yield Phrase(piece, span=(start, start + len(piece.strip())))


def _unique(phrases: Iterable[Phrase]) -> tuple[Phrase, ...]:
    first: dict[tuple[object, ...], Phrase] = {}
    for phrase in phrases:
        key = (phrase.text, phrase.label, phrase.threshold, phrase.role == "exclude")
        first.setdefault(key, phrase)
        if len(first) > MAX_PHRASES:
            raise QueryError(f"more than {MAX_PHRASES:,} phrases: ask for fewer at a time")
    return tuple(first.values())


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


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


QueryLike: TypeAlias = str | Phrase | Query | Path | Mapping[str, Any] | Iterable[str | Phrase]
