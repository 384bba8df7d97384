"""Engines: what takes tasks and gives entries. In this process, or in several on this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import TypeAlias

from grounding_sdk.labeling.errors import LabelingError
from grounding_sdk.labeling.ledger import Entry
from grounding_sdk.labeling.recipe import Recipe
from grounding_sdk.labeling.work import Task, ahead, batches, failed, label_batch, load_task
from grounding_sdk.pipeline import Pipeline

# Takes tasks lazily and yields each one's entry, some at a time, in any order.
Engine: TypeAlias = Callable[[Iterable[Task]], Generator[list[Entry], None, None]]


def in_process(recipe: Recipe, fingerprint: str, batch_size: int) -> Engine:
    """Labels in this process; pictures are loaded ahead in threads, models with the first task."""

    def run(tasks: Iterable[Task]) -> Generator[list[Entry], None, None]:
        pipeline = None
        for batch in batches(ahead(load_task, tasks, 2 * batch_size), batch_size):
            pipeline = pipeline or recipe.pipeline()
            yield label_batch(pipeline, recipe.asked, fingerprint, batch)

    return run


def in_processes(recipe: Recipe, fingerprint: str, batch_size: int, workers: int) -> Engine:
    """Labels in processes, each with models of its own and its share of the threads.

    A process that dies (out of memory, a crash in a decoder) is replaced. What it was at is tried
    again, in the end image by image; one that kills its process twice is a failure.
    """

    def run(tasks: Iterable[Task]) -> Generator[list[Entry], None, None]:
        crew = _Crew(recipe, fingerprint, workers)
        waiting: deque[_Job] = deque()
        try:
            for batch in batches(tasks, batch_size):
                waiting.append(crew.begin(batch))
                if len(waiting) > 2 * workers:
                    yield crew.finish(waiting.popleft())
            while waiting:
                yield crew.finish(waiting.popleft())
        finally:
            crew.close()

    return run


_Job: TypeAlias = tuple[list[Task], ProcessPoolExecutor, "Future[list[Entry]] | None"]


class _Crew:
    """Worker processes, replaced when one dies."""

    def __init__(self, recipe: Recipe, fingerprint: str, workers: int) -> None:
        self._recipe, self._fingerprint, self._workers = recipe, fingerprint, workers
        self._pool = self._new_pool()
        self._proven = False  # whether a process has ever come through

    def begin(self, batch: list[Task]) -> _Job:
        pool = self._pool
        try:
            return batch, pool, pool.submit(_label, batch)
        except BrokenProcessPool:
            return batch, pool, None

    def finish(self, job: _Job) -> list[Entry]:
        batch, pool, future = job
        try:
            if future is not None:
                entries = future.result()
                self._proven = True
                return entries
        except BrokenProcessPool:
            pass
        if pool is self._pool:
            pool.shutdown()
            self._pool = self._new_pool()
        return self._again(batch)

    def _again(self, batch: list[Task]) -> list[Entry]:
        try:
            entries = self._pool.submit(_label, batch).result()
            self._proven = True
            return entries
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = self._new_pool()
        if len(batch) > 1:
            return [entry for task in batch for entry in self._again([task])]
        if not self._proven:
            raise LabelingError(
                "the worker processes die before they label anything: try with one worker to see "
                "why; memory may be short, as each loads the models"
            )
        reason = "the process that labelled it died: it crashed, or memory ran out"
        return [failed(batch[0], self._fingerprint, reason)]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        threads = max(1, (os.cpu_count() or 1) // self._workers)
        return ProcessPoolExecutor(
            self._workers,
            mp_context=get_context("spawn"),
            initializer=_start,
            initargs=(self._recipe, self._fingerprint, threads),
        )


# In a worker process


_recipe: tuple[Recipe, str] | None = None
_pipeline: Pipeline | None = None


def _start(recipe: Recipe, fingerprint: str, threads: int) -> None:
    global _recipe
    _recipe = recipe, fingerprint
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _label(batch: list[Task]) -> list[Entry]:
    global _pipeline
    if _recipe is None:
        raise LabelingError("expected _start to have been called in this process")
    recipe, fingerprint = _recipe
    _pipeline = _pipeline or recipe.pipeline()
    return label_batch(_pipeline, recipe.asked, fingerprint, [load_task(task) for task in batch])
