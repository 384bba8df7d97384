"""How far a job is, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grounding_sdk.labeling.ledger import Head, Ledger

MOST_FAILURES = 1000  # that are told one by one; the ledger has them all


class Progress:
    """How far a run is. The same object grows while the job runs.

    Attributes:
        total: Number of images in the source; None where only reading all would tell.
        done: Labelled in this run.
        kept: Labelled before, by the same configuration.
        human: Labelled by a person.
        failed: Not labelled, in this run or an earlier one.
        failures: The first thousand of these, with their reasons.
    """

    def __init__(self, total: int | None, ledger: Ledger) -> None:
        self.total = total
        self.done = self.kept = self.human = self.failed = 0
        self.failures: list[Head] = []
        self._ledger = ledger
        self._tried = 0
        self._began = time.monotonic()
        self._first: float | None = None

    def tried(self, head: Head) -> None:
        """Counts an image that has just been labelled, or has failed."""
        self._tried += 1
        if head.status == "failed":
            self.failing(head)
        else:
            self.done += 1

    def failing(self, head: Head) -> None:
        """Counts an image that has failed."""
        self.failed += 1
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(head)

    def working(self) -> None:
        """Says that there is something to do; from now on the speed is measured."""
        if self._first is None:
            self._first = time.monotonic()

    @property
    def seen(self) -> int:
        """Number of images that have been dealt with."""
        return self.done + self.kept + self.human + self.failed

    @property
    def left(self) -> int | None:
        """Number of images that are still to come."""
        return None if self.total is None else max(self.total - self.seen, 0)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began

    @property
    def per_second(self) -> float:
        """Images labelled in a second, loading of the models included."""
        elapsed = time.monotonic() - self._first if self._first is not None else 0.0
        return self._tried / elapsed if elapsed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the end, at this speed; None where that cannot be told."""
        speed = self.per_second
        return self.left / speed if self.left is not None and speed > 0 else None

    @property
    def objects(self) -> Mapping[str, int]:
        """How many objects of each label the whole ledger has, most first."""
        return self._ledger.objects()

    def summary(self) -> Summary:
        """Returns the numbers as they are now."""
        return Summary(
            self._ledger.folder,
            self.total if self.total is not None else self.seen,
            self.done,
            self.kept,
            self.human,
            self.failed,
            self.objects,
            self.seconds,
            tuple(self.failures),
        )


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        job: The job's folder.
        total: Number of images in the source.
        done: Labelled in this run.
        kept: Labelled before, by the same configuration.
        human: Labelled by a person.
        failed: Not labelled, in this run or an earlier one.
        objects: How many objects of each label the whole ledger has.
        seconds: How long the run took.
        failures: The first thousand that failed, with their reasons.
    """

    job: Path
    total: int
    done: int
    kept: int
    human: int
    failed: int
    objects: Mapping[str, int]
    seconds: float
    failures: tuple[Head, ...]

    @property
    def left(self) -> int:
        """Number of images that this run did not get to."""
        return max(self.total - self.done - self.kept - self.human - self.failed, 0)
