"""Reads what is said of a noun behind it: places, relations, comparisons, negations."""

from __future__ import annotations

from dataclasses import replace

from grounding_sdk.target import Condition, Target
from grounding_sdk.text import lexicon
from grounding_sdk.text import relations as words_for
from grounding_sdk.text.cursor import is_action, is_adjective, is_nounish
from grounding_sdk.text.noun_reader import ANIMATE, ANYTHING, NO_HEADS, Noun, NounReader
from grounding_sdk.text.verbs import VERBS_ING, VERBS_PAST, VERBS_S

MAX_DEPTH = 6  # anchors of anchors of anchors ...

_COLOR_WORDS = lexicon.COLORS | lexicon.SHADES | {"and"}
_BEFORE_SIDES = frozenset("on at in to toward towards near by along from".split())
_NEW_NOUN = lexicon.CONJUNCTIONS | lexicon.DETERMINERS
_CAMERA = words_for.CAMERA_WORDS - {"front", "foreground"}
_PUNCTUATION = frozenset(', and but & - ( ) " “ ” ‘ ’'.split())


class DescriptionReader(NounReader):
    """Reads noun phrases with their descriptions, by recursive descent.

    Attributes:
        excluded: Texts of what was said not to be meant.
        ignored: Words that were not understood.
    """

    def __init__(self, source: str, start: int, end: int, referring: bool) -> None:
        super().__init__(source, start, end, referring)
        self.excluded: list[str] = []
        self.ignored: list[str] = []
        self._depth = 0
        self._meant = ""  # the head of the target, while its anchors are read

    def described(self, noun: Noun) -> Target:
        """Reads what follows a noun phrase and says what both mean."""
        self._meant = self.head(noun)
        before = len(self.ignored)
        while self.at < len(self.words) and self._describe(noun):
            pass
        if noun.ordinal is not None:
            kind, rank = ("rightmost", 1) if noun.ordinal < 0 else ("leftmost", noun.ordinal)
            noun.conditions.append(Condition(kind, rank=rank, text="in reading order"))
        return replace(self._target(noun), ignored=tuple(self.ignored[before:]))

    def _target(self, noun: Noun) -> Target:
        return Target(
            self.phrase(noun),
            head=self.head(noun),
            count=self.count(noun),
            conditions=tuple(noun.conditions),
            text=self.text(noun.start, self.at),
            span=self.span(noun.start, self.at),
        )

    def _describe(self, noun: Noun) -> bool:
        """Reads one description; False at what describes nothing, such as a second noun."""
        start, word = self.at, self.word()
        if not word:  # the end: "the dog that"
            return False
        if word in _PUNCTUATION:
            if word in ("and", "&", ",") and not self._description_comes(1):
                return False
            return self.skip()
        if length := self.negation():
            self.skip(length)
            self._negated(noun)
            return True
        if length := self.match(words_for.WITHOUT)[1]:
            self.skip(length)
            for anchor in self._anchors():
                kind = "wearing" if _is_worn(anchor) else "holding"
                self._add(noun, kind, start, anchor, negated=True)
            return True
        if length := self.match(words_for.FILLER_PHRASES)[1]:
            return self.skip(length)
        if (
            word in words_for.NEARLY
            and self.match(words_for.RELATION_WORDS, 1)[0]
            and (self.word(1) != "of")
        ):
            return self.skip()
        if self._whose() or self._owned_side(noun) or self._place(noun):
            return True
        if self._ordinal(noun) or self._comparison(noun):
            return True
        if word == "'s" and self.word(-1) not in words_for.FILLERS:
            return self._possessed(noun)
        kind, length = self.match(words_for.RELATION_WORDS)
        if kind:
            self.skip(length)
            self._related(noun, kind, start)
            return True
        if self._object_clause(noun):
            return True
        if word in words_for.FILLERS or word in lexicon.ADVERBS or word in lexicon.DEGREES:
            return self.skip()
        if word in VERBS_ING or word in VERBS_PAST or word in VERBS_S:
            self.skip()
            own = self.word() in lexicon.POSSESSIVES  # "leaning his head" speaks of no other thing
            if own or self.word() in lexicon.ARTICLES:
                for anchor in self._anchors():
                    if not own:
                        self._add(noun, "with", start, anchor)
            return True
        if word in _NEW_NOUN or not noun.words:
            return False
        if self.tokens[self.at].is_word:
            self.ignored.append(self.tokens[self.at].text)
        return self.skip()

    # Relations to other things.

    def _related(self, noun: Noun, kind: str, start: int) -> None:
        """Reads the anchors of a relation, whose words began at `start`."""
        if self._no_anchor(noun, kind, start):
            return
        before = self.at
        anchors = self._anchors(both=kind == "between")
        if not anchors:
            self.ignored.append(self.text(start, max(self.at, start + 1)))
            return
        if kind == "between":
            self._add(noun, kind, start, *anchors[:2])
            return
        if kind in ("on", "in", "near", "under") and anchors[0].head in words_for.BODY:
            # "with a cap on his head" says no more; "in the woman's hand" says who has it.
            for condition in anchors[0].conditions:
                if condition.kind == "held by":
                    self._add(noun, "held by", start, *condition.anchors)
            return
        side = self._own_side() if kind == "with" else ""
        if side:
            self._add(noun, words_for.OPPOSITE[words_for.OF_SIDE[side]], start, anchors[0])
            return
        clothing = kind == "wearing" or self.words[start] == "in"
        for anchor in anchors:
            if clothing and _is_color(anchor):  # "the man in blue"
                for word in self.words[before : self.at]:
                    if word in lexicon.COLORS:
                        self._add(noun, "color", start, value=word)
                continue
            worn = kind == "wearing" or ((clothing or kind == "with") and _is_worn(anchor))
            self._add(noun, "wearing" if worn else kind, start, anchor)
            for condition in anchor.conditions if worn else ():
                # What is worn covers much of who wears it, and is often not found by itself.
                if condition.kind == "color":
                    self._add(noun, "color", start, value=condition.value)

    def _no_anchor(self, noun: Noun, kind: str, start: int) -> bool:
        """Takes what follows a relation without being a thing. Whether it did."""
        ahead = self.word(1)
        if self.word() in lexicon.PRONOUNS and not is_nounish(ahead):
            return self.skip()  # "with a logo on it" says nothing more of the thing itself
        article = self.word() in lexicon.ARTICLES
        if self.word(article) in _CAMERA:
            self.skip(1 + article)
            distance = {"near": "nearest", "far from": "farthest"}.get(kind)
            if distance and self.words[start] in ("near", "close", "far"):
                self._add(noun, distance, start)
            return True  # "looking at the camera" tells no place
        if (self.word() in words_for.SIDES or self.word() in lexicon.ADVERBS) and not is_nounish(
            ahead
        ):
            self.ignored.append(self.text(start, self.at + 1))  # "facing left"
            return self.skip()
        return False

    def _anchors(self, *, both: bool = False) -> list[Target]:
        """Reads one anchor or more: "the plate", "a hat and a bag", "the two cups"."""
        found: list[Target] = []
        if self._depth >= MAX_DEPTH:
            return found
        self._depth += 1
        while (noun := self.noun()) is not None:
            found.append(self._anchor(noun))
            clothes = any(self.word(ahead) in words_for.CLOTHES for ahead in (1, 2))
            worn = clothes or (_is_worn(found[-1]) and self._worn_next())
            more = both or self.word(1) in ("a", "an") or worn
            if self.word() not in ("and", "&") or not more:
                break
            self.skip()
        self._depth -= 1
        return found

    def _anchor(self, noun: Noun) -> Target:
        """An anchor takes only descriptions that are rather its own than the target's.

        Those behind "that"; what people and animals wear and do; and where it stands, if it is the
        same kind of thing as the target: "the dog left of the dog [on the right]".
        """
        animate = self.head(noun).split()[-1] in ANIMATE
        same = self.head(noun) in ("one", "ones", "other", "others") or not noun.words
        again = same and bool(self._meant)
        twin = again or self.head(noun) == self._meant
        while True:
            start, word = self.at, self.word()
            if twin and self._place(noun):
                continue
            if word == "'s" and self._possessed(noun):
                continue
            relative = word in ("that", "which") or (word == "who" and animate)
            kind = self.match(words_for.RELATION_WORDS)[0]
            acts = kind in ("wearing", "holding", "with") or word in VERBS_ING
            worn = word == "in" and self._worn_next()
            own = animate and (acts or worn)
            if not (relative or own or word == "of" or (again and kind == "with")):
                break
            while relative and self.take(words_for.FILLERS):
                pass
            if not self._describe(noun) or self.at == start:
                break
        target = self._target(noun)
        if again:  # "the black dog behind the white one"
            phrase = target.phrase.replace(ANYTHING, self._meant)
            return replace(target, phrase=phrase, label="", head=self._meant)
        return target

    def _owned_side(self, noun: Noun) -> bool:
        """Reads "on the plate's left". Whether it was there."""
        start = self.at
        if self.take(("on", "to", "at")) and self.word() in ("the", "a"):
            owner = self.noun()
            side = words_for.SIDES.get(self.word(1))
            if owner is not None and side in words_for.OF_SIDE and self.take(("'s",)):
                self.skip()
                if not is_nounish(self.word()) or self.take(words_for.SIDE_NOUNS):
                    self._add(noun, words_for.OF_SIDE[side], start, self._target(owner))
                    return True
        self.at = start
        return False

    def _own_side(self) -> str:
        """Takes "to its left" behind an anchor; "" if it is not there."""
        side = words_for.SIDES.get(self.word(2), "")
        here = self.word() in ("to", "on", "at") and self.word(1) in lexicon.POSSESSIVES
        if not here or words_for.OF_SIDE.get(side) not in words_for.OPPOSITE:
            return ""
        self.skip(3)
        self.take(words_for.SIDE_NOUNS)
        return side

    def _possessed(self, noun: Noun) -> bool:
        """Reads "the man['s hat]": the noun so far is the anchor, what follows is meant."""
        owner = self._target(noun)
        self.skip()
        thing = self.noun()
        if thing is not None:
            text = self.text(noun.start, self.at)
            noun.words, noun.head, noun.unit = thing.words, thing.head, thing.unit
            noun.conditions = [Condition("held by", (owner,), text=text), *thing.conditions]
        return True

    def _object_clause(self, noun: Noun) -> bool:
        """Reads "(that) the man is holding". Whether it was there."""
        start = self.at
        self.take(("that", "which"))
        doer = self.noun() if self.word() in lexicon.DETERMINERS else None
        while doer is not None and self.take(lexicon.AUXILIARIES):
            pass
        if doer is None or not any(
            self.word() in verbs for verbs in (VERBS_ING, VERBS_S, VERBS_PAST)
        ):
            self.at = start
            return False
        anchor = self._target(doer)
        self.skip()
        stands = self.take(("on", "in", "at"))  # "the bench the man sits on"
        self._add(noun, "with" if stands else "held by", start, anchor)
        return True

    def _whose(self) -> bool:
        """Passes over "whose back is turned", which boxes do not show. Whether it was there."""
        start = self.at
        if not self.take(("whose",)):
            return False
        self.noun()
        while self.take(lexicon.AUXILIARIES):
            pass
        self.skip(self.at < len(self.words))
        self.ignored.append(self.text(start, self.at))
        return True

    # Places, ranks and comparisons.

    def _place(self, noun: Noun) -> bool:
        """Reads a place in the picture, or a side of an anchor. Whether there was one."""
        start = self.at
        preposition = self.words[start] if self.take(_BEFORE_SIDES) else ""
        article = self.take(("the", "a")) or self.take(lexicon.POSSESSIVES)
        sides = self._side_words()
        # "the one in the back seat" is no place, and a lone "top" rather a thing.
        certain = bool(preposition) or article or len(sides) > 1 or self.referring
        certain = certain or sides[:1] in (["left"], ["right"]) or self.word() == "of"
        if not sides or not certain or is_nounish(self.word()):
            self.at = start
            return False
        if noun.ordinal is not None and preposition in ("from", "on", "to"):
            kind = words_for.FROM_SIDE.get(sides[0], "leftmost")
            self._add(noun, kind, noun.start, rank=max(noun.ordinal, 1))
            noun.ordinal = None
            return True
        if self.word() == "of" and self._one_of_some(noun, sides, start):
            return True
        if self.word() == "of":
            picture = self.word(2) if self.word(1) in lexicon.DETERMINERS else self.word(1)
            if picture not in words_for.IMAGE_WORDS:
                self.skip()
                beside = sides[0] in ("left", "right")
                within = len(sides) > 1 or (article and preposition in ("in", "at") and not beside)
                self._related(noun, "in" if within else words_for.OF_SIDE[sides[0]], start)
                return True
            while not self.take(words_for.IMAGE_WORDS):
                self.skip()
        for side in dict.fromkeys(sides):
            self.side(noun.conditions, side, self.text(start, self.at), every=noun.every)
        return True

    def _one_of_some(self, noun: Noun, sides: list[str], start: int) -> bool:
        """Reads "the one in the middle [of the three cups]", which says what "one" is."""
        if not self._some(1) or not all(self.words[i] in NO_HEADS for i in noun.words):
            return False
        self.skip()
        things = self.noun()
        if things is None:
            return False
        noun.words, noun.head, noun.number = things.words, things.head, noun.number or 1
        for side in sides:
            self.side(noun.conditions, side, self.text(start, self.at))
        return True

    def _side_words(self) -> list[str]:
        """Takes words for sides, such as "far left hand side" or "upper right corner"."""
        sides: list[str] = []
        while True:
            word, ahead = self.word(), self.word(1)
            if word in words_for.TWO_SIDES:
                sides += words_for.TWO_SIDES[word]
            elif word == "far" and "from" in (ahead, self.word(2)):
                return sides  # "far away from the door"
            elif word == "far" and ahead == "away":
                sides.append("back")
                self.skip()
            elif word == "far" and ahead in words_for.SIDES:
                pass
            elif word in words_for.SIDES and not (sides and word in ("corner", "edge")):
                sides.append(words_for.SIDES[word])
            elif word not in (words_for.SIDE_NOUNS if sides else words_for.SIDE_DEGREES):
                return sides
            self.skip()

    def _ordinal(self, noun: Noun) -> bool:
        """Reads "second from the left", "the third largest". Whether it was there."""
        start = self.at
        self.take(("the",))
        rank = lexicon.ORDINALS.get(self.word(), 0)
        kind: str | None = None
        if rank and self.skip():
            self.take(("one",))
            kind = words_for.RANK_WORDS.get(self.word())
            if kind is None and self.take(("from", "to", "on", "in")):
                self.take(("the",))
                kind = words_for.FROM_SIDE.get(words_for.SIDES.get(self.word(), ""))
        if kind is None:
            self.at = start
            return False
        self.skip()
        self.take(words_for.SIDE_NOUNS)
        self._add(noun, kind, start, rank=rank)
        return True

    def _comparison(self, noun: Noun) -> bool:
        """Reads "closest to the door", "farther away", "that is largest". Whether it was there."""
        start = self.at
        if self.word(1) in words_for.RANK_WORDS:
            self.take(("the",))
        kind = words_for.RANK_WORDS.get(self.word(), "")
        if not kind or self.match(words_for.RELATION_WORDS)[0]:
            self.at = start
            return False
        self.skip()
        if kind not in ("nearest", "farthest"):
            self._add(noun, kind, start)
            return True
        while self.take(("away", "back", "up", "one")):
            pass
        if self.word() in words_for.SIDES:
            return True  # "farthest left": the place that follows says it all
        to = self.word() == "to"
        linked = self.take(("to", "from"))
        if not (linked or is_nounish(self.word()) or self.word() == "the"):
            self._add(noun, kind, start)
            return True
        here = self.at
        self.take(lexicon.DETERMINERS)
        side = words_for.SIDES.get(self.word())
        if self.take(words_for.CAMERA_WORDS):
            self._add(noun, kind, start)
        elif side and (not is_nounish(self.word(1)) or self.word(1) in words_for.SIDE_NOUNS):
            self.skip()
            while self.take(words_for.SIDE_NOUNS):
                pass
            away = kind == "farthest" and not to
            self._add(noun, words_for.PLACE_OF_SIDE[side], start, negated=away)
        else:
            self.at = here
            anchors = self._anchors()
            self._add(noun, kind, start, *anchors[:1])
        return True

    # What is not meant.

    def _negated(self, noun: Noun) -> None:
        """Reads what must not be: "not on the left", "not the red one", "but not cap"."""
        if not self._description_comes(0):
            self._exclude(noun)
            return
        before = len(noun.conditions)
        while self.take(words_for.FILLERS):
            pass
        self._describe(noun)
        for i in range(before, len(noun.conditions)):
            noun.conditions[i] = _opposite(noun.conditions[i])

    def _exclude(self, noun: Noun) -> None:
        """Reads a noun phrase that is not meant.

        Another kind of thing competes as a phrase: "dog, not toy dog". One of the things themselves
        is told apart by its conditions: "the cups, not the red one".
        """
        start, thing = self.at, self.phrase(noun)
        while (other := self.noun()) is not None:
            words = [self.words[i] for i in other.words]
            colored = any(word in lexicon.COLORS for word in words)
            looks = colored and all(word in _COLOR_WORDS for word in words)
            if looks:  # "that is not red"
                other.conditions = [
                    Condition("color", value=w) for w in words if w in lexicon.COLORS
                ]
            vague = not words or words[-1] in NO_HEADS
            same = looks or vague or self.head(other) == self.head(noun)
            if other.determined or (same and other.conditions):
                meant = self.described(other)
                meant = replace(meant, phrase=thing, head=self.head(noun)) if same else meant
                if same and len(meant.conditions) == 1:
                    opposite = _opposite(meant.conditions[0])
                    noun.conditions.append(replace(opposite, text=self.text(start, self.at)))
                else:
                    self._add(noun, "same as", start, meant, negated=True)
            elif all(is_adjective(word) for word in words):
                self.excluded.append(f"{self.phrase(other)} {thing}")  # "not wooden"
            else:
                self.excluded.append(self.phrase(other))
            if self.word() not in ("or", "and", "nor") or not is_nounish(self.word(1)):
                break
            self.skip()

    # Looking ahead.

    def _description_comes(self, ahead: int) -> bool:
        """Whether what comes describes the noun before it, and is no noun of its own."""
        here, self.at = self.at, self.at + ahead
        word = self.word()
        found = bool(
            self.match(words_for.RELATION_WORDS)[0]
            or self.match(words_for.WITHOUT)[0]
            or self.negation()
            or word in lexicon.PREPOSITIONS
            or word in ("that", "which", "who", "is", "are")
            or is_action(word)
            or (word in words_for.SIDES and not is_nounish(self.word(1)))
            or (word in words_for.RANK_WORDS and not is_nounish(self.word(1)))
        )
        self.at = here
        return found

    def _worn_next(self) -> bool:
        ahead = self.words[self.at + 1 : self.at + 6]
        return any(word in words_for.CLOTHES or word in lexicon.COLORS for word in ahead)

    def _add(
        self,
        noun: Noun,
        kind: str,
        start: int,
        *anchors: Target,
        value: str = "",
        rank: int = 1,
        negated: bool = False,
    ) -> None:
        """Adds a condition that was read from the words since `start`."""
        text = self.text(start, self.at)
        noun.conditions.append(Condition(kind, anchors, value, rank, negated, text))


def _opposite(condition: Condition) -> Condition:
    return replace(condition, negated=not condition.negated)


def _is_worn(anchor: Target) -> bool:
    return anchor.head.split()[-1] in words_for.CLOTHES


def _is_color(anchor: Target) -> bool:
    words = anchor.phrase.lower().split()
    return words[-1] in lexicon.COLORS and all(word in _COLOR_WORDS for word in words)
