"""Splitting a dataset so that a picture stays in its split however many others are added."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from grounding_sdk.formats.annotated import Annotated
from grounding_sdk.formats.errors import FormatError

SHARES: Mapping[str, float] = MappingProxyType({"train": 0.8, "val": 0.1, "test": 0.1})


def split_of(key: str | bytes, shares: Mapping[str, float] = SHARES) -> str:
    """Returns the split that a picture belongs to: by its SHA-256, and by nothing else.

    Args:
        key: The picture's file name; or its content, so that copies under other names do not end
            up on both sides.
        shares: How much each split gets, in order. A split that shrinks gives to its neighbours
            only.

    Raises:
        FormatError: If the shares are not positive.

    >>> [split_of(f"{number}.jpg") for number in range(5)]
    ['train', 'train', 'train', 'val', 'train']
    """
    total = sum(shares.values())
    if not shares or min(shares.values()) < 0 or not 0 < total < float("inf"):
        raise FormatError(
            f"expected shares such as {{'train': 0.8, 'val': 0.2}}, got {dict(shares)}"
        )
    content = key.encode() if isinstance(key, str) else key
    place = int.from_bytes(hashlib.sha256(content).digest()[:8], "big") / 2**64 * total
    for split, share in shares.items():
        place -= share
        if place < 0:
            return split
    return [split for split, share in shares.items() if share][-1]  # rounding ate the last place


def in_splits(
    rows: Iterable[Annotated], shares: Mapping[str, float] = SHARES
) -> Iterator[Annotated]:
    """Puts each row in the split of its file name."""
    for row in rows:
        yield replace(row, split=split_of(row.file_name, shares))
