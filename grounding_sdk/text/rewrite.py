"""Turns what is asked by its use or kind, "something to sit on", into phrases to look for.

A detector finds names of things. A `Rewriter` gives names for a text that has none:
`LexicalRewriter` from a table, `ChatRewriter` from a language model. `rewrite_query` asks it for
each phrase of a query; what is found counts as what was asked.

>>> query = rewrite_query(Query.of(["something to sit on", "dog"]), LexicalRewriter())
>>> query.texts
('chair', 'couch', 'bench', 'stool', 'armchair', 'dog')
>>> query.labels
('something to sit on', 'dog')
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cache
from threading import Lock
from typing import ClassVar, Protocol, runtime_checkable

from grounding_sdk.errors import ConfigError
from grounding_sdk.query import Phrase, Query
from grounding_sdk.text.affordances import AFFORDANCES, CATEGORIES
from grounding_sdk.text.chat import ChatRewriter
from grounding_sdk.text.plurals import singular

KEY_VARIABLE = "GROUNDING_SDK_REWRITER_KEY"  # read by `load_rewriter`, if it is set


@runtime_checkable
class Rewriter(Protocol):
    """Gives names for what is asked by its use or kind."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    def __call__(self, text: str) -> tuple[str, ...]:
        """Returns phrases to look for, the likeliest first; none to look for the text itself."""
        ...


def load_rewriter(which: str | Rewriter) -> Rewriter:
    """Returns a rewriter that remembers its answers.

    Args:
        which: "lexical"; "URL#MODEL" for a model behind a chat endpoint, such as
            "http://localhost:8000/v1#qwen3", whose key, if it needs one, is in the environment
            variable GROUNDING_SDK_REWRITER_KEY; or a rewriter, returned as it is.

    Raises:
        ConfigError: If it is none of these.
    """
    if isinstance(which, Rewriter):
        return which
    if which == LexicalRewriter.name:
        return cached(LexicalRewriter())
    url, _, model = which.partition("#") if isinstance(which, str) else ("", "", "")
    if not model:
        raise ConfigError(
            f"expected a rewriter as 'lexical', as 'URL#MODEL' ('http://localhost:8000/v1#qwen3') "
            f"or as a function from text to phrases that has a name, got {which!r:.100}"
        )
    key_variable = KEY_VARIABLE if KEY_VARIABLE in os.environ else None
    return cached(ChatRewriter(url, model, key_variable=key_variable))


def rewrite_query(query: Query, rewriter: Rewriter) -> Query:
    """Replaces each phrase to find by what the rewriter gives for it, under the same label.

    A phrase stays where the rewriter gives nothing or a target speaks of it. Names that the query
    already asks for, or excludes, are left out; a name given for two phrases goes to the first.

    Raises:
        RewriteError: If a rewriter that asks a server got no answer.
    """
    fixed = {part.phrase for target in query.targets for part in target.walk()}
    answers = {
        phrase: rewriter(phrase.text)
        for phrase in query
        if phrase.role == "find" and phrase.text not in fixed
    }
    asked = {phrase.text for phrase in query if phrase.role != "exclude"}
    excluded = {(phrase.text, phrase.label) for phrase in query if phrase.role == "exclude"}
    phrases: list[Phrase] = []
    for phrase in query:
        hits = [
            hit
            for hit in dict.fromkeys(replace(phrase, text=n) for n in answers.get(phrase, ()))
            if (hit.text == phrase.text or hit.text not in asked)
            and not excluded & {(hit.text, ""), (hit.text, hit.label)}
        ]
        asked.update(hit.text for hit in hits)
        phrases += hits or [phrase]
    return replace(query, phrases=tuple(phrases))


def cached(rewriter: Rewriter, size: int = 1024) -> Rewriter:
    """Remembers the last `size` answers, so that a text is asked once; failures are asked again.

    Threads that ask the same text at the same time share one answer.
    """
    return _Cached(rewriter, size)


class _Cached:
    def __init__(self, rewriter: Rewriter, size: int) -> None:
        self.name = rewriter.name
        self._rewriter = rewriter
        self._size = size
        self._answers: OrderedDict[str, Future[tuple[str, ...]]] = OrderedDict()
        self._lock = Lock()

    def __call__(self, text: str) -> tuple[str, ...]:
        with self._lock:
            known = text in self._answers
            answer = self._answers.setdefault(text, Future())
            self._answers.move_to_end(text)
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)
        if not known:
            try:
                answer.set_result(self._rewriter(text))
            except BaseException as problem:
                with self._lock:
                    self._answers.pop(text, None)
                answer.set_exception(problem)
        return answer.result()


# Words that stand for a thing without naming it, before what it is for.
_PLACEHOLDERS = frozenset(
    "something anything thing object item stuff place somewhere anywhere whatever".split()
)
_KINDS_OF_USE = frozenset(
    "tool device gadget container equipment appliance machine product instrument source".split()
)
_OPENERS = frozenset("i we what where how to for used need want".split())
_POLITE = frozenset(
    "a an the some any this that these those all every each find show segment detect locate point "
    "get give bring fetch me us please can could would you".split()
)
_NEGATIONS = frozenset("not no without except never nothing cannot non".split())
_COLORS = frozenset("red orange yellow green blue purple pink brown black white gray grey".split())
# Not empty, since "drink" and "drink from" are answered differently.
_PREPOSITIONS = frozenset("on in with from out off up down by around".split())
_EMPTY = _POLITE | frozenset(
    "i we my our your it its one be is are am was were do does did will should may might must "
    "have has had to for of and or at there here which who whose what where when how used use "
    "using useful need want like usually typically often commonly people person someone somebody "
    "something anything thing object item stuff place somewhere "
    "anywhere whatever so if as very other kind sort piece pieces pair pairs set sets help".split()
)
_WHERE = re.compile(r"\b(?:in|of|from) (?:the|this) (?:picture|image|photo|scene)\b")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")


class LexicalRewriter:
    """Knows what about 180 uses and kinds of things are called, offline; English.

    A text is answered if it names nothing itself: if it speaks of "something", an "object", a
    "tool", "what I" and the like, or is the name of a kind ("animals", "a red vehicle"). Its uses
    and kinds, in any grammatical form, are looked up in `grounding_sdk.text.affordances`; of
    several, what all have in common is answered, else what fits the first. Colors are kept.
    Negations are not understood and therefore not answered.

    Of 40 texts that were written when the table was done, 13 got the name that was meant and 10
    other names: it knows what it knows. The tests have them.

    >>> LexicalRewriter()("an animal that people ride")
    ('horse', 'elephant')
    >>> LexicalRewriter()("a person sitting on a chair")
    ()
    """

    name: ClassVar[str] = "lexical"

    def __call__(self, text: str) -> tuple[str, ...]:
        """Returns names of what the text asks for; none where it does not know."""
        words = [
            word.lower().replace("’", "'").removesuffix("'s")
            for word in _WORD.findall(_WHERE.sub("", text))
        ]
        if any(word in _NEGATIONS or word.endswith("n't") for word in words):
            return ()
        stems = _stems(words)
        present = set(stems)
        named = [word for word in words if word not in _POLITE]
        is_open = named[:1] != [] and (
            named[0] in _OPENERS
            or singular(named[0]) in _KINDS_OF_USE
            or any(singular(word) in _PLACEHOLDERS for word in named[:3])
        )
        matched = [entry for entry in _entries() if entry.cue <= present]
        matched = [e for e in matched if not any(e.cue < other.cue for other in matched)]
        matched.sort(key=lambda e: (e.is_category, min(map(stems.index, e.cue)), -len(e.cue)))
        if not is_open:
            known = (_COLORS | _PREPOSITIONS).union(*(entry.cue for entry in matched))
            if not any(entry.is_category for entry in matched) or not known >= present:
                return ()
        colors = dict.fromkeys(word for word in words if word in _COLORS)
        return tuple(" ".join([*colors, name]) for name in _common(matched, strict=not is_open))


def _common(matched: list[_Entry], strict: bool) -> tuple[str, ...]:
    """Returns the names that fit all entries, else, unless that is too little, the first."""
    found: tuple[str, ...] = matched[0].names if matched else ()
    for entry in matched[1:]:
        common = tuple(name for name in found if name in entry.names)
        found = common if common or strict else found
    return found


@dataclass(frozen=True)
class _Entry:
    cue: frozenset[str]  # stems
    names: tuple[str, ...]
    is_category: bool


@cache
def _entries() -> tuple[_Entry, ...]:
    return (*_read(CATEGORIES, True), *_read(AFFORDANCES, False))


def _read(table: str, is_category: bool) -> Iterator[_Entry]:
    for line in table.strip().splitlines():
        cues, _, names = line.partition(":")
        for cue in cues.split(","):
            stems = frozenset(_stems(cue.split()))
            yield _Entry(stems, tuple(name.strip() for name in names.split(",")), is_category)


def _stems(words: Iterable[str]) -> list[str]:
    return [_stem(word) for word in words if word not in _EMPTY and singular(word) not in _EMPTY]


_IRREGULAR = {
    "sat": "sit", "sitter": "sit", "slept": "sleep", "asleep": "sleep", "drank": "drink",
    "drunk": "drink", "ate": "eat", "eaten": "eat", "wrote": "write", "written": "write",
    "rode": "ride", "ridden": "ride", "drove": "drive", "driven": "drive", "flew": "fly",
    "wore": "wear", "worn": "wear", "kept": "keep", "held": "hold", "lit": "light",
    "told": "tell", "heard": "hear", "drew": "draw", "drawn": "draw", "swept": "sweep",
    "swam": "swim", "dug": "dig", "hung": "hang", "threw": "throw", "thrown": "throw",
    "built": "build", "bought": "buy", "paid": "pay", "lay": "lie", "lying": "lie", "lies": "lie",
    "feet": "foot", "teeth": "tooth", "children": "child", "mice": "mouse", "knives": "knife",
}  # fmt: skip


def _stem(word: str) -> str:
    """Cuts endings off, so that the forms of a word fall together; not always to a word.

    >>> [_stem(word) for word in "sits sitting riding rides carried dishes animals".split()]
    ['sit', 'sit', 'rid', 'rid', 'carry', 'dish', 'animal']
    """
    word = _IRREGULAR.get(word, word)
    for ending, instead in (("ied", "y"), ("ing", ""), ("ed", "")):
        stem = word.removesuffix(ending) + instead
        if word.endswith(ending) and len(stem) >= 3 and re.search("[aeiouy]", stem):
            if instead == "" and stem[-1] == stem[-2] and stem[-1] not in "lsfz":
                stem = stem[:-1]
            return stem.removesuffix("e")
    return singular(word).removesuffix("e")
