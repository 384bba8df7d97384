"""A caption as a query: each thing in it that can be seen is a phrase.

>>> from grounding_sdk.text.nouns import noun_phrases
>>> read_caption("A group of people near three red kites, on a sunny day.", noun_phrases).texts
('people', 'red kites')
"""

from __future__ import annotations

import itertools

from grounding_sdk.errors import QueryError
from grounding_sdk.query import Phrase, Query
from grounding_sdk.text.lexicon import GROUPS, NOT_VISUAL, PORTIONS
from grounding_sdk.text.nouns import NounParser, NounPhrase, load_noun_parser

_MEASURES = GROUPS | PORTIONS


def read_caption(caption: str, parser: NounParser | None = None) -> Query:
    """Makes a query of the things that a caption names.

    A phrase's text is what a detector wants: in lower case, without article and number ("two red
    kites" asks for "red kites"); its span is that of the whole noun phrase in the caption. Repeats,
    pronouns and what cannot be boxed (sides, times, the picture itself) are left out, and so is a
    word that only groups or measures the next: "a group of people" asks for "people".

    Args:
        caption: A sentence, or several.
        parser: What finds noun phrases; `load_noun_parser()` unless given, which is spaCy where
            installed.

    Raises:
        QueryError: If the caption names nothing that can be seen.

    >>> caption = "Two dogs and a man"
    >>> query = read_caption(caption, load_noun_parser("rules"))
    >>> [(phrase.text, caption[slice(*phrase.span)]) for phrase in query]
    [('dogs', 'Two dogs'), ('man', 'a man')]
    """
    if not isinstance(caption, str):
        raise QueryError(f"expected a caption as a string, got {type(caption).__name__}")
    found = (parser or load_noun_parser())(caption)
    phrases: dict[str, Phrase] = {}
    for noun, following in itertools.zip_longest(found, found[1:]):
        if is_visual(noun) and not _measures(noun, following, caption):
            phrase = Phrase(noun.core.lower(), span=noun.span)
            phrases.setdefault(phrase.text, phrase)
    if not phrases:
        raise QueryError(
            f"no thing that can be seen is named in the caption {caption!r:.80}: name one, as in "
            f"'a man with two dogs', or pass a list of phrases"
        )
    return Query(tuple(phrases.values()), source=caption)


def is_visual(phrase: NounPhrase) -> bool:
    """Whether a phrase names something that can be boxed, not a place, time or the picture."""
    return phrase.head not in NOT_VISUAL


def _measures(noun: NounPhrase, following: NounPhrase | None, caption: str) -> bool:
    if following is None or noun.head_word not in _MEASURES:
        return False
    return caption[noun.span[1] : following.span[0]].split() == ["of"]
