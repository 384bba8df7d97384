"""Which of a list's class names a noun means: "man" is a "person", "fridge" a "refrigerator".

>>> best_names("the puppy", ["cat", "dog", "hot dog"])
[('dog', 0.7)]
>>> best_names("vehicle", ["person", "car", "bus"])
[('car', 0.9), ('bus', 0.9)]
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from grounding_sdk.text.kinds_table import STAND_INS, TREE
from grounding_sdk.text.lexicon import DETERMINERS, GROUPS, NUMBERS, PORTIONS
from grounding_sdk.text.plurals import singular

EXACT = 1.0  # the same word, singular or plural
SAME = 0.95  # another name of the same thing
NARROWER = 0.9  # the name is a kind of what the noun says
BROADER = 0.7  # the noun says a kind of what the name is; a little less for each step between
STAND_IN = 0.4  # the name is what the noun's thing goes under where nothing is nearer

_STEP = 0.02
_LEAST_BROADER = 0.5
_MAX_WORDS = 12  # of a noun phrase; earlier ones are not looked at
_PERSON = frozenset({"person"})
_ANYTHING = frozenset({"thing", "object", "item", "one", "something", "anything"})

_APART = re.compile(r"[\s_\-‐-―]+")
_NOTE = re.compile(r"[(\[].*?(?:[)\]]|$)")


def best_names(noun: str, names: Iterable[str]) -> list[tuple[str, float]]:
    """Returns the names that a noun means, with how well each fits, best first.

    If any name is the noun's own or a kind of it, only such names are returned, else those that
    fit best: "goat" means sheep only where there is no goat.

    Args:
        noun: A noun or noun phrase that ends in its noun; may be plural: "two old dogs".
        names: Class names, in any order; equally good ones keep theirs.

    >>> best_names("monkeys", ["person", "dog"])
    []
    """
    scored = [(name, same_kind(noun, name)) for name in dict.fromkeys(names)]
    least = min(max((score for _, score in scored), default=0.0), NARROWER)
    kept = [(name, score) for name, score in scored if score > 0 and score >= least]
    return sorted(kept, key=lambda pair: -pair[1])


def same_kind(noun: str, name: str) -> float:
    """Returns how well a class name fits a noun, in [0, 1]; 0 if they are of different kinds.

    >>> [same_kind("bike", name) for name in ("bikes", "bicycle", "bus")]
    [1.0, 0.9, 0.0]
    >>> [same_kind("taxi", name) for name in ("cab", "car", "truck")]
    [0.95, 0.7, 0.0]
    """
    nouns = _spellings(noun)
    return max((_fit(a, b) for a in nouns for b in _spellings(name)), default=0.0)


class _Table(NamedTuple):
    things: dict[str, frozenset[str]]  # for each name what it can mean
    parents: dict[str, frozenset[str]]
    stand_ins: dict[str, frozenset[str]]


@lru_cache(maxsize=1)
def _table() -> _Table:
    """Reads the table. A thing is called by its first name."""
    things: dict[str, set[str]] = defaultdict(set)
    parents: dict[str, set[str]] = defaultdict(set)
    path: list[tuple[int, str]] = []
    for line in TREE.splitlines():
        indent = len(line) - len(line.lstrip())
        while path and path[-1][0] >= indent:
            path.pop()
        for entry in filter(None, line.strip().split(", ")):
            synonyms = entry.split("=")
            thing = synonyms[0]
            for synonym in synonyms:
                things[synonym].add(thing)
            if path:
                parents[thing].add(path[-1][1])
        if line.strip():
            path.append((indent, thing))
    stand_ins: dict[str, set[str]] = defaultdict(set)
    for line in STAND_INS.strip().splitlines():
        name, _, others = line.partition(": ")
        stand_ins[name].update(others.split(", "))
    return _Table(*({k: frozenset(v) for k, v in d.items()} for d in (things, parents, stand_ins)))


@lru_cache(maxsize=65536)
def _fit(noun: str, name: str) -> float:
    if _singular(noun) == _singular(name):
        return EXACT
    return max(_fit_things(a, b) for a in _meanings(noun) for b in _meanings(name))


def _fit_things(noun: str, name: str) -> float:
    if noun == name:
        return SAME
    above_noun, above_name = _above(noun), _above(name)
    if noun in above_name or noun in _ANYTHING:
        return NARROWER
    if name in above_noun:
        return _broader(above_noun[name])
    if name in _ANYTHING or not _table().stand_ins.get(noun, frozenset()).isdisjoint(
        {name, *above_name}
    ):
        return STAND_IN
    # "steel table": a table, so maybe a dining table. "kitchen table": hardly, but a table too.
    most = STAND_IN if noun in _table().things else BROADER
    return min(most, max((_fit_things(thing, name) for thing in _last_words(noun)), default=0.0))


def _broader(steps: int) -> float:
    return max(round(BROADER - _STEP * (steps - 1), 2), _LEAST_BROADER)


def _meanings(words: str) -> frozenset[str]:
    """The things that words name; words that are in no table are a thing of their own."""
    things = _table().things
    plain = _singular(words)
    return things.get(words, frozenset()) | things.get(plain, frozenset()) or frozenset({plain})


@lru_cache(maxsize=65536)
def _above(thing: str) -> dict[str, int]:
    """All that a thing is a kind of, with the number of steps up to it."""
    steps = {thing: 0}
    queue = [thing]
    for here in queue:
        for parent in sorted(_parents(here)):
            if parent not in steps:
                steps[parent] = steps[here] + 1
                queue.append(parent)
    del steps[thing]
    return steps


def _parents(thing: str) -> frozenset[str]:
    table = _table()
    if thing in table.things:
        return table.parents.get(thing, frozenset())
    return _last_words(thing) or (_PERSON if _is_of_a_person(thing) else frozenset())


def _last_words(thing: str) -> frozenset[str]:
    """What a compound is a kind of by its last words: a "tennis player" of "player"."""
    _, space, rest = thing.partition(" ")
    if not space:
        return frozenset()
    meanings = _meanings(rest)
    # The table knows better of what it holds: a "hot dog" is no "dog".
    return meanings & _above(thing).keys() if thing in _table().things else meanings


def _is_of_a_person(word: str) -> bool:
    """Whether a word that is in no table ends as names of people do: "anchorman"."""
    return len(word) > 5 and word.endswith(("man", "woman", "boy", "girl", "person"))


def _spellings(text: str) -> list[str]:
    """The names in a text, which may hold several: "Cup/Mug", "bow_(weapon)", "a pair of skis"."""
    text = _NOTE.sub(" ", text.casefold().replace("’", "'"))
    names = (_heart(_APART.sub(" ", part).split()) for part in re.split(r"[/,;]", text))
    return [name for name in names if name]


def _heart(words: list[str]) -> str:
    """Leaves out what comes before and after a noun: "the two slices of pizza" -> "pizza"."""
    words = words[-_MAX_WORDS:]
    while len(words) > 1 and (words[0] in DETERMINERS or words[0] in NUMBERS):
        words = words[1:]
    whole = " ".join(words)
    if "of" in words[1:-1] and not {whole, _singular(whole)} & _table().things.keys():
        at = words.index("of", 1)
        counts = words[at - 1] in GROUPS or words[at - 1] in PORTIONS
        return _heart(words[at + 1 :]) if counts else _heart(words[:at])
    return whole


@lru_cache(maxsize=65536)
def _singular(words: str) -> str:
    return singular(words)
