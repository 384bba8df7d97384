"""What is done to one image, in whichever process: digest, load, label."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np

from grounding_sdk.errors import GroundingError, ImageError, PipelineError
from grounding_sdk.formats import annotated
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image
from grounding_sdk.labeling.items import Item
from grounding_sdk.labeling.ledger import Entry
from grounding_sdk.pipeline import Pipeline
from grounding_sdk.query import Query

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Task:
    """An image to be labelled. It can be sent to another process.

    Attributes:
        name: The item's name.
        source: Path or URL of the picture, as its row will say.
        stamp: Size and time of its file.
        sha256: Digest of its content; "" before `digested`, and where it cannot be read.
        content: The picture itself where it is no file: bytes of a file, or RGB pixels.
        error: Why there is none.
    """

    name: str
    source: str
    stamp: str = ""
    sha256: str = ""
    content: bytes | np.ndarray | None = None
    error: str | None = None

    @classmethod
    def of(cls, item: Item) -> Task:
        """Takes what an item gives before the next one is asked for."""
        content, error = None, item.error
        if error is None and item.content is not None:
            try:
                content = item.content()
            except ImageError as problem:
                error = str(problem)
        return cls(item.name, item.source, item.stamp(), "", content, error)

    def digested(self) -> Task:
        """Returns the task with the digest of its content; downloads what is on the network."""
        if self.error is not None:
            return self
        try:
            if isinstance(self.content, bytes):
                return replace(self, sha256=hashlib.sha256(self.content).hexdigest())
            if self.content is not None:
                return replace(self, sha256=Image(self.content).sha256)
            if self.source.startswith(("http://", "https://")):
                image = Image.load(self.source)
                return replace(self, content=image.pixels, sha256=image.sha256)
            if stat.S_ISREG(os.stat(self.source).st_mode):  # reading a pipe might never end
                with open(self.source, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                return replace(self, sha256=digest)
        except ImageError as error:
            return replace(self, error=str(error))
        except (OSError, ValueError):
            pass  # loading will say why
        return self

    def load(self) -> Image:
        """Loads the picture.

        Raises:
            ImageError: If it cannot be read.
        """
        if self.error is not None:
            raise ImageError(self.error)
        if isinstance(self.content, np.ndarray):
            return Image(self.content, self.source)
        if self.content is not None:
            return replace(Image.load(self.content), source=self.source)
        return Image.load(self.source)


Loaded: TypeAlias = tuple[Task, Image | str]


def load_task(task: Task) -> Loaded:
    """Returns a task and its picture, or why there is none."""
    try:
        return task, task.load()
    except Exception as error:
        known = isinstance(error, GroundingError)
        return task, str(error) if known else f"{type(error).__name__}: {error}"


def label_batch(
    pipeline: Pipeline, query: Query, fingerprint: str, batch: Sequence[Loaded]
) -> list[Entry]:
    """Labels some pictures together; one that fails takes no other with it.

    Args:
        pipeline: Stages, of which none needs to read the query any more.
        query: What is asked of each.
        fingerprint: Of what labels here.
        batch: From `load_task`.

    Returns:
        An entry for each, in order.
    """
    good = [Grounding.ask(image, query) for _, image in batch if isinstance(image, Image)]
    results = iter(_results(pipeline, good) if good else [])
    found = [next(results) if isinstance(image, Image) else image for _, image in batch]
    return [
        _entry(task, result, fingerprint) for (task, _), result in zip(batch, found, strict=True)
    ]


def failed(task: Task, fingerprint: str, error: str) -> Entry:
    """Makes the entry of an image that could not be labelled."""
    reason = error or "it failed without a reason"
    return Entry(task.name, task.sha256, fingerprint, "failed", None, reason, stamp=task.stamp)


def ahead(function: Callable[[T], R], values: Iterable[T], count: int) -> Generator[R, None, None]:
    """Yields a function's results in order, computed in two threads some steps ahead.

    >>> list(ahead(abs, [-1, 2, -3], count=2))
    [1, 2, 3]
    """
    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="grounding-label")
    waiting: deque[Future[R]] = deque()
    try:
        for value in values:
            waiting.append(pool.submit(function, value))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields lists of so many values; the last may be shorter.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    batch: list[T] = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _results(pipeline: Pipeline, items: list[Grounding]) -> list[Grounding | str]:
    try:
        return list(pipeline.run(items))
    except PipelineError as error:
        if len(items) > 1:
            return [result for item in items for result in _results(pipeline, [item])]
        cause = error.__cause__
        return [f"stage '{error.stage}' failed: {type(cause).__name__}: {cause}"]


def _entry(task: Task, result: Grounding | str, fingerprint: str) -> Entry:
    if isinstance(result, str):
        return failed(task, fingerprint, result)
    found = result.detections
    if not (np.isfinite(found.xyxy).all() and np.isfinite(np.asarray(found.confidence)).all()):
        return failed(task, fingerprint, "the models gave a box or a score that is no number")
    row = replace(annotated(result, task.name), source=task.source)
    seconds = sum(step.seconds for step in result.trace)
    return Entry(
        task.name, task.sha256, fingerprint, "done", row, None, round(seconds, 4), task.stamp
    )
