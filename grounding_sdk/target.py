"""What a referring expression means: candidates, narrowed by conditions.

"the two red cups left of the laptop" asks the detector for "red cup" and "laptop", and means

    Target("red cup", head="cup", count=2, conditions=(
        Condition("color", value="red"),
        Condition("left of", anchors=(Target("laptop", head="laptop", count=1),)),
    ))

Both are plain data, nested as the expression is. `grounding_sdk.text` reads them from words;
`grounding_sdk.stages.Relate` scores them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from grounding_sdk.errors import QueryError

# What a condition can be about. `{}` stands for an anchor or a value when it is printed.
PLACES = ("left", "right", "top", "bottom", "center", "corner", "edge", "front", "back")
RANKS = (
    "leftmost", "rightmost", "topmost", "bottommost", "middle",
    "largest", "smallest", "tallest", "shortest", "widest", "narrowest",
    "nearest", "farthest",  # from the camera, or from the anchor if there is one
)  # fmt: skip
RELATIONS = (
    "left of", "right of", "above", "below", "on", "under", "in", "near", "far from", "between",
    "behind", "in front of", "holding", "wearing", "held by", "with", "touching", "same as",
    "larger than", "smaller than", "taller than", "shorter than",
)  # fmt: skip
ATTRIBUTES = ("color",)
KINDS = frozenset((*PLACES, *RANKS, *RELATIONS, *ATTRIBUTES))


@dataclass(frozen=True)
class Condition:
    """One thing asked of a candidate beyond its phrase.

    Attributes:
        kind: One of `KINDS`.
        anchors: What it relates to; two for "between".
        value: The color of a "color".
        rank: For superlatives: 1 is the leftmost, 2 the second from the left.
        negated: Whether it must not hold.
        text: The words that it was read from.

    Raises:
        QueryError: If the kind is unknown, or a relation lacks its anchor.
    """

    kind: str
    anchors: tuple[Target, ...] = ()
    value: str = ""
    rank: int = 1
    negated: bool = False
    text: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", tuple(self.anchors))
        if self.kind not in KINDS:
            raise QueryError(
                f"no condition is called {self.kind!r}; there are {', '.join(sorted(KINDS))}"
            )
        if self.kind in RELATIONS and not self.anchors:
            raise QueryError(
                f"the condition {self.kind!r} needs an anchor: what does it relate to?"
            )
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise QueryError(f"expected a rank of 1 or more, got {self.rank!r}")

    def __str__(self) -> str:
        words = [f"{self.value} {self.kind}" if self.value else self.kind]
        if self.rank > 1:
            words.insert(0, f"{self.rank}.")
        if self.negated:
            words.insert(0, "not")
        if self.anchors:
            words.append(" and ".join(str(anchor) for anchor in self.anchors))
        return " ".join(words)


@dataclass(frozen=True)
class Target:
    """What one noun phrase refers to.

    Attributes:
        phrase: The text of the phrase, among the query's, whose detections are the candidates.
        label: The class that what is chosen counts as; the phrase's text unless given.
        head: The noun alone, as written ("cup" of "red cup").
        count: How many are meant, best first; None for all that meet the conditions.
        conditions: What is asked of them.
        text: The words that it was read from.
        span: Where they stand in `Query.source`.
        ignored: Words among them that the reader did not understand.

    Raises:
        QueryError: If the phrase is empty or the count below 1.
    """

    phrase: str
    label: str = ""
    head: str = ""
    count: int | None = None
    conditions: tuple[Condition, ...] = ()
    text: str = ""
    span: tuple[int, int] | None = None
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("conditions", "ignored"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if not isinstance(self.phrase, str) or not self.phrase:
            raise QueryError(f"expected the text of a phrase, got {self.phrase!r}")
        object.__setattr__(self, "label", self.label or self.phrase)
        object.__setattr__(self, "head", self.head or self.phrase)
        count = self.count
        if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
            raise QueryError(f"expected how many are meant as a whole number, got {count!r}")
        if count is not None and count < 1:
            raise QueryError(f"expected a count of 1 or more, got {count}")

    def walk(self) -> Iterator[Target]:
        """Yields the target and, below it, every anchor."""
        yield self
        for condition in self.conditions:
            for anchor in condition.anchors:
                yield from anchor.walk()

    def __str__(self) -> str:
        if not self.conditions:
            return self.phrase
        return f"{self.phrase} [{'; '.join(str(condition) for condition in self.conditions)}]"
