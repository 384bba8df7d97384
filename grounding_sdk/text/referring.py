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

from grounding_sdk.errors import QueryError
from grounding_sdk.query import Phrase, Query
from grounding_sdk.target import Target
from grounding_sdk.text import lexicon
from grounding_sdk.text import relations as words_for
from grounding_sdk.text.cursor import is_nounish
from grounding_sdk.text.description_reader import DescriptionReader
from grounding_sdk.text.tokens import tokenize

MAX_WORDS = 120  # longer pieces are no expression that a person would write


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
    if not phrases:
        raise QueryError(f"{str(query)!r:.80} says only what not to look for: say what to look for")
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
    beside = len(first) < 3 and first[:1] in (["left"], ["right"], ["leftmost"], ["rightmost"])
    clause = first[:1] in (["that"], ["which"], ["who"], ["without"])
    return negates or relates or beside or clause


# --- reading one piece -------------------------------------------------------------------------


class _Reader(DescriptionReader):
    """Reads one piece of a prompt."""

    def piece(self) -> _Reading:
        """Reads all of it."""
        reading = _Reading()
        if len(self.words) > 1 and self.take(lexicon.CONJUNCTIONS):
            del self.tokens[0], self.words[0]  # "a cat, [and] a dog"
            self.at = 0
        whole = Phrase(self.text(0, len(self.words)), span=self.span(0, len(self.words)))
        if len(self.words) > MAX_WORDS:
            return _Reading([whole])
        while self._one(reading) and self._next(reading):
            pass
        rest = self.text(self.at, len(self.tokens))
        if not reading.targets and not reading.excluded:
            # Nothing beyond noun phrases: what was not understood is the detector's business.
            understood = reading.plain and not self.ignored and not any(map(str.isalnum, rest))
            return reading if understood else _Reading([whole])
        if reading.targets and any(map(str.isalnum, rest)):
            last = reading.targets.pop()
            reading.targets.append(replace(last, ignored=(*last.ignored, rest)))
        return reading

    def _one(self, reading: _Reading) -> bool:
        """Reads one thing with all that is said of it. Whether there was one."""
        start = self.at
        negated = self.negation()
        self.skip(negated)
        noun = self.noun()
        if noun is None:
            return False
        if negated:
            reading.excluded.append(Phrase(self.phrase(noun), role="exclude"))
            return True
        # "the cup and plate": the article holds for both.
        noun.determined |= any(target.count == 1 for target in reading.targets)
        target = self.described(noun)
        # Looks alone are the detector's: "red car" stays the phrase that it is.
        looks = all(c.kind == "color" and not c.negated for c in target.conditions)
        if target.count is not None or not looks:
            reading.targets.append(target)
            against = target.phrase
        else:
            start = noun.words[0] if noun.every else start
            against = self.text(start, noun.end)
            reading.plain.append(Phrase(against, span=self.span(start, noun.end)))
        reading.excluded += [
            Phrase(text, against, role="exclude") for text in self.excluded if text != against
        ]
        self.excluded.clear()
        return True

    def _next(self, reading: _Reading) -> bool:
        """Goes on to another thing: "the cup and the plate", "two dogs, a cat"."""
        ahead = self.word(1)
        determined = ahead in lexicon.DETERMINERS or ahead in lexicon.NUMBERS
        if determined or (reading.targets and is_nounish(ahead)):
            return self.take(("and", "&", "plus", ","))
        return False
