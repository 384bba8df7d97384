"""Running stages on batches, here or in threads. A bad image takes no other with it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TypeAlias

from grounding_sdk.detections import Size
from grounding_sdk.errors import ConfigError, PipelineError
from grounding_sdk.grounding import Grounding, Step
from grounding_sdk.image import ImageLike
from grounding_sdk.query import QueryLike
from grounding_sdk.stages.base import Stage

Result: TypeAlias = Grounding | PipelineError  # of an image, so far
Batch: TypeAlias = dict[int, Result]  # by the images' numbers

READERS = 2  # threads that read and decode pictures


def attempt(stage: Stage, batch: Batch) -> Batch:
    """Runs a stage; if it fails, runs it on each image alone, so that only the bad ones fail.

    Args:
        stage: The stage.
        batch: Images that have failed before are passed on.
    """
    good = {index: item for index, item in batch.items() if isinstance(item, Grounding)}
    results = dict(batch)
    try:
        results.update(zip(good, _timed(stage, list(good.values())) if good else (), strict=True))
    except Exception as error:
        for index, item in good.items():
            if len(good) > 1:
                results |= attempt(stage, {index: item})
            else:
                results[index] = PipelineError(stage.name, index, item.image.source, error)
    return results


class Threads:
    """Threads that read pictures, and workers, each of which runs the stages up to the next one's.

    Models on the CPU share a worker: each of them uses all cores, so two at a time are slower. The
    worker of models that say `batches_at_once` and of pure stages is several threads, which share
    the cores and take a batch each; every other worker is one. What is to be done with a batch is
    a chain of tasks, each of which waits for the one before.
    """

    def __init__(self, stages: Sequence[Stage], batches: int = 1) -> None:
        """Starts them.

        Args:
            stages: What is to be done.
            batches: How many will be under way at least.
        """
        self._readers = ThreadPoolExecutor(READERS, "grounding-read")
        self._chain: list[tuple[ThreadPoolExecutor, list[Stage]]] = [(_worker(), [])]
        self._stopped = Event()
        models: list[object] = []  # of the last worker
        shared = False  # whether the last worker is several threads
        for stage in stages:
            model = getattr(stage, "model", None)
            several = batches > 1 and _on_cpu(model) and getattr(model, "batches_at_once", False)
            if model is None:
                fits = not shared or getattr(stage, "pure", False)
            else:
                fits = several == shared and all(map(_on_cpu, (*models, model)))
                fits = fits or not (models or shared or several)
            if not fits:
                self._chain.append((_workers(batches) if several else _worker(), []))
                models, shared = [], several
            if model is not None:
                models.append(model)
            self._chain[-1][1].append(stage)

    def begin(
        self,
        images: Sequence[tuple[int, ImageLike | Grounding]],
        query: QueryLike | None,
        batch_size: int,
    ) -> list[tuple[int, Future[Batch]]]:
        """Begins to work on numbered images.

        Args:
            images: If they are more than fit a batch, those of one size go together.
            query: What to ask of each; None where they are groundings with their own.
            batch_size: How many go through the stages together.

        Returns:
            For each image, in order, its number and what will be its batch's result.
        """
        read = {index: self._readers.submit(_read, index, im, query) for index, im in images}
        order = list(read)
        if len(order) > batch_size:
            order.sort(key=lambda index: _size(read[index].result()))
        batch_of: dict[int, Future[Batch]] = {}
        for start in range(0, len(order), batch_size):
            members = {index: read[index] for index in order[start : start + batch_size]}
            batch = self._chain[0][0].submit(_all_read, members)
            for worker, stages in self._chain:
                batch = worker.submit(self._attempt_next, stages, batch)
            batch_of |= dict.fromkeys(members, batch)
        return [(index, batch_of[index]) for index in read]

    def stop(self) -> None:
        """Cancels what is not begun, waits for what is, and ends the threads."""
        self._stopped.set()
        pools = (self._readers, *(worker for worker, _ in self._chain))
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.shutdown()

    def _attempt_next(self, stages: Sequence[Stage], before: Future[Batch]) -> Batch:
        batch = before.result()
        for stage in stages:
            if self._stopped.is_set():
                raise CancelledError
            batch = attempt(stage, batch)
        return batch


def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "grounding-work")


def _workers(count: int) -> ThreadPoolExecutor:
    """Several threads that share the cores; each is given its part of torch's threads."""
    import torch  # there is a model on the CPU, so it is loaded

    from grounding_sdk.models.workers import take_cores

    cores = torch.get_num_threads()
    count = min(count, cores)
    return ThreadPoolExecutor(count, "grounding-work", take_cores, (cores // count,))


def _on_cpu(model: object) -> bool:
    return str(getattr(model, "device", "")).startswith("cpu")


def _read(index: int, image: ImageLike | Grounding, query: QueryLike | None) -> Result:
    try:
        if isinstance(image, Grounding):
            return image if query is None else Grounding.ask(image.image, query)
        if query is None:
            raise ConfigError("no query was given: pass one, or groundings that carry theirs")
        return Grounding.ask(image, query)
    except Exception as error:
        return PipelineError("load", index, _source(image), error)


def _source(image: object) -> str | None:
    if isinstance(image, Grounding):
        return image.image.source
    return str(image) if isinstance(image, str | Path) else None


def _size(result: Result) -> Size:
    return result.image.size if isinstance(result, Grounding) else (0, 0)


def _all_read(members: Mapping[int, Future[Result]]) -> Batch:
    return {index: read.result() for index, read in members.items()}


def _timed(stage: Stage, items: list[Grounding]) -> list[Grounding]:
    start = time.perf_counter()
    results = stage(items)
    seconds = (time.perf_counter() - start) / len(items)
    if not isinstance(results, list) or len(results) != len(items):
        came = f"{len(results)} items" if isinstance(results, list) else type(results).__name__
        raise ConfigError(f"expected a list of {len(items)} groundings from the stage, got {came}")
    model = getattr(getattr(stage, "model", None), "name", None)
    return [
        replace(
            after, trace=(*after.trace, Step(stage.name, seconds, len(before), len(after), model))
        )
        for before, after in zip(items, results, strict=True)
    ]
