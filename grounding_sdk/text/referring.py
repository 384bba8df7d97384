"""Reads referring expressions: what is meant, and by which conditions.

>>> query = read_prompt("the two red cups left of the laptop . dog, not toy dog")
>>> print(query)
dog . not toy dog for dog . 2 red cup [red color; left of laptop]

A prompt is cut into pieces at dots, commas, semicolons and line breaks. A piece that asks for no
more than a noun phrase stays the phrase that it is; the others become a `Target` with the phrases
that it needs. Nothing is refused: words that are not understood are kept in `Target.ignored`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from grounding_sdk.query import Phrase, Query
from grounding_sdk.target import Condition, Target
from grounding_sdk.text import lexicon
from grounding_sdk.text import relations as words_for
from grounding_sdk.text.plurals import PLURAL_ONLY, is_plural, singular
from grounding_sdk.text.tokens import Token, tokenize
from grounding_sdk.text.verbs import VERBS_ING, VERBS_PAST, VERBS_S

MAX_WORDS = 120  # longer pieces are no expression that a person would write
MAX_DEPTH = 6  # anchors of anchors of anchors ...
ANYTHING = "object"  # what a detector is asked for where no noun is given: "the leftmost one"

_ADJECTIVES = lexicon.ADJECTIVES | lexicon.COLORS | lexicon.MATERIALS | lexicon.SHADES
_NO_HEADS = frozenset("one ones thing things object objects item items".split())
_ANIMATE = lexicon.PEOPLE | lexicon.ANIMALS
_OF_GOES_ON = lexicon.GROUPS | lexicon.PORTIONS | lexicon.CONTAINERS
_PICTURES = frozenset("photo photograph picture image closeup close-up view shot".split())
_BEFORE_SIDES = frozenset("on at in to toward towards near by along from".split())
_SIDES_BEFORE_NOUNS = frozenset(words_for.SIDES) - {
    "corner", "edge", "border", "margin", "background", "foreground", "distance", "far",
}  # fmt: skip
_COMPOUNDS = frozenset(
    "top hat,top hats,front door,back door,front wheel,back wheel,rear wheel,center piece,"
    "middle finger,back pack,back packs,back seat,front seat,bottom line,right angle,rear view,"
    "left turn,right turn,corner store,front yard,back yard,front desk".split(",")
)
_NOT_COLORS = frozenset("clear transparent translucent rainbow colored coloured camo".split())


def read_prompt(prompt: str, *, referring: bool = False) -> Query:
    """Reads a prompt of phrases and referring expressions.

    Args:
        prompt: Pieces separated by dots, commas, semicolons or line breaks.
        referring: Whether a bare noun ("left man in blue") means one thing, as in referring
            expressions, and not all that fit, as in a list of names.

    Raises:
        QueryError: If nothing is asked for.

    >>> query = read_prompt("the cup left of the laptop")
    >>> query.texts, query.wanted, query.targets[0].count
    (('cup', 'laptop'), ('cup',), 1)
    """
    query = Query.of(prompt)
    readings = [_Reader(prompt, *span, referring).piece() for span in _pieces(query)]
    return _assembled(query, readings)


def read_phrases(query: Query, *, referring: bool = False) -> Query:
    """Reads each phrase of a query that is to be found; labels and thresholds are kept.

    >>> query = read_phrases(Query.of({"the largest dog": "A", "cat": "B"}))
    >>> query.wanted, [str(target) for target in query.targets]
    (('B', 'A'), ['dog [largest]'])
    """
    readings = []
    for phrase in query:
        if phrase.role != "find":
            readings.append(_Reading(plain=[phrase]))
            continue
        reading = _Reader(phrase.text, 0, len(phrase.text), referring).piece()
        label = phrase.label if phrase.label != phrase.text else ""
        if not reading.targets and not reading.excluded:
            reading = _Reading(plain=[phrase])
        readings.append(reading.counting_as(label, phrase.threshold, phrase.span))
    return _assembled(query, readings)


# --- what a piece means ------------------------------------------------------------------------


@dataclass
class _Reading:
    """What one piece of a prompt means."""

    plain: list[Phrase] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    excluded: list[Phrase] = field(default_factory=list)
    threshold: float | None = None

    def counting_as(
        self, label: str, threshold: float | None, span: tuple[int, int] | None
    ) -> _Reading:
        plain = [replace(p, label=label or p.label, threshold=threshold) for p in self.plain]
        targets = [replace(t, label=label or t.label, span=span) for t in self.targets]
        excluded = self.excluded
        if label:
            excluded = [replace(p, label=label) if self.plain else p for p in excluded]
        return _Reading(plain, targets, excluded, threshold)


def _assembled(query: Query, readings: list[_Reading]) -> Query:
    """A query of all readings: phrases to find, the parts of targets, excluded phrases."""
    find: dict[tuple[str, str], Phrase] = {}
    parts: dict[str, Phrase] = {}
    excluded: dict[tuple[str, str], Phrase] = {}
    for reading in readings:
        for phrase in reading.plain:
            find.setdefault((phrase.text, phrase.label), phrase)
        for target in reading.targets:
            for part in target.walk():
                threshold = reading.threshold
                parts.setdefault(part.phrase, Phrase(part.phrase, threshold=threshold, role="part"))
        for phrase in reading.excluded:
            excluded.setdefault((phrase.text, phrase.label), phrase)
    sought = {text for text, _ in find}
    phrases = [*find.values(), *(p for text, p in parts.items() if text not in sought)]
    targets = [target for reading in readings for target in reading.targets]
    if not targets and not excluded and query.texts == tuple(p.text for p in phrases):
        return query
    return replace(query, phrases=(*phrases, *excluded.values()), targets=tuple(targets))


def _pieces(query: Query) -> list[tuple[int, int]]:
    """Spans of a prompt's pieces; one that only goes on about the last is joined to it."""
    spans: list[tuple[int, int]] = []
    prompt = query.source or ""
    for start, end in (phrase.span for phrase in query if phrase.span):
        first = [token.lower for token in tokenize(prompt[start : min(end, start + 80)])[:4]]
        if spans and "," in prompt[spans[-1][1] : start] and _goes_on(first):
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
    return spans


def _goes_on(first: list[str]) -> bool:
    """Whether words describe what came before: "the cup, [left of the laptop]"."""
    one = tuple(first[:1])
    negates = one in words_for.NEGATION_WORDS or tuple(first[:2]) in words_for.NEGATION_WORDS
    relates = any(tuple(first[:n]) in words_for.RELATION_WORDS for n in range(1, 5))
    return negates or relates or (bool(first) and first[0] in ("that", "which", "who", "without"))


# --- reading one piece -------------------------------------------------------------------------


@dataclass
class _Noun:
    """A noun phrase while it is read."""

    start: int
    words: list[int] = field(default_factory=list)  # tokens that a detector is asked for
    head: list[int] = field(default_factory=list)
    unit: int | None = None  # "bunch" in "bunch of bananas", which is what is counted
    conditions: list[Condition] = field(default_factory=list)
    determined: bool = False  # by "the" or its like
    indefinite: bool = False
    every: bool = False
    number: int | None = None
    number_at: int | None = None
    ordinal: int | None = None
    end: int = 0


class _Reader:
    """Reads one piece of a prompt from left to right, by recursive descent."""

    def __init__(self, source: str, start: int, end: int, referring: bool) -> None:
        self.source, self.span, self.referring = source, (start, end), referring
        self.tokens = [
            Token(token.text, token.start + start, token.end + start)
            for token in tokenize(source[start:end])
        ]
        self.words = [token.lower for token in self.tokens]
        self.at = 0
        self.excluded: list[tuple[str, str]] = []  # text, and the target that it speaks against
        self.ignored: list[str] = []
        self.depth = 0

    def piece(self) -> _Reading:
        """Reads all of it."""
        reading = _Reading()
        if self.word() in lexicon.CONJUNCTIONS and len(self.words) > 1:  # "a cat, and a dog"
            self.at += 1
            self.span = self.tokens[1].start, self.span[1]
        whole = self.source[slice(*self.span)].strip()
        if len(self.words) > MAX_WORDS:
            return self._plain(whole)
        first = True
        while first or self._next_target(reading):
            first = False
            start = self.at
            if self._negation():
                self._exclude("")
                continue
            noun = self.noun()
            if noun is None:
                break
            noun.determined |= any(target.count == 1 for target in reading.targets)
            target = self.described(noun)
            # Looks alone are the detector's: "red car" stays the phrase that it is.
            looks = all(c.kind == "color" and not c.negated for c in target.conditions)
            if target.count is not None or not looks:
                reading.targets.append(target)
            else:
                text = self._text(noun.words[0] if noun.every else start, noun.end)
                reading.plain.append(Phrase(text, span=self._span(start, noun.end)))
        leftover = self._rest()
        if not reading.targets and not self.excluded:
            # Nothing beyond noun phrases: what was not understood is the detector's business.
            if self.ignored or leftover or not reading.plain:
                return self._plain(whole)
            return reading
        if leftover and reading.targets:
            last = reading.targets[-1]
            reading.targets[-1] = replace(last, ignored=(*last.ignored, leftover))
        for text, against in self.excluded:
            asked = {p.text for p in reading.plain} | {t.phrase for t in reading.targets}
            if text not in asked:
                reading.excluded.append(Phrase(text, against, role="exclude"))
        return reading

    def _plain(self, whole: str) -> _Reading:
        return _Reading(plain=[Phrase(whole, span=self.span)])

    def _next_target(self, reading: _Reading) -> bool:
        """Goes on to a second thing: "the cup and the plate", "two dogs, a cat"."""
        if not (reading.targets or reading.plain) or self.word() not in ("and", "&", "plus", ","):
            return False
        ahead = self.word(1)
        determined = ahead in lexicon.DETERMINERS or ahead in lexicon.NUMBERS
        if determined or (reading.targets and ahead and self._is_nounish(ahead)):
            self.at += 1
            return True
        return False

    def _rest(self) -> str:
        rest = self._text(self.at, len(self.tokens)) if self.at < len(self.tokens) else ""
        return rest if any(char.isalnum() for char in rest) else ""

    # Nouns.

    def noun(self) -> _Noun | None:
        """Reads a noun phrase up to what describes it from behind; None if there is none."""
        noun = _Noun(self.at)
        while self.at < len(self.words):
            word = self.word()
            if self._before_noun(noun, word):
                continue
            if word == "of" and (noun.words or noun.conditions or noun.number or noun.ordinal):
                if self._of(noun):
                    continue
                break
            if word in ("and", "&") and self._joins_colors(noun):
                noun.words.append(self.at)
                self.at += 1
                continue
            if self._ends(noun, word):
                break
            noun.words.append(self.at)
            self.at += 1
        noun.end = self.at
        if not (noun.words or noun.conditions or noun.ordinal or (noun.determined and noun.number)):
            self.at = noun.start
            return None
        self._settle(noun)
        return noun

    def _before_noun(self, noun: _Noun, word: str) -> bool:
        """Takes a word that says which or how many, not what. Whether it did."""
        ahead = self.word(1)
        if not noun.words:
            if word in lexicon.ARTICLES | lexicon.DEMONSTRATIVES | lexicon.POSSESSIVES:
                if word == "that" and not self._is_nounish(ahead):
                    return False
                noun.determined |= word not in ("a", "an")
                noun.indefinite |= word in ("a", "an")
                return self._skip()
            if word in ("all", "every", "each", "any", "both", "some", "several", "many"):
                noun.every, noun.number = True, 2 if word == "both" else None
                return self._skip(2 if ahead == "of" else 1)
            if word in ("only", "single", "other", "another", "same", "two-most") and ahead:
                return self._skip()
            if ahead and (word in lexicon.NUMBERS or (word.isdecimal() and len(word) < 4)):
                value = lexicon.NUMBERS.get(word) or (int(word) if word.isdecimal() else 0)
                if value and (self._goes_on_as_noun(ahead) or ahead == "of"):
                    noun.number, noun.number_at = value, self.at
                    return self._skip()
            if (word, ahead) == ("couple", "of"):
                noun.number = 2
                return self._skip(2)
            if word in lexicon.ORDINALS or word in ("last", "final"):
                if noun.determined or self.referring or ahead == "from":
                    noun.ordinal = lexicon.ORDINALS.get(word, -1)
                    return self._skip()
        marked = noun.determined or noun.number or self.referring or noun.every
        if word in words_for.RANK_WORDS and not self._starts_comparison(noun):
            self._rank(noun, words_for.RANK_WORDS[word], word)
            return self._skip()
        if word == "most" and ahead in words_for.SIDES:
            return self._skip()
        if not marked or f"{word} {ahead}" in _COMPOUNDS or not self._goes_on_as_noun(ahead):
            return False
        if word in ("far", "very", "extreme") and ahead in words_for.SIDES:
            return self._skip()
        if word in ("hand", "side", "most") and self.word(-1) in words_for.SIDES:
            return self._skip()
        sides: tuple[str, ...] | None = words_for.TWO_SIDES.get(word)
        if sides is None and word in _SIDES_BEFORE_NOUNS | {"far"}:
            sides = (words_for.SIDES[word],)
        if sides is None:
            return False
        for side in sides:
            self._side(noun.conditions, side, word, noun.every)
        return self._skip()

    def _of(self, noun: _Noun) -> bool:
        """Goes on behind "of": "bunch of bananas", "one of the dogs". Whether it did."""
        ahead = self.word(1)
        if not noun.words:
            if not noun.every:
                noun.number = noun.number or 1  # "the largest of the three dogs"
            while self.word(1) in lexicon.DETERMINERS or self.word(1) in lexicon.NUMBERS:
                self.at += 1
            return self._skip()
        last = self.words[noun.words[-1]]
        if last in _PICTURES and len(noun.words) == 1:
            noun.words.clear()
            return self._skip()
        goes_on = last in _OF_GOES_ON or ahead not in lexicon.DETERMINERS
        if goes_on and ahead and self._is_nounish(self.word(2 if ahead in ("a", "the") else 1)):
            noun.words.append(self.at)
            self.at += 1
            if self.word() in lexicon.ARTICLES:
                noun.words.append(self.at)
                self.at += 1
            return True
        return False

    def _ends(self, noun: _Noun, word: str) -> bool:
        """Whether the noun phrase is over before this word."""
        if not self.tokens[self.at].is_word:
            return True
        begun = bool(noun.words or noun.conditions or noun.ordinal)
        if word in lexicon.PREPOSITIONS | lexicon.CONJUNCTIONS | lexicon.AUXILIARIES | {"'s"}:
            return True
        if word in ("that", "which", "who", "whose", "without") or self._negation(peek=True):
            return True
        if not begun:
            return False
        ahead = self.word(1)
        if word in lexicon.DETERMINERS | lexicon.PRONOUNS and word not in _NO_HEADS:
            return True
        if self._match(words_for.RELATION_WORDS)[0] or self._starts_comparison(noun):
            return self._nounish_so_far(noun) or word in ("has", "wearing", "holding")
        sided = word in words_for.SIDES or word in words_for.TWO_SIDES or word in ("far", "very")
        if sided and self._nounish_so_far(noun):
            end = ahead in ("", "of", "side", "corner", "most", "hand") or not self._is_nounish(
                ahead
            )
            sure = word in ("left", "right", "far") or word in words_for.TWO_SIDES or self.referring
            return bool(noun.words) and (end or ahead in words_for.SIDES) and sure
        stuff = self.words[noun.words[-1]] in lexicon.MATERIALS if noun.words else False
        if stuff and word in VERBS_ING and ahead in lexicon.PREPOSITIONS:
            return True  # "the glass standing on the table"
        if not self._nounish_so_far(noun):
            return False
        if word in VERBS_ING and word not in lexicon.ING_NOUNS:
            return bool(noun.words) or not self._is_nounish(ahead)  # "the lower parking meter"
        if word in VERBS_PAST and word not in lexicon.PAST_NOUNS:
            return ahead in lexicon.PREPOSITIONS or not ahead
        return word in VERBS_S and ahead in lexicon.DETERMINERS | lexicon.PREPOSITIONS

    def _settle(self, noun: _Noun) -> None:
        """Finds the head, drops a number that counts nothing, and turns looks into conditions."""
        names = [self.words[i] for i in noun.words]
        if "of" in names:
            cut = names.index("of")
            noun.unit = noun.words[cut - 1]
            unit = names[cut - 1] in lexicon.GROUPS | lexicon.PORTIONS
            noun.head = noun.words[cut + 1 :] if unit else noun.words[:cut]
            noun.head = [i for i in noun.head if self.words[i] not in lexicon.ARTICLES]
        else:
            noun.head = list(noun.words)
        while len(noun.head) > 1 and self._is_adjective(self.words[noun.head[0]]):
            noun.head.pop(0)
        if noun.number_at is not None and noun.number and noun.number > 1:
            if noun.words and self._is_singular(noun) and not noun.determined:
                noun.words.insert(0, noun.number_at)  # "4 wheel drive"
                noun.number = None
        looks = [i for i in noun.words if i not in noun.head]
        for i in looks:
            word = self.words[i]
            if word in lexicon.COLORS - _NOT_COLORS or word == "dark":
                noun.conditions.append(Condition("color", value=word, text=word))
            elif word in words_for.SIZE_WORDS and (noun.determined or self.referring):
                noun.conditions.append(Condition(words_for.SIZE_WORDS[word], text=word))

    def _is_singular(self, noun: _Noun) -> bool:
        last = self.words[noun.head[-1]] if noun.head else ""
        return not is_plural(last) and last not in lexicon.ANIMALS | {"people"}

    # What describes a noun from behind.

    def described(self, noun: _Noun) -> Target:
        """Reads what follows a noun phrase and says what both mean."""
        conditions = noun.conditions
        target_text = self._phrase(noun)
        ignored_before = len(self.ignored)
        while self.at < len(self.words):
            before = self.at
            if not self._describe(noun, conditions, target_text):
                break
            if self.at == before:
                break
        if noun.ordinal is not None:
            kind, rank = ("rightmost", 1) if noun.ordinal < 0 else ("leftmost", noun.ordinal)
            conditions.append(Condition(kind, rank=rank, text="in reading order"))
        ignored = tuple(self.ignored[ignored_before:])
        del self.ignored[ignored_before:]
        if not (conditions or noun.determined or noun.number):
            self.ignored.extend(ignored)
        return Target(
            target_text,
            head=" ".join(self.words[i] for i in noun.head) or ANYTHING,
            count=self._count(noun),
            conditions=tuple(conditions),
            text=self._text(noun.start, self.at),
            span=self._span(noun.start, self.at),
            ignored=ignored,
        )

    def _count(self, noun: _Noun) -> int | None:
        if noun.number is not None:
            return noun.number
        if noun.every:
            return None
        last = noun.unit if noun.unit is not None else noun.head[-1] if noun.head else None
        head = "one" if last is None else self.words[last]
        plural = is_plural(head) and head not in PLURAL_ONLY
        ranked = (
            any(c.text in words_for.RANK_WORDS for c in noun.conditions) and not noun.indefinite
        )
        if plural or not (noun.determined or self.referring or ranked or noun.ordinal):
            return None
        return 1

    def _describe(self, noun: _Noun, conditions: list[Condition], target: str) -> bool:
        """Reads one description; False at what describes nothing, such as a second noun."""
        start = self.at
        word, ahead = self.word(), self.word(1)
        if word in (",", "and", "but", "&", "-", "(", ")", '"'):
            if word in ("and", "&", ",") and not self._starts_description(1):
                return False
            return self._skip()
        if self._negation():
            self._negated(noun, conditions, target, start)
            return True
        without = self._match(words_for.WITHOUT)
        if without[0]:
            self.at += without[1]
            for anchor in self.anchors():
                kind = "wearing" if self._is_worn(anchor) else "holding"
                conditions.append(self._condition(kind, start, (anchor,), negated=True))
            return True
        if self._place(noun, conditions) or self._from_side(noun, conditions):
            return True
        if self._comparison(conditions):
            return True
        if word == "'s" and self.word(-1) not in words_for.FILLERS:
            return self._possessed(noun, conditions)
        kind, length = self._match(words_for.RELATION_WORDS)
        if kind:
            self.at += length
            self._related(kind, conditions, start)
            return True
        if self._object_clause(conditions, start):
            return True
        if word in words_for.FILLERS or word in lexicon.ADVERBS or word in lexicon.DEGREES:
            return self._skip()
        if word in VERBS_ING or word in VERBS_PAST or word in VERBS_S:
            self.at += 1
            if ahead in lexicon.ARTICLES | lexicon.POSSESSIVES:
                own = ahead in lexicon.POSSESSIVES
                anchors = self.anchors()
                if not own:  # "leaning his head" tells nothing of other things
                    for anchor in anchors:
                        conditions.append(self._condition("with", start, (anchor,)))
            return True
        if word in lexicon.CONJUNCTIONS | lexicon.DETERMINERS or not noun.words:
            return False
        self.ignored.append(self.tokens[self.at].text)
        return self._skip()

    def _related(self, kind: str, conditions: list[Condition], start: int) -> None:
        """Reads the anchors of a relation."""
        if kind == "between":
            anchors = self.anchors(both=True)
            if anchors:
                conditions.append(self._condition(kind, start, tuple(anchors[:2])))
            return
        if self.word() in lexicon.PRONOUNS and not self._is_nounish(self.word(1)):
            self.at += 1  # "with a logo on it" says nothing more of the thing itself
            return
        if self._camera(kind, conditions, start):
            return
        worn_by_color = kind == "in" and self.words[start] in ("in", "of")
        before = self.at
        anchors = self.anchors()
        if not anchors:
            self.ignored.append(self._text(start, max(self.at, start + 1)))
            return
        if kind in ("on", "in", "near") and anchors[0].head in words_for.BODY:
            return  # "with a cap on his head"
        for anchor in anchors:
            colors = [c for c in anchor.conditions if c.kind == "color"]
            if worn_by_color and self._is_color(anchor):
                for word in self.words[before : self.at]:
                    if word in lexicon.COLORS:
                        conditions.append(
                            Condition("color", value=word, text=self._text(start, self.at))
                        )
                continue
            worn = kind == "wearing" or (
                (worn_by_color or kind == "with") and self._is_worn(anchor)
            )
            conditions.append(self._condition("wearing" if worn else kind, start, (anchor,)))
            if worn:
                # What is worn covers much of who wears it, and is often not found by itself.
                conditions += [replace(c, text=self._text(start, self.at)) for c in colors]

    def _camera(self, kind: str, conditions: list[Condition], start: int) -> bool:
        """Reads "close to the camera"; "looking at the camera" tells no place."""
        article = self.word() in lexicon.ARTICLES
        if self.word(article) not in words_for.CAMERA_WORDS - {"front", "foreground"}:
            return False
        self.at += article + 1
        distance = {"near": "nearest", "far from": "farthest"}.get(kind)
        if distance and self.words[start] in ("near", "close", "far"):
            conditions.append(Condition(distance, text=self._text(start, self.at)))
        return True

    def anchors(self, *, both: bool = False) -> list[Target]:
        """Reads one anchor or more: "the plate", "a hat and a bag", "the two cups"."""
        found: list[Target] = []
        if self.depth >= MAX_DEPTH:
            return found
        self.depth += 1
        while True:
            noun = self.noun()
            if noun is None:
                break
            found.append(self._anchor(noun))
            if self.word() not in ("and", "&") or not (both or self.word(1) in ("a", "an")):
                break
            self.at += 1
        self.depth -= 1
        return found

    def _anchor(self, noun: _Noun) -> Target:
        """An anchor takes only descriptions that are rather its own than the target's."""
        conditions = noun.conditions
        head = self.words[noun.head[-1]] if noun.head else ""
        animate = head in _ANIMATE
        while True:
            start = self.at
            word = self.word()
            if word == "'s":
                if not self._possessed(noun, conditions):
                    break
                continue
            relative = word in ("that", "which") or (word == "who" and animate)
            kind, _length = self._match(words_for.RELATION_WORDS)
            agent = animate and (kind in ("wearing", "holding", "with") or word in VERBS_ING)
            if (
                relative
                or agent
                or word == "of"
                or (word == "in" and animate and self._worn_next())
            ):
                if relative:
                    self.at += 1
                    while self.word() in words_for.FILLERS:
                        self.at += 1
                if not self._describe(noun, conditions, self._phrase(noun)) or self.at == start:
                    break
                continue
            break
        return Target(
            self._phrase(noun),
            head=" ".join(self.words[i] for i in noun.head) or ANYTHING,
            count=self._count(noun),
            conditions=tuple(conditions),
            text=self._text(noun.start, self.at),
            span=self._span(noun.start, self.at),
        )

    def _place(self, noun: _Noun, conditions: list[Condition]) -> bool:
        """Reads a place in the picture, or a side of an anchor. Whether there was one."""
        start = self.at
        preposition = self.word() if self.word() in _BEFORE_SIDES else ""
        self.at += bool(preposition)
        article = self.word() in ("the", "a", "its", "his", "her", "their")
        self.at += article
        sides: list[str] = []
        last_word = ""
        while True:
            word = self.word()
            if word in words_for.TWO_SIDES:
                sides += words_for.TWO_SIDES[word]
            elif word in words_for.SIDES and not (sides and word in ("corner", "edge")):
                if not (word == "far" and self.word(1) in words_for.SIDES):
                    sides.append(words_for.SIDES[word])
            elif not ((sides and word in words_for.SIDE_NOUNS) or word in words_for.SIDE_DEGREES):
                break
            last_word = word
            self.at += 1
        alone = bool(last_word) and not preposition and not article
        if not sides or (self._is_nounish(self.word()) and self.word() != "of"):
            self.at = start
            return False
        if alone and sides[0] not in ("left", "right") and len(sides) < 2 and self.word() != "of":
            if not (self.referring or self.word(-1) == "far"):
                self.at = start
                return False
        if noun.ordinal is not None and preposition in ("from", "on", "to"):
            kind = words_for.FROM_SIDE.get(sides[0], "leftmost")
            rank = 1 if noun.ordinal < 0 else noun.ordinal
            conditions.append(Condition(kind, rank=rank, text=self._text(noun.start, self.at)))
            noun.ordinal = None
            return True
        if self.word() == "of":
            here = self.at
            self.at += 1
            if self.word() in lexicon.DETERMINERS:
                self.at += 1
            if self.word() in words_for.IMAGE_WORDS:
                self.at += 1
            else:
                self.at = here + 1
                inner = (
                    article and preposition in ("in", "at") and sides[0] not in ("left", "right")
                )
                kind = "in" if inner or len(sides) > 1 else words_for.OF_SIDE[sides[0]]
                self._related(kind, conditions, start)
                return True
        text = self._text(start, self.at)
        for side in dict.fromkeys(sides):
            self._side(conditions, side, text, noun.every)
        return True

    def _side(self, conditions: list[Condition], side: str, text: str, every: bool) -> None:
        kind = "middle" if side == "middle" and not every else words_for.PLACE_OF_SIDE[side]
        conditions.append(Condition(kind, text=text))

    def _from_side(self, noun: _Noun, conditions: list[Condition]) -> bool:
        """Reads "second from the left", "third largest" behind a noun."""
        start = self.at
        if self.word() in ("the",):
            self.at += 1
        rank = lexicon.ORDINALS.get(self.word())
        if rank is None:
            self.at = start
            return False
        self.at += 1
        if self.word() in ("one", "largest", "biggest", "smallest", "tallest"):
            if self.word() in words_for.RANK_WORDS:
                kind = words_for.RANK_WORDS[self.word()]
                self.at += 1
                conditions.append(Condition(kind, rank=rank, text=self._text(start, self.at)))
                return True
            self.at += 1
        if self.word() in ("from", "to", "on", "in"):
            self.at += 1
            if self.word() in ("the", "far"):
                self.at += 1
            side = words_for.SIDES.get(self.word())
            if side in words_for.FROM_SIDE:
                self.at += 1
                if self.word() in ("side", "end", "edge"):
                    self.at += 1
                kind = words_for.FROM_SIDE[side]
                conditions.append(Condition(kind, rank=rank, text=self._text(start, self.at)))
                return True
        self.at = start
        return False

    def _comparison(self, conditions: list[Condition]) -> bool:
        """Reads "closest to the door", "farther away", "that is largest"."""
        start = self.at
        if self.word() == "the" and self.word(1) in words_for.RANK_WORDS:
            self.at += 1
        kind = words_for.RANK_WORDS.get(self.word())
        if kind is None or self._match(words_for.RELATION_WORDS)[0]:
            self.at = start
            return False
        self.at += 1
        distance = kind in ("nearest", "farthest")
        while distance and self.word() in ("away", "back", "up", "one"):
            self.at += 1
        linked = self.word() in ("to", "from")
        self.at += linked
        if not distance or not (linked or self._is_nounish(self.word()) or self.word() == "the"):
            if linked:
                self.at -= 1
            conditions.append(Condition(kind, text=self._text(start, self.at)))
            return True
        here = self.at
        if self.word() in lexicon.DETERMINERS:
            self.at += 1
        side = words_for.SIDES.get(self.word())
        if self.word() in words_for.CAMERA_WORDS and side != "back":
            self.at += 1
            conditions.append(Condition(kind, text=self._text(start, self.at)))
            return True
        if (side and not self._is_nounish(self.word(1))) or (
            side and self.word(1) in words_for.SIDE_NOUNS
        ):
            self.at += 1
            while self.word() in words_for.SIDE_NOUNS:
                self.at += 1
            place = words_for.PLACE_OF_SIDE[side]
            negated = kind == "farthest"
            conditions.append(Condition(place, text=self._text(start, self.at), negated=negated))
            return True
        self.at = here
        for anchor in self.anchors()[:1]:
            conditions.append(self._condition(kind, start, (anchor,)))
        return True

    def _negated(self, noun: _Noun, conditions: list[Condition], target: str, start: int) -> None:
        """Reads what must not be: "not on the left", "not the red one", "but not cap"."""
        if self._starts_description(0):
            found: list[Condition] = []
            while self.word() in words_for.FILLERS:
                self.at += 1
            self._describe(noun, found, target)
            conditions += [replace(c, negated=not c.negated) for c in found]
            return
        self._exclude(target, noun, conditions)

    def _exclude(
        self, target: str, noun: _Noun | None = None, conditions: list[Condition] | None = None
    ) -> None:
        """Reads a noun phrase that is not meant.

        Another kind of thing competes as a phrase: "dog, not toy dog". One of the things themselves
        is told apart by its conditions: "the cups, not the red one".
        """
        start = self.at
        while (other := self.noun()) is not None:
            head = [self.words[i] for i in other.head]
            same = not head or head[-1] in _NO_HEADS
            same = same or (noun is not None and head == [self.words[i] for i in noun.head])
            if conditions is not None and (other.determined or (same and other.conditions)):
                meant = self.described(other)
                meant = replace(meant, phrase=target, head=target) if same else meant
                text = self._text(start, self.at)
                if same and len(meant.conditions) == 1:
                    (only,) = meant.conditions
                    conditions.append(replace(only, negated=not only.negated, text=text))
                else:
                    conditions.append(Condition("same as", (meant,), negated=True, text=text))
            elif self._phrase(other) != target:
                self.excluded.append((self._phrase(other), target))
            if self.word() not in ("or", "and", "nor") or not self._is_nounish(self.word(1)):
                break
            self.at += 1

    def _possessed(self, noun: _Noun, conditions: list[Condition]) -> bool:
        """Reads "the man['s hat]": the noun so far is the anchor, what follows is meant."""
        owner = Target(
            self._phrase(noun),
            head=" ".join(self.words[i] for i in noun.head) or ANYTHING,
            count=self._count(noun),
            conditions=tuple(conditions),
            text=self._text(noun.start, self.at),
        )
        start = self.at
        self.at += 1
        thing = self.noun()
        if thing is None:
            self.at = start + 1
            return True
        text = self._text(noun.start, self.at)
        noun.words, noun.head, noun.end = thing.words, thing.head, thing.end
        conditions[:] = [Condition("held by", (owner,), text=text), *thing.conditions]
        return True

    def _object_clause(self, conditions: list[Condition], start: int) -> bool:
        """Reads "(that) the man is holding" behind a noun."""
        here = self.at
        if self.word() in ("that", "which"):
            self.at += 1
        if self.word() not in lexicon.DETERMINERS:
            self.at = here
            return False
        noun = self.noun()
        if noun is not None:
            while self.word() in lexicon.AUXILIARIES:
                self.at += 1
            word = self.word()
            if word in VERBS_ING or word in VERBS_S or word in VERBS_PAST:
                self.at += 1
                anchor = replace(self._anchor(noun), conditions=tuple(noun.conditions))
                kind = "held by"
                if self.word() in ("on", "in", "at"):
                    kind = {"on": "on", "in": "in", "at": "near"}[self.word()]
                    self.at += 1
                if kind in ("on", "in"):  # "the bench the man sits on": he is on it
                    kind = "with"
                conditions.append(self._condition(kind, start, (anchor,)))
                return True
        self.at = here
        return False

    # Looking at words.

    def word(self, ahead: int = 0) -> str:
        """The word at the cursor or beside it, in lower case; "" beyond the ends."""
        index = self.at + ahead
        return self.words[index] if 0 <= index < len(self.words) else ""

    def _skip(self, words: int = 1) -> bool:
        self.at += words
        return True

    def _match(self, table: dict[tuple[str, ...], str]) -> tuple[str, int]:
        """The longest entry of a table at the cursor: what it stands for, and its length."""
        for length in range(min(words_for.LONGEST_RELATION, len(self.words) - self.at), 0, -1):
            kind = table.get(tuple(self.words[self.at : self.at + length]))
            if kind:
                return kind, length
        return "", 0

    def _negation(self, *, peek: bool = False) -> bool:
        kind, length = self._match(words_for.NEGATION_WORDS)
        if kind and not peek:
            self.at += length
        return bool(kind)

    def _starts_description(self, ahead: int) -> bool:
        """Whether what comes describes the noun before it, and is no noun of its own."""
        here, self.at = self.at, self.at + ahead
        word = self.word()
        found = bool(
            self._match(words_for.RELATION_WORDS)[0]
            or self._match(words_for.WITHOUT)[0]
            or self._negation(peek=True)
            or word in lexicon.PREPOSITIONS
            or word in ("that", "which", "who", "is", "are")
            or (word in VERBS_ING and word not in lexicon.ING_NOUNS)
            or (word in words_for.RANK_WORDS and not self._is_nounish(self.word(1)))
        )
        self.at = here
        return found

    def _starts_comparison(self, noun: _Noun) -> bool:
        """Whether a rank word stands behind its noun: "the cup [closest to] the edge"."""
        word, ahead = self.word(), self.word(1)
        if ahead == "than":
            return True
        if word in words_for.RANK_WORDS and noun.words:
            distance = words_for.RANK_WORDS[word] in ("nearest", "farthest")
            return ahead in ("to", "from", "away", "back", "") or (distance and ahead == "the")
        ordinal = word in lexicon.ORDINALS and bool(noun.words)
        return ordinal and ahead in ("from", "to", "on")

    def _rank(self, noun: _Noun, kind: str, word: str) -> None:
        rank = noun.ordinal if noun.ordinal and noun.ordinal > 0 else 1
        noun.ordinal = None
        noun.conditions.append(Condition(kind, rank=rank, text=word))

    def _joins_colors(self, noun: _Noun) -> bool:
        """Whether "and" stands inside a noun phrase: "a black and white cat"."""
        before, after = self.word(-1), self.word(1)
        looks = lexicon.COLORS | lexicon.PATTERNS | lexicon.MATERIALS | lexicon.SIZES
        return bool(noun.words) and before in looks and after in looks

    def _is_adjective(self, word: str) -> bool:
        verbal = word in VERBS_ING or word in VERBS_PAST
        return word in _ADJECTIVES or (verbal and word not in lexicon.ING_NOUNS) or word == "and"

    def _nounish_so_far(self, noun: _Noun) -> bool:
        """Whether the words so far can stand alone, ending with more than an adjective."""
        if not noun.words:
            return bool(noun.conditions or noun.ordinal)
        return not self._is_adjective(self.words[noun.words[-1]])

    def _is_nounish(self, word: str) -> bool:
        """Whether a word can belong to a noun phrase that begins here."""
        closed = lexicon.PREPOSITIONS | lexicon.CONJUNCTIONS | lexicon.AUXILIARIES
        other = closed | lexicon.DETERMINERS | {"that", "which", "who", "'s", "not"}
        verbal = word in VERBS_ING and word not in lexicon.ING_NOUNS
        return bool(word) and word[0].isalnum() and word not in other and not verbal

    def _goes_on_as_noun(self, word: str) -> bool:
        """Whether a word before this one can be an adjective of it."""
        if word in VERBS_ING and word not in lexicon.ING_NOUNS:
            return self._is_nounish(self.word(2))
        return self._is_nounish(word)

    def _is_worn(self, anchor: Target) -> bool:
        return anchor.head.split()[-1] in words_for.CLOTHES

    def _worn_next(self) -> bool:
        ahead = self.words[self.at + 1 : self.at + 6]
        return any(word in words_for.CLOTHES or word in lexicon.COLORS for word in ahead)

    def _is_color(self, anchor: Target) -> bool:
        return all(
            word in lexicon.COLORS | lexicon.SHADES | {"and"} for word in anchor.phrase.split()
        )

    def _condition(
        self, kind: str, start: int, anchors: tuple[Target, ...], negated: bool = False
    ) -> Condition:
        return Condition(kind, anchors, negated=negated, text=self._text(start, self.at))

    # Back to the source.

    def _phrase(self, noun: _Noun) -> str:
        """What a detector is asked for: looks and noun, without what is computed."""
        said = [self.tokens[i].text for i in noun.words if self.words[i] not in _NO_HEADS]
        if said and noun.head and noun.head[-1] == noun.words[-1]:
            last = said[-1].lower()
            if is_plural(last) and last not in PLURAL_ONLY | words_for.CLOTHES:
                said[-1] = singular(last)  # detectors are trained on names of one
        return " ".join(said) or ANYTHING

    def _text(self, start: int, end: int) -> str:
        return self.source[slice(*self._span(start, end))] if end > start else ""

    def _span(self, start: int, end: int) -> tuple[int, int]:
        return self.tokens[start].start, self.tokens[end - 1].end
