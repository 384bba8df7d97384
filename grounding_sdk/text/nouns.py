"""Noun phrases of a text, with their spans: by rules here, or by spaCy where it is installed.

>>> [phrase.text for phrase in noun_phrases("A man in a red shirt holds two dogs.")]
['A man', 'a red shirt', 'two dogs']
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from grounding_sdk.errors import ConfigError
from grounding_sdk.text.lexicon import (
    ADJECTIVE_NOUNS,
    COMPOUNDS,
    COUNTS,
    DEGREES,
    DEMONSTRATIVES,
    NUMBERS,
    POSSESSIVES,
)
from grounding_sdk.text.plurals import PLURAL_ONLY, singular
from grounding_sdk.text.tagger import Tag, tag_words
from grounding_sdk.text.tokens import Token, tokenize

_NUMBERS = NUMBERS | COUNTS
_DEFINITE = DEMONSTRATIVES | POSSESSIVES | {"the", "both"}


@dataclass(frozen=True)
class NounPhrase:
    """A noun with what stands before it and belongs to it; phrases never nest.

    Attributes:
        text: The words as the source has them, article and all: `source[span[0]:span[1]]`.
        span: Where they stand.
        core: The text without article and number, as a detector wants it: "red cups" of "the two
            red cups".
        head: The noun in lower case; the whole of a compound ("fire hydrant").
        attributes: The adjectives and participles before the head, in lower case ("red", "parked").
        determiner: What it begins with, in lower case: "a", "the", "all the", "no", "her", or "".
        possessor: Whose it is, without the 's: "the man" of "the man's red hat", or "".
        count: How many, if a number says so: "two dogs", "both dogs", "a couple of dogs". One for
            "one dog" only: "a dog" may be any of several.
        definite: Whether one is meant that is known: "the dog", "this dog", "his dog", "Ann's dog".
    """

    text: str
    span: tuple[int, int]
    core: str
    head: str
    attributes: tuple[str, ...] = ()
    determiner: str = ""
    possessor: str = ""
    count: int | None = None
    definite: bool = False

    @property
    def head_word(self) -> str:
        """The last word of the head: "hydrant" of "fire hydrant"."""
        return self.head.rpartition(" ")[2]


class NounParser(Protocol):
    """What finds noun phrases."""

    def __call__(self, source: str, /) -> tuple[NounPhrase, ...]:
        """Finds the noun phrases of a text, in order; none overlap, pronouns are left out."""


def load_noun_parser(name: Literal["auto", "rules", "spacy"] = "auto") -> NounParser:
    """Returns a parser: the rules of this module, or spaCy's.

    Args:
        name: "rules" or "spacy"; "auto" takes spaCy where it and an English model are installed.

    Raises:
        ConfigError: If no parser has this name.
        MissingExtraError: If spaCy or its model is asked for and not installed.
    """
    if name == "rules":
        return noun_phrases
    if name not in ("auto", "spacy"):
        raise ConfigError(f"no noun parser is called {name!r}; there are 'auto', 'rules', 'spacy'")
    from grounding_sdk.text import spacy_nouns

    if name == "auto" and not spacy_nouns.is_installed():
        return noun_phrases
    return spacy_nouns.load()


def noun_phrases(source: str) -> tuple[NounPhrase, ...]:
    """Finds the noun phrases of a text by rules, without any download.

    The phrases are spaCy's base noun phrases where the rules see them: "a group" and "people" are
    two, "the man's hat" and "a red and white umbrella" one. Takes time linear in the length.

    >>> phrase, = noun_phrases("the two small fire hydrants")
    >>> phrase.head, phrase.attributes, phrase.determiner, phrase.count, phrase.definite
    ('fire hydrants', ('small',), 'the', 2, True)
    """
    tokens = tokenize(source)
    tags = tag_words([token.lower for token in tokens])
    chunks = [match.span() for match in _CHUNK.finditer(_encode(tokens, tags))]
    return assemble(source, [(tokens[start:end], tags[start:end]) for start, end in chunks])


def assemble(
    source: str, chunks: Iterable[tuple[Sequence[Token], Sequence[Tag]]]
) -> tuple[NounPhrase, ...]:
    """Makes phrases of chunks: the tokens and tags of each, its head noun last."""
    phrases: list[NounPhrase] = []
    for tokens, tags in chunks:
        phrase = _phrase(source, tokens, tags)
        if phrases and phrase.count is None:
            phrase = replace(phrase, count=_counted_by(phrases[-1], source, phrase))
        phrases.append(phrase)
    return tuple(phrases)


# A phrase as a pattern of its words, one letter each: d(eterminer), v (adverb of degree),
# # (number), a(djective), o (an adjective that may be the noun, as "glass"), p(articiple), N(oun),
# s ('s), c (and, or), and the comma. Repeats are bounded, so that all takes linear time.
_CHUNK = re.compile(
    r"""
    d{0,3}
    (?:(?:v{0,2}(?:\# (?:c(?=\#))? | [aop] (?:(?:,c?|c)(?=v{0,2}[aop][aopv,c]{0,12}N))?)){0,12})
    (?:N|o)
    (?:N | pN | s v{0,2}(?:\#|[aop]){0,12} (?:N|o))*
    """,
    re.VERBOSE,
)
_LETTERS = {"det": "d", "num": "#", "adj": "a", "part": "p", "noun": "N", "poss": "s"}


def _encode(tokens: Sequence[Token], tags: Sequence[Tag]) -> str:
    letters = []
    before: Tag | None = None
    for token, tag in zip(tokens, tags, strict=True):
        word = token.lower
        letter = _LETTERS.get(tag, ".")
        if tag == "adj" and word in ADJECTIVE_NOUNS and before != "aux":
            letter = "o"
        elif tag == "adv" and (word in DEGREES or word.endswith("ly")):
            letter = "v"
        elif tag == "conj" and word in ("and", "or", "&"):
            letter = "c"
        elif word == ",":
            letter = ","
        letters.append(letter)
        before = tag
    return "".join(letters)


def _phrase(source: str, tokens: Sequence[Token], tags: Sequence[Tag]) -> NounPhrase:
    words = [token.lower for token in tokens]
    span = tokens[0].start, tokens[-1].end
    owned = len(tags) - tags[::-1].index("poss") if "poss" in tags else 0
    determiners = [word for word, tag in zip(words, tags, strict=True) if tag == "det"]
    head = len(words) - 1
    while head > owned and (tags[head - 1] == "noun" or _is_compound(words[head - 1 :])):
        head -= 1
    core = 0
    while core < head and (tags[core] in ("det", "num") or "num" in tags[core + 1 : core + 2]):
        core += 1
    before_head = list(zip(words, tags, strict=True))[owned:head]
    return NounPhrase(
        text=source[span[0] : span[1]],
        span=span,
        core=source[tokens[core].start : span[1]],
        head=" ".join(words[head:]),
        attributes=tuple(word for word, tag in before_head if tag in ("adj", "part")),
        determiner=" ".join(determiners),
        possessor=source[span[0] : tokens[owned - 2].end] if owned else "",
        count=_count([word for word, tag in before_head if tag == "num"], determiners),
        definite=not _DEFINITE.isdisjoint(determiners) or (owned > 0 and not determiners),
    )


def _is_compound(words: Sequence[str]) -> bool:
    return len(words) == 2 and f"{words[0]} {singular(words[1])}" in COMPOUNDS


def _count(numbers: Sequence[str], determiners: Sequence[str]) -> int | None:
    """The number that number words make: two, twenty five, two dozen, half a dozen."""
    if not numbers:
        return 2 if "both" in determiners else None
    total = 0
    for word in numbers:
        digits = word.replace(",", "")
        if word not in _NUMBERS and not (digits.isdecimal() and len(digits) < 10):
            return None  # 2.5, or no number of things
        number = _NUMBERS[word] if word in _NUMBERS else int(digits)
        total = total * number if number in (12, 100, 1000) and total else total + number
    return total // 2 if "half" in determiners else total


def _counted_by(before: NounPhrase, source: str, phrase: NounPhrase) -> int | None:
    """The count that "a couple of" gives to what follows; a pair of scissors is one thing."""
    number = COUNTS.get(singular(before.head_word))
    between = source[before.span[1] : phrase.span[0]]
    if number is None or between.split() != ["of"] or phrase.determiner:
        return None
    return None if singular(phrase.head) in PLURAL_ONLY else number * (before.count or 1)
