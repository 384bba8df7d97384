"""What words mean, in pure Python: prompts, referring expressions, captions, ontologies."""

from grounding_sdk.text.captions import read_caption
from grounding_sdk.text.chat import ChatRewriter
from grounding_sdk.text.nouns import NounParser, NounPhrase, load_noun_parser
from grounding_sdk.text.ontology import read_ontology
from grounding_sdk.text.referring import read_phrases, read_prompt
from grounding_sdk.text.rewrite import (
    LexicalRewriter,
    Rewriter,
    cached,
    load_rewriter,
    rewrite_query,
)

__all__ = [
    "ChatRewriter",
    "LexicalRewriter",
    "NounParser",
    "NounPhrase",
    "Rewriter",
    "cached",
    "load_noun_parser",
    "load_rewriter",
    "read_caption",
    "read_ontology",
    "read_phrases",
    "read_prompt",
    "rewrite_query",
]
