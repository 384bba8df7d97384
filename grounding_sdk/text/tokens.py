"""Cuts text into words, numbers and punctuation marks, whose spans index it exactly.

>>> [token.text for token in tokenize("The man's 2.5 m t-shirt, again.")]
['The', 'man', "'s", '2.5', 'm', 't-shirt', ',', 'again', '.']
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Tried in this order; each is possessive (`++`), so that no text takes more than linear time.
_TOKEN = re.compile(
    r"""
      \d++(?:[.,]\d++)++                                   # 2.5  1,000
    | (?:[^\W\d_]\.){2,}+                                  # u.s.
    | ['’][sS](?!\w)                                       # the 's of man's
    | [^\W_]\w*+(?:['’](?![sS](?!\w))\w++ | -[^\W_]\w*+)*+ # dog  t-shirt  don't  2nd  4x4
    | \S                                                   # any other mark, one by one
    """,
    re.VERBOSE,
)
_JOINERS = "\u200c\u200d"  # part of words in several scripts


@dataclass(frozen=True)
class Token:
    """A word, number or punctuation mark; `source[start:end] == text`."""

    text: str
    start: int
    end: int

    @property
    def lower(self) -> str:
        """The text in lower case and with a straight apostrophe, as the lexicon has it."""
        return self.text.lower().replace("’", "'")

    @property
    def is_word(self) -> bool:
        """Whether it holds a letter or a digit, so that it is no punctuation mark."""
        return any(map(str.isalnum, self.text))


def tokenize(source: str) -> list[Token]:
    """Cuts a text into tokens, in order; whitespace belongs to none.

    A word keeps its inner hyphens and apostrophes, but a possessive 's is a token of its own.
    Scripts without spaces give one token for each run of letters. No text is refused.

    >>> tokenize("a dog")
    [Token(text='a', start=0, end=1), Token(text='dog', start=2, end=5)]
    """
    return [
        Token(source[match.start() : match.end()], match.start(), match.end())
        for match in _TOKEN.finditer(_without_marks(source))
    ]


def _without_marks(source: str) -> str:
    """Puts an underscore, which goes on inside words only, for each accent that combines."""
    if source.isascii():
        return source
    return "".join(
        "_" if char in _JOINERS or unicodedata.category(char)[0] == "M" else char for char in source
    )
