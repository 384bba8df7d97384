"""Tells nouns from the other words of a caption, by the lexicon, endings and neighbours.

One pass from left to right; a word that nothing speaks against is a noun. Made for captions and
expressions that refer to things, where most words after an article name a thing.

>>> tag_words("the man stands at a bus stop with two parked cars".split())
['det', 'noun', 'verb', 'prep', 'det', 'noun', 'noun', 'prep', 'num', 'part', 'noun']
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from grounding_sdk.text.lexicon import (
    ADJECTIVE_NOUNS,
    ADJECTIVES,
    ADVERBS,
    ANIMALS,
    AUXILIARIES,
    COLORS,
    CONJUNCTIONS,
    DEGREES,
    DETERMINERS,
    GERUNDS,
    ING_NOUNS,
    LY_NOT_ADVERBS,
    NUMBERS,
    ORDINALS,
    PAST_NOUNS,
    PEOPLE,
    POSITIONS,
    PREPOSITIONS,
    PRONOUNS,
    SHADES,
    SUBORDINATORS,
)
from grounding_sdk.text.plurals import is_plural, singular
from grounding_sdk.text.verbs import NOUN_VERBS, VERBS, VERBS_ING, VERBS_PAST, VERBS_S

# "part" is a participle before its noun ("parked cars"), "ing" and "past" are all others; "poss" is
# the 's of a possessor; "mark" is punctuation.
Tag: TypeAlias = Literal[
    "det", "num", "adj", "part", "noun", "poss", "adv", "verb", "ing", "past", "aux",
    "pron", "prep", "conj", "sub", "mark",
]  # fmt: skip

_BEFORE_NOUN = ("det", "num", "adj", "part", "poss")
_AGENTS = PEOPLE | ANIMALS
_CLOSED = DETERMINERS | PRONOUNS | CONJUNCTIONS | SUBORDINATORS | PREPOSITIONS | AUXILIARIES
_NOT_NOMINAL = _CLOSED | (ADVERBS - (ADJECTIVES - POSITIONS)) | {"'s", "next", "close", "far"}
_PLACE_NOUNS = POSITIONS & frozenset(
    "left right top bottom middle center centre front back rear inside outside".split()
)
_ADJECTIVE_ENDINGS = ("ful", "ous", "less", "able", "ible", "iest")
_ENDINGS_OF_NOUNS = ("table", "vegetable", "cable", "bible", "handful", "mouthful")

# Small classes that single rules need.
_DEFINITE = frozenset("the this that which each every".split())  # "the one", "each one"
_SINGULAR = frozenset("a an another one this that each every".split())
_PLURAL = frozenset("these those many several few various both multiple numerous".split())
_FLOATING = frozenset("all both each".split())  # "the men all eating"
_ALSO_ADJECTIVES = frozenset("few many various several numerous multiple".split())  # "the few"
_ALSO_IN_PHRASE = POSITIONS | frozenset("past down opposite above off".split())  # "the near side"
_MODALS = AUXILIARIES - frozenset("is are was were am be been being has have had having".split())
_AFTER_CAN = VERBS | ADVERBS  # "a dog can jump", but "a trash can is"
_NO_VERB_AFTER_TO = frozenset("next close due attached tied connected up on in adjacent".split())
_NEVER_NOUNS = frozenset("sit go come look eat hold wear get make take give see lie blow".split())


@dataclass
class _Place:
    """Where a word stands: what was found before it, and the words that follow."""

    tag: Tag | Literal[""] = ""  # of the word before
    word: str = ""  # the word before
    next: str = ""
    after: str = ""  # the word after the next
    goes_on: bool = False  # whether the next word can be part of a noun phrase
    determined: bool = False  # whether an article, number or possessor began the phrase
    number: Literal["", "one", "many"] = ""  # which it says there are: "a", "these", "two"
    earlier: Tag | Literal[""] = ""  # tag of the word before the one before
    earlier_word: str = ""

    @property
    def expects_noun(self) -> bool:
        return self.tag in _BEFORE_NOUN and (self.determined or self.tag != "adj")

    @property
    def in_phrase(self) -> bool:
        return self.determined and self.tag in _BEFORE_NOUN and self.word not in _FLOATING

    @property
    def complete(self) -> bool:
        """Whether the phrase can end here: "an orange sits", "the glass standing on it"."""
        noun_like = self.tag == "adj" and self.word in ADJECTIVE_NOUNS
        return noun_like and self.determined and not self.goes_on

    @property
    def after_agent(self) -> bool:
        return self.tag == "noun" and singular(self.word) in _AGENTS


def tag_words(words: list[str]) -> list[Tag]:
    """Gives each word, in lower case, its part of speech."""
    tags: list[Tag] = []
    place = _Place()
    for i, word in enumerate(words):
        place.next = words[i + 1] if i + 1 < len(words) else ""
        place.after = words[i + 2] if i + 2 < len(words) else ""
        place.goes_on = _nominal(place.next, place.after)
        tag = _tag(word, place)
        tags.append(tag)
        if tag in ("det", "num", "poss"):
            place.determined = True
            many = tag == "num" or word in _PLURAL
            place.number = "one" if word in _SINGULAR else "many" if many else ""
        elif not _continues(tag, place.tag):
            place.determined, place.number = False, ""
        place.earlier, place.earlier_word = place.tag, place.word
        place.tag, place.word = tag, word
    return tags


def _continues(tag: Tag, before: Tag | Literal[""]) -> bool:
    """Whether a word goes on with the phrase before it: "a big red", "red and", not "dog red"."""
    if tag == "adj":
        return before != "noun"
    return tag in ("part", "noun", "adv") or (tag == "conj" and before == "adj")


def _tag(word: str, place: _Place) -> Tag:
    for rule in (_closed, _position, _adverb, _ing, _past, _third_person, _base, _adjective):
        tag = rule(word, place)
        if tag:
            return tag
    return "noun"


def _closed(word: str, place: _Place) -> Tag | None:
    """Words of closed classes, numbers and punctuation marks."""
    if not _is_word(word):
        if word == "'" and place.tag == "noun" and place.word.endswith("s"):
            return "poss" if place.goes_on else "mark"
        return "conj" if word == "&" else "mark"
    if word == "'s":
        owner = place.tag == "noun" and (place.goes_on or place.next in ("", "own"))
        return "poss" if owner else "aux"
    if word in ("one", "ones") and (place.tag in ("adj", "part") or place.word in _DEFINITE):
        return "noun"
    if (word in NUMBERS and word != "both") or word.replace(",", "").replace(".", "").isdigit():
        return "num"
    if (
        word == "couple"
        and place.tag == "det"
        and is_plural(place.next)
        and place.next not in VERBS_S
    ):
        return "num"  # "a couple dogs"
    if word in ("which", "what") or (word == "that" and place.tag == "noun"):
        return "sub"
    if word == "other" and place.word == "each":
        return "pron"
    if word in DETERMINERS:
        return "adj" if place.tag in ("det", "adj") and word in _ALSO_ADJECTIVES else "det"
    if word in PRONOUNS:
        owner = word.endswith(("one", "body")) and place.next == "'s" and _nominal(place.after)
        return "noun" if owner else "pron"
    if word in ("can", "will", "must") and (place.expects_noun or place.next == "of"):
        return "noun"
    if word == "can" and place.tag == "noun" and place.next not in _AFTER_CAN:
        return "noun"  # "a trash can"
    if word in AUXILIARIES:
        return "aux"
    if word in CONJUNCTIONS:
        return "conj"
    if word in SUBORDINATORS:
        return "sub"
    if word in PREPOSITIONS and not (place.expects_noun and word in _ALSO_IN_PHRASE):
        counts = word in DEGREES and (place.next in NUMBERS or place.next.isdigit())
        return "adv" if counts else "prep"
    return None


def _position(word: str, place: _Place) -> Tag | None:
    """Left, top, front...: "the left cup", "the cup on the left", "a cup left of it"."""
    if word not in _PLACE_NOUNS:
        return None
    if place.word in ("top", "bottom", "upper", "lower") and place.determined:
        return "adj" if place.goes_on else "noun"  # "the top left"
    if place.tag == "noun" and word not in ("top", "front", "center", "bottom"):
        return "adv"
    if place.tag == "adj" and not place.determined:
        return "adv"  # "the bus farther back"
    if place.tag in ("ing", "past", "verb", "aux", "adv") and not place.goes_on:
        return "adv"
    if place.goes_on and place.tag != "noun":
        return "adj"
    return "noun"


def _adverb(word: str, place: _Place) -> Tag | None:
    """Quickly, away; not those that are adjectives here ("a fast car")."""
    if word in ADJECTIVES and (word not in ADVERBS or place.expects_noun or place.goes_on):
        return None
    if word in ADVERBS and not (place.expects_noun and place.tag != "adj" and word in VERBS):
        return "adv"
    if word.endswith("ly") and len(word) > 4 and word not in LY_NOT_ADVERBS:
        return "adv"
    return None


def _ing(word: str, place: _Place) -> Tag | None:
    """A participle or gerund, unless it names a thing: "a painting", "a parking lot"."""
    if not _is_ing(word):
        return "noun" if word in ING_NOUNS and word not in VERBS else None
    if word in ADJECTIVES and place.goes_on and place.tag not in ("noun", "pron", "aux"):
        return "adj"
    if singular(place.next) in GERUNDS.get(word, ()) and place.tag != "aux":
        return "noun"
    looks = word == "looking" and place.tag == "adj" and place.goes_on  # "happy looking"
    if looks or (place.in_phrase and not place.complete):
        return "part" if place.goes_on and word not in ING_NOUNS else "noun"
    if word in ING_NOUNS and place.tag != "aux":
        takes_object = place.next in DETERMINERS or place.next in PRONOUNS
        acts = place.after_agent or (place.tag == "noun" and is_plural(place.word))
        if word not in VERBS_ING or not (takes_object or acts):
            return "noun"
    return "ing"


def _past(word: str, place: _Place) -> Tag | None:
    """A participle: "a parked car", "a snow covered hill", "a car parked there"."""
    if word not in VERBS_PAST and not (word.endswith("ed") and len(word) > 4):
        return None
    if word in PAST_NOUNS:
        if place.tag == "adv" and word in VERBS_PAST and place.goes_on:
            return "part"  # "freshly cut flowers"
        ends = place.goes_on or _is_ing(place.next)
        acts = place.tag in ("noun", "pron", "aux", "sub") and not ends
        return "past" if word in VERBS_PAST and acts else None
    if not place.goes_on:
        return "noun" if place.tag == "det" and word in VERBS else "past"
    if place.tag in ("noun", "pron") and not word.endswith(("ed", "en")):
        return "past"
    if place.after_agent and word not in ADJECTIVES:
        return "past"
    return "part"


def _third_person(word: str, place: _Place) -> Tag | None:
    """The -s form of a verb, or a plural that looks like one: "he stands", "news stands"."""
    no_object = place.goes_on or place.next in ("", ".", ",", "and", "of")
    if word not in VERBS_S:
        # An unknown word: "a bull charges at".
        one = place.tag == "noun" and place.number == "one" and not is_plural(place.word)
        return "verb" if one and not no_object and word.endswith("s") and is_plural(word) else None
    if place.complete and place.number != "many":
        return "verb"
    if place.expects_noun or place.tag in ("prep", "ing", "verb", "aux", "past"):
        return "noun"
    if place.tag in ("pron", "sub", "adv"):
        return "verb"
    mostly_verb = VERBS_S[word] not in NOUN_VERBS
    if place.tag == "noun":
        if is_plural(place.word):
            return "verb" if mostly_verb else "noun"
        if place.number:
            return "verb" if place.number == "one" else "noun"  # "a bus stops", "two bus stops"
        acts = place.after_agent and not place.goes_on and place.next != "of"
        return "verb" if acts or mostly_verb or place.next in DETERMINERS else "noun"
    acts = mostly_verb and (not no_object or place.tag == "conj")
    return "verb" if acts or (place.tag == "adj" and place.next in DETERMINERS) else "noun"


def _base(word: str, place: _Place) -> Tag | None:
    """The base form of a verb, or a noun that looks like one: "people ride", "a ride"."""
    if word not in VERBS:
        return None
    if place.tag == "noun" and place.next in DETERMINERS:
        return "verb"  # "candles light the room"
    if word in ADJECTIVES:
        return None
    if place.expects_noun or place.tag in ("ing", "past", "verb", "poss"):
        return "noun"
    mostly_noun = word in NOUN_VERBS
    if place.word == "to":
        return "noun" if mostly_noun and place.earlier_word in _NO_VERB_AFTER_TO else "verb"
    if place.word in _MODALS or place.tag == "pron":
        return "verb"
    if place.tag == "noun" and is_plural(place.word):
        compound = mostly_noun and not place.after_agent and place.goes_on  # "sports field"
        return "noun" if compound else "verb"
    if place.tag == "noun":
        acts = place.after_agent or (word in _NEVER_NOUNS and not place.goes_on)
        return "verb" if acts and not mostly_noun else "noun"
    if place.tag == "conj" and place.earlier == "verb":
        return "verb"
    if place.tag in ("prep", "aux", "adj") or mostly_noun:
        return "noun"
    return "noun" if place.goes_on or place.next in ("of", "") else "verb"


def _adjective(word: str, place: _Place) -> Tag | None:
    """Known ones, and unknown ones by their ending: "a hopeful, one-eyed pirate"."""
    if word in ORDINALS or (word in SHADES and place.next in COLORS):
        return "adj"
    if word in ADJECTIVES:
        # "wine glass" but "glass table"; "toilet paper" but "paper plate".
        return "noun" if word in ADJECTIVE_NOUNS and place.tag == "noun" else "adj"
    if word.endswith(_ADJECTIVE_ENDINGS) and not word.endswith(_ENDINGS_OF_NOUNS):
        return "adj"
    _, hyphen, last = word.rpartition("-")
    if hyphen and (last in ADJECTIVES or last in VERBS_PAST or last in VERBS_ING):
        return "adj" if last not in PAST_NOUNS | ING_NOUNS else "noun"
    return None


def _is_word(word: str) -> bool:
    return word.isalnum() or any(map(str.isalnum, word))


def _is_ing(word: str) -> bool:
    """Whether a word looks like a participle or gerund, known or not."""
    return word in VERBS_ING or (word.endswith("ing") and len(word) > 5 and word not in VERBS)


def _nominal(word: str, following: str = "") -> bool:
    """Whether a word, seen alone, can go on or begin a noun phrase that has no article."""
    if word in _NOT_NOMINAL or not _is_word(word):
        return False
    if word in ADJECTIVES or word in ING_NOUNS or word in PAST_NOUNS or word in NOUN_VERBS:
        return True
    if _is_ing(word):
        return singular(following) in GERUNDS.get(word, ())
    if word in VERBS_S:
        return VERBS_S[word] in NOUN_VERBS
    return word not in VERBS and not (word.endswith("ly") and word not in LY_NOT_ADVERBS)
