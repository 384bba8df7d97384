"""Reads one noun phrase: what it names, how many, and what is said of it before the noun."""

from __future__ import annotations

from dataclasses import dataclass, field

from grounding_sdk.target import Condition
from grounding_sdk.text import lexicon
from grounding_sdk.text import relations as words_for
from grounding_sdk.text.cursor import Cursor, is_action, is_adjective, is_nounish
from grounding_sdk.text.plurals import PLURAL_ONLY, is_plural, singular
from grounding_sdk.text.verbs import VERBS_PAST, VERBS_S

ANYTHING = "object"  # what a detector is asked for where no noun is given: "the leftmost one"
NO_HEADS = frozenset("one ones other others thing things object objects item items".split())

ANIMATE = lexicon.PEOPLE | lexicon.ANIMALS

_VAGUE = frozenset("something anything somewhere anywhere someone somebody".split())
_QUOTES = frozenset("\"'“”‘’«»")
_POINTERS = lexicon.ARTICLES | lexicon.DEMONSTRATIVES | lexicon.POSSESSIVES
_MANY = frozenset("all every each any both some several many most few".split())
_EMPTY = frozenset("only single other another same".split())
_SIDES_BEFORE_NOUNS = frozenset(words_for.SIDES) - {
    "corner", "edge", "border", "margin", "distance",
}  # fmt: skip
# In these a side is part of the name.
_COMPOUNDS = frozenset(
    "top hat,top hats,front door,back door,front wheel,back wheel,rear wheel,center piece,"
    "middle finger,back pack,back packs,back seat,front seat,bottom line,right angle,rear view,"
    "left turn,right turn,corner store,front yard,back yard,front desk".split(",")
)
_COLORS = lexicon.COLORS - set("clear transparent translucent rainbow colored coloured".split())
_LOOKS = lexicon.COLORS | lexicon.PATTERNS | lexicon.MATERIALS | lexicon.SIZES
_SHOWN_AS_CONTENT = lexicon.GROUPS | lexicon.PORTIONS  # "a bunch of bananas" shows bananas
_OF_GOES_ON = _SHOWN_AS_CONTENT | lexicon.CONTAINERS
_STANDS_ALONE = (lexicon.DETERMINERS | lexicon.PRONOUNS) - NO_HEADS
_BEFORE_NOUNS = lexicon.DETERMINERS | lexicon.PREPOSITIONS
_PICTURES = frozenset("photo photograph picture image closeup close-up view shot".split())
_CLOSED = (
    lexicon.PREPOSITIONS
    | lexicon.CONJUNCTIONS
    | lexicon.AUXILIARIES
    | {"'s", "that", "which", "who", "whose", "without"}
)


@dataclass
class Noun:
    """A noun phrase while it is read; numbers index the tokens.

    Attributes:
        start: The first token.
        words: What a detector is asked for.
        head: Those of the noun itself.
        unit: "bunch" in "bunch of bananas", which is what is counted.
        conditions: What was said of it so far.
        determined: By "the" or its like.
        indefinite: By "a".
        every: By "all" or its like.
        number: How many are said.
        number_at: Where the number stands.
        ordinal: 2 for "second", -1 for "last", until it is known in which order.
        end: The first token behind it.
    """

    start: int
    words: list[int] = field(default_factory=list)
    head: list[int] = field(default_factory=list)
    unit: int | None = None
    conditions: list[Condition] = field(default_factory=list)
    determined: bool = False
    indefinite: bool = False
    every: bool = False
    number: int | None = None
    number_at: int = 0
    ordinal: int | None = None
    end: int = 0

    @property
    def begun(self) -> bool:
        """Whether something was said that can stand for a thing."""
        return bool(self.words or self.conditions or self.ordinal)


class NounReader(Cursor):
    """Reads noun phrases.

    Attributes:
        referring: Whether a bare noun means one thing.
    """

    def __init__(self, source: str, start: int, end: int, referring: bool) -> None:
        super().__init__(source, start, end)
        self.referring = referring

    def noun(self) -> Noun | None:
        """Reads a noun phrase up to what describes it from behind; None if there is none."""
        noun = Noun(self.at)
        while self.at < len(self.words):
            word = self.word()
            if self._takes(noun, word):
                continue
            if word == "of" and (noun.begun or noun.number):
                if not self._goes_on_with_of(noun):
                    break
            elif self._ends(noun, word) and not self._joins_looks(noun, word):
                break
            else:
                noun.words.append(self.at)
                self.skip()
        noun.end = self.at
        if not (noun.begun or (noun.determined and noun.number)):
            self.at = noun.start
            return None
        self._settle(noun)
        return noun

    def _takes(self, noun: Noun, word: str) -> bool:
        """Takes a word that says which or how many, not what. Whether it did."""
        return (
            (word in _QUOTES and self.skip())
            or self._points(noun, word)
            or self._ranks(noun, word)
            or self._sides(noun, word)
            or self._counts_from(noun)
        )

    def _points(self, noun: Noun, word: str) -> bool:
        """Takes an article, a number or the like, which say which or how many. Whether it did."""
        ahead = self.word(1)
        if noun.words:
            return False
        if word in _POINTERS and not (word == "that" and not is_nounish(ahead)):
            noun.determined |= word not in ("a", "an")
            noun.indefinite |= word in ("a", "an")
            return self.skip()
        if word in _MANY:
            noun.every, noun.number = True, 2 if word == "both" else None
            return self.skip(2 if ahead == "of" else 1)
        if word in _EMPTY and ahead:
            return self.skip()
        if (word, ahead) == ("couple", "of"):
            noun.number = 2
            return self.skip(2)
        number = lexicon.NUMBERS.get(word) or (int(word) if word.isdecimal() else 0)
        alone = noun.determined and word != "one"  # "the other two", but not "the large one"
        counted = self._leads_to_noun(ahead) or ahead == "of" or alone
        if 0 < number < 1000 and counted:
            noun.number, noun.number_at = number, self.at
            return self.skip()
        ordinal = -1 if word in ("last", "final") else lexicon.ORDINALS.get(word)
        if ordinal and (noun.determined or self.referring or ahead in ("from", "on", "to")):
            noun.ordinal = ordinal
            return self.skip()
        return False

    def _ranks(self, noun: Noun, word: str) -> bool:
        """Takes a superlative: "the second [largest] dog", "the [left most] cup"."""
        ahead = self.word(1)
        kind, length = words_for.RANK_WORDS.get(word), 1
        if ahead == "most" and words_for.SIDES.get(word) in words_for.FROM_SIDE:
            kind, length = words_for.FROM_SIDE[words_for.SIDES[word]], 2
        if kind is None or self.compares(noun):
            return False
        if kind in ("nearest", "farthest") and ahead in words_for.SIDES:
            return self.skip()  # "farthest left": the side says it all
        rank = noun.ordinal if noun.ordinal and noun.ordinal > 0 else 1
        noun.ordinal = None
        text = self.text(self.at, self.at + length)
        noun.conditions.append(Condition(kind, rank=rank, text=text))
        return self.skip(length)

    def _sides(self, noun: Noun, word: str) -> bool:
        """Takes a side before a noun: "the [upper left] window"; not of "top hat" or "left shoe".

        Without an article or number only two sides are taken for a place.
        """
        ahead = self.word(1)
        if noun.words and self._complete(noun):
            return False  # "the cup right next to the plate"
        vertical = ("top", "bottom", "upper", "lower")
        two = (
            word in words_for.TWO_SIDES
            or (word in vertical and ahead in ("left", "right"))
            or (word in ("left", "right") and self.word(-1) in vertical and noun.begun)
        )
        marked = noun.determined or noun.number or noun.every or self.referring
        if not (marked or two) or f"{word} {ahead}" in _COMPOUNDS:
            return False
        of_some = ahead == "of" and bool(noun.determined) and self._some(2)
        if not (self._leads_to_noun(ahead) or of_some):
            return False
        after_side = self.word(-1) in words_for.SIDES
        if (word in ("far", "very", "extreme") and ahead in words_for.SIDES) or (
            word in ("hand", "side") and after_side
        ):
            return self.skip()
        if word not in words_for.TWO_SIDES and word not in _SIDES_BEFORE_NOUNS:
            return False
        for side in words_for.TWO_SIDES.get(word) or (words_for.SIDES[word],):
            self.side(noun.conditions, side, word, every=noun.every)
        return self.skip()

    def side(
        self, conditions: list[Condition], side: str, text: str, *, every: bool = False
    ) -> None:
        """Adds the condition that a side of the picture is."""
        kind = "middle" if side == "middle" and not every else words_for.PLACE_OF_SIDE[side]
        conditions.append(Condition(kind, text=text))

    def _some(self, ahead: int) -> bool:
        """Whether "the two dogs" or the like comes."""
        ahead += self.word(ahead) in ("the", "these", "those")
        return self.word(ahead) in lexicon.NUMBERS

    def _counts_from(self, noun: Noun) -> bool:
        """Takes "from left" and "to last" before a noun: "the third [from left] cup"."""
        if noun.words or noun.ordinal is None or self.word() not in ("from", "to"):
            return False
        the = self.word(1) == "the"
        word, ahead = self.word(1 + the), self.word(2 + the)
        kind = (
            "rightmost"
            if word == "last"
            else words_for.FROM_SIDE.get(words_for.SIDES.get(word, ""))
        )
        if kind is None or not is_nounish(ahead):
            return False
        text = self.text(self.at - 1, self.at + 2 + the)
        noun.conditions.append(Condition(kind, rank=max(noun.ordinal, 1), text=text))
        noun.ordinal = None
        return self.skip(2 + the)

    def _goes_on_with_of(self, noun: Noun) -> bool:
        """Goes on behind "of": "bunch of bananas", "one of the dogs". Whether it did."""
        if not noun.words:
            if not noun.every:
                noun.number = noun.number or 1  # "the largest of the three dogs"
            self.skip()
            while self.take(lexicon.DETERMINERS) or self.take(lexicon.NUMBERS.keys()):
                pass
            return True
        last, ahead = self.words[noun.words[-1]], self.word(1)
        some = 2 + (ahead in ("the", "these", "those"))
        if self._some(1) and not is_nounish(self.word(some)):
            return self.skip(some)  # "the leftmost cup of the seven", "of two"
        if last in _PICTURES and len(noun.words) == 1:  # "a photo of a dog"
            noun.words.clear()
            return self.skip()
        if last not in _OF_GOES_ON and ahead in lexicon.DETERMINERS:
            return False  # "the wheel of the car"
        length = 2 if ahead in lexicon.ARTICLES else 1
        if not is_nounish(self.word(length)):
            return False
        noun.words += range(self.at, self.at + length)
        return self.skip(length)

    def _ends(self, noun: Noun, word: str) -> bool:
        """Whether the noun phrase is over before this word."""
        if noun.words and self.words[noun.words[0]] in _VAGUE:
            # "something to sit on" is for a rewriter to understand.
            return bool(self.negation()) or not self.tokens[self.at].is_word
        if not self.tokens[self.at].is_word or word in _CLOSED or self.negation():
            return True
        if not noun.begun:
            return False
        ahead = self.word(1)
        if word in _STANDS_ALONE:
            return True
        stuff = bool(noun.words) and self.words[noun.words[-1]] in lexicon.MATERIALS
        if stuff and is_action(word) and ahead in lexicon.PREPOSITIONS:
            return True  # "the glass standing on the table"
        if word in words_for.NEARLY and self.match(words_for.RELATION_WORDS, 1)[0]:
            return True  # "the cup right next to the plate"
        if self.match(words_for.RELATION_WORDS)[0] or self.compares(noun):
            return stuff or self._complete(noun) or word in ("has", "wearing", "holding")
        if not self._complete(noun):
            return False
        if word in words_for.FILLERS:
            return bool(noun.words)
        if word in words_for.SIDES or word in words_for.TWO_SIDES or word == "very":
            sure = word in ("left", "right", "far") or word in words_for.TWO_SIDES
            over = (
                not is_nounish(ahead)
                or ahead == "away"
                or ahead in words_for.SIDE_NOUNS
                or ahead in words_for.SIDES
            )
            return bool(noun.words) and over and (sure or self.referring)
        if is_action(word):
            return bool(noun.words) or not is_nounish(ahead)  # "the lower [parking meter]"
        if word in VERBS_PAST and word not in lexicon.PAST_NOUNS:
            return ahead in lexicon.PREPOSITIONS or not ahead
        finite = word in VERBS_S and bool(noun.words)
        return finite and ahead in _BEFORE_NOUNS

    def _complete(self, noun: Noun) -> bool:
        """Whether what was read can stand alone, ending with more than an adjective."""
        if not noun.words:
            return noun.begun
        return not is_adjective(self.words[noun.words[-1]])

    def _joins_looks(self, noun: Noun, word: str) -> bool:
        """Whether "and" stands inside a noun phrase: "a black and white cat"."""
        within = word in ("and", "&") and bool(noun.words)
        return within and self.word(-1) in _LOOKS and self.word(1) in _LOOKS

    def _leads_to_noun(self, word: str) -> bool:
        """Whether a word can stand between a number or side and a noun, or be the noun."""
        return is_nounish(self.word(2) if is_action(word) else word)

    def _settle(self, noun: Noun) -> None:
        """Finds the head, drops a number that counts nothing, and turns looks into conditions."""
        noun.head = list(noun.words)
        names = [self.words[i] for i in noun.words]
        if "of" in names:
            cut = names.index("of")
            noun.unit = noun.words[cut - 1]
            shown = names[cut - 1] in _SHOWN_AS_CONTENT
            head = noun.words[cut + 1 :] if shown else noun.words[:cut]
            noun.head = [i for i in head if self.words[i] not in lexicon.ARTICLES]
        while len(noun.head) > 1 and is_adjective(self.words[noun.head[0]]):
            noun.head.pop(0)
        if noun.words and (noun.number or 0) > 1 and not (noun.determined or noun.every):
            last = self.words[noun.head[-1]]
            if not is_plural(last) and last not in ANIMATE:
                noun.words.insert(0, noun.number_at)  # "4 wheel drive" counts nothing
                noun.number = None
        for word in (self.words[i] for i in noun.words if i not in noun.head):
            if word in _COLORS or word == "dark":
                noun.conditions.append(Condition("color", value=word, text=word))
            elif word in words_for.SIZE_WORDS and (noun.determined or self.referring):
                noun.conditions.append(Condition(words_for.SIZE_WORDS[word], text=word))

    def compares(self, noun: Noun) -> bool:
        """Whether a rank stands behind its noun: "the cup [closest to] the edge"."""
        word, ahead = self.word(), self.word(1)
        if ahead == "than":
            return True
        if not noun.words:
            return False
        if word in lexicon.ORDINALS:
            return ahead in ("from", "to", "on")
        kind = words_for.RANK_WORDS.get(word)
        distance = kind in ("nearest", "farthest")
        behind = ahead in ("to", "from", "away", "back", "") or (distance and ahead == "the")
        return kind is not None and behind

    def negation(self) -> int:
        """How many of the next words negate what follows them."""
        return self.match(words_for.NEGATION_WORDS)[1]

    def count(self, noun: Noun) -> int | None:
        """How many are meant; None for all that fit."""
        if noun.number is not None or noun.every:
            return noun.number
        last = noun.unit if noun.unit is not None else next(reversed(noun.head), None)
        word = "one" if last is None else self.words[last]
        plural = is_plural(word) and word not in PLURAL_ONLY
        superlative = any(c.text in words_for.RANK_WORDS for c in noun.conditions)
        one = noun.determined or self.referring or (superlative and not noun.indefinite)
        return 1 if one and not plural else None

    def phrase(self, noun: Noun) -> str:
        """What a detector is asked for: looks and noun, of one thing, without what is computed."""
        said = [self.tokens[i].text for i in noun.words]
        if not said:
            return ANYTHING
        last = said[-1].lower()
        if last in NO_HEADS:
            said[-1] = ANYTHING
        elif noun.unit is None and is_plural(last) and last not in PLURAL_ONLY | words_for.CLOTHES:
            said[-1] = singular(last)
        return " ".join(said)

    def head(self, noun: Noun) -> str:
        """The noun alone, in lower case."""
        return " ".join(self.words[i] for i in noun.head) or ANYTHING
