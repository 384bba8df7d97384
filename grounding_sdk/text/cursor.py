"""A place in a text from which it is read onwards, and what its words can be."""

from __future__ import annotations

from collections.abc import Container, Mapping

from grounding_sdk.text import lexicon
from grounding_sdk.text.relations import LONGEST
from grounding_sdk.text.tokens import Token, tokenize
from grounding_sdk.text.verbs import VERBS_ING, VERBS_PAST

_NO_NOUNS = (
    lexicon.PREPOSITIONS
    | lexicon.CONJUNCTIONS
    | lexicon.AUXILIARIES
    | lexicon.DETERMINERS
    | {"that", "which", "who", "'s", "not"}
)
_ADJECTIVES = (
    lexicon.ADJECTIVES
    | lexicon.COLORS
    | lexicon.MATERIALS
    | lexicon.SHADES
    | lexicon.DEGREES
    | {"and"}
)


def is_action(word: str) -> bool:
    """Whether it is a verb in -ing.

    >>> is_action("holding"), is_action("building")
    (True, False)
    """
    return word in VERBS_ING and word not in lexicon.ING_NOUNS


def is_nounish(word: str) -> bool:
    """Whether it can belong to a noun phrase that begins with it.

    >>> is_nounish("red"), is_nounish("of"), is_nounish("")
    (True, False, False)
    """
    return bool(word) and word[0].isalnum() and word not in _NO_NOUNS and not is_action(word)


def is_adjective(word: str) -> bool:
    """Whether it says what a thing is like, rather than what it is."""
    verbal = word in VERBS_ING or word in VERBS_PAST
    return word in _ADJECTIVES or (verbal and word not in lexicon.ING_NOUNS)


class Cursor:
    """A place among the tokens of a part of a text.

    Attributes:
        source: The text.
        tokens: Those of the part; their spans index the whole text.
        words: The same in lower case.
        at: The index of the next token.
    """

    def __init__(self, source: str, start: int, end: int) -> None:
        self.source = source
        self.tokens = [
            Token(token.text, token.start + start, token.end + start)
            for token in tokenize(source[start:end])
        ]
        self.words = [token.lower for token in self.tokens]
        self.at = 0

    def word(self, ahead: int = 0) -> str:
        """The word at the cursor or beside it, in lower case; "" beyond the ends."""
        index = self.at + ahead
        return self.words[index] if 0 <= index < len(self.words) else ""

    def skip(self, words: int = 1) -> bool:
        """Goes on; always True, so that a reader can say that it took the words."""
        self.at += words
        return True

    def take(self, words: Container[str]) -> bool:
        """Goes on by one word if it is among those. Whether it did."""
        return self.word() in words and self.skip()

    def match(self, table: Mapping[tuple[str, ...], str], ahead: int = 0) -> tuple[str, int]:
        """The longest entry of a table that comes next: what it stands for, and its length."""
        start = self.at + ahead
        for length in range(min(LONGEST, len(self.words) - start), 0, -1):
            kind = table.get(tuple(self.words[start : start + length]))
            if kind:
                return kind, length
        return "", 0

    def text(self, start: int, end: int) -> str:
        """The source from one token up to another; "" if there are none."""
        return self.source[slice(*self.span(start, end))] if end > start else ""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the tokens from `start` up to `end` stand in the source."""
        return self.tokens[start].start, self.tokens[end - 1].end
