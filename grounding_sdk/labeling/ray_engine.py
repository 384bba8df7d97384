"""An engine on Ray: pictures are decoded in tasks, models live in actors, on many machines.

The process that runs the job reads the source and alone writes the ledger. A batch whose machine or
process dies is labelled again, so that work is done at least once; an entry is made of one result
only, so that a row is there exactly once. Paths must mean the same on all machines.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from grounding_sdk.errors import ConfigError, MissingExtraError
from grounding_sdk.labeling.errors import LabelingError
from grounding_sdk.labeling.ledger import Entry
from grounding_sdk.labeling.recipe import Recipe
from grounding_sdk.labeling.work import (
    Loaded,
    Task,
    batches,
    failed,
    label_batch,
    load_task,
)
from grounding_sdk.labeling.workers import Engine
from grounding_sdk.pipeline import Pipeline

WAITING = 3  # batches of each worker that are being decoded or labelled


def on_ray(
    workers: int = 1,
    batch_size: int = 4,
    *,
    address: str | None = None,
    cpus: float = 1.0,
    gpus: float | None = None,
) -> Callable[[Recipe, str], Engine]:
    """Makes the engine, for `LabelJob.run(engine=...)`.

    Args:
        workers: Number of actors, each with models of its own.
        batch_size: Number of pictures that go through the models together.
        address: Of a cluster, as for `ray.init`. None takes the cluster that this process is
            connected to, else that of RAY_ADDRESS, else one of its own on this machine.
        cpus: What an actor reserves, and how many threads it uses.
        gpus: Likewise; a share, such as 0.5, lets actors have one in common. None takes one where
            the cluster has any and the recipe's device allows it.

    Raises:
        MissingExtraError: If Ray is not installed.
        ConfigError: If a number cannot be.
    """
    if workers < 1 or batch_size < 1:
        raise ConfigError("workers and batch_size must be at least 1")
    ray = _ray()

    def engine(recipe: Recipe, fingerprint: str) -> Engine:
        def run(tasks: Iterable[Task]) -> Generator[list[Entry], None, None]:
            begun = not ray.is_initialized()
            if begun:
                ray.init(address=address, include_dashboard=False, log_to_driver=False)
            try:
                share = _gpus(ray, recipe) if gpus is None else gpus
                crew = _Crew(ray, recipe, fingerprint, cpus, share)
                yield from crew.label(batches(tasks, batch_size), workers)
            finally:
                if begun:
                    ray.shutdown()

        return run

    return engine


@dataclass
class _Worker:
    """An actor, and what it is at.

    Attributes:
        actor: Its handle; None if there is none at the time.
        batches: The batch of each call that has not come back, by its reference.
    """

    actor: Any = None
    batches: dict[Any, list[Task]] = field(default_factory=dict)


class _Crew:
    """Actors with models, replaced when one dies."""

    def __init__(self, ray: Any, recipe: Recipe, fingerprint: str, cpus: float, gpus: float):
        self._ray, self._fingerprint = ray, fingerprint
        self._cpus, self._gpus = cpus, gpus
        self._recipe = ray.put(recipe)
        self._proven = False  # whether an actor has ever come through

    def label(self, todo: Iterable[list[Task]], workers: int) -> Generator[list[Entry], None, None]:
        """Yields the entries of each batch as it is done."""
        self._check_room(workers)
        spare = self._ray.cluster_resources().get("CPU", 0) - workers * self._cpus
        # Without a CPU to spare, decoding shares those of the actors: it could wait forever.
        load = self._ray.remote(num_cpus=1 if spare >= 1 else 0, max_retries=0)(_load)
        load = load.options(scheduling_strategy="SPREAD")
        crew = [_Worker() for _ in range(workers)]
        try:
            for batch in todo:
                worker = min(crew, key=lambda each: len(each.batches))
                call = self._actor(worker).label.remote(load.remote(batch))
                worker.batches[call] = batch
                if sum(len(each.batches) for each in crew) >= WAITING * workers:
                    yield from self._next(crew)
            while any(worker.batches for worker in crew):
                yield from self._next(crew)
        finally:
            for worker in crew:
                self._dismiss(worker)

    def _next(self, crew: list[_Worker]) -> Generator[list[Entry], None, None]:
        """Yields what the first call gives that comes back."""
        calls = {call: worker for worker in crew for call in worker.batches}
        (call, *_), _ = self._ray.wait(list(calls), num_returns=1)
        worker = calls[call]
        batch = worker.batches.pop(call)
        entries = self._got(call)
        if entries is not None:
            yield entries
            return
        # It died, or its decoder did. What waits behind comes back or dies with it; all that is
        # lost is tried again alone, lest a picture that kills be taken for its neighbour.
        lost = [batch]
        for other, waiting in worker.batches.items():
            entries = self._got(other)
            if entries is None:
                lost.append(waiting)
            else:
                yield entries
        worker.batches = {}
        self._dismiss(worker)
        for batch in lost:
            for task in batch:
                yield [self._alone(worker, task)]

    def _alone(self, worker: _Worker, task: Task) -> Entry:
        """Labels one image while nothing waits behind it; one that kills twice is a failure."""
        for _ in range(2):
            entries = self._got(self._actor(worker).label_task.remote(task))
            if entries is not None:
                return entries[0]
            self._dismiss(worker)
        if not self._proven:
            raise LabelingError(
                "the Ray actors die before they label anything: memory may be short, as each loads "
                "the models; label one image without Ray to see why"
            )
        return failed(
            task,
            self._fingerprint,
            "the process that labelled it died: it crashed, or memory ran out",
        )

    def _got(self, call: Any) -> list[Entry] | None:
        """Returns the entries of a call; None if a process died.

        Raises:
            GroundingError: If the models cannot be loaded.
        """
        errors = self._ray.exceptions
        try:
            entries: list[Entry] = self._ray.get(call)
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, errors.RayError):
                return None  # the decoder's process died
            raise cause from None
        except errors.RayError:
            return None
        self._proven = True
        return entries

    def _actor(self, worker: _Worker) -> Any:
        if worker.actor is None:
            actor = self._ray.remote(num_cpus=self._cpus, num_gpus=self._gpus)(_Labeller)
            worker.actor = actor.remote(self._recipe, self._fingerprint)
        return worker.actor

    def _dismiss(self, worker: _Worker) -> None:
        if worker.actor is not None:
            self._ray.kill(worker.actor)
            worker.actor = None

    def _check_room(self, workers: int) -> None:
        """An actor that finds no room would be waited for without a word."""
        there = self._ray.cluster_resources()
        for name, each in (("CPU", self._cpus), ("GPU", self._gpus)):
            if workers * each > there.get(name, 0):
                raise LabelingError(
                    f"{workers} workers need {workers * each:g} {name}, the Ray cluster has "
                    f"{there.get(name, 0):g}: take fewer workers, or a smaller share for each"
                )


class _Labeller:
    """What an actor is: models, loaded with the first batch."""

    def __init__(self, recipe: Recipe, fingerprint: str) -> None:
        self._recipe, self._fingerprint = recipe, fingerprint
        self._pipeline: Pipeline | None = None

    def label(self, batch: list[Loaded]) -> list[Entry]:
        self._pipeline = self._pipeline or self._recipe.pipeline()
        return label_batch(self._pipeline, self._recipe.asked, self._fingerprint, batch)

    def label_task(self, task: Task) -> list[Entry]:
        return self.label([load_task(task)])


def _load(batch: list[Task]) -> list[Loaded]:
    return [load_task(task) for task in batch]


def _gpus(ray: Any, recipe: Recipe) -> float:
    wanted = recipe.device is None or recipe.device.startswith("cuda")
    return 1.0 if wanted and ray.cluster_resources().get("GPU", 0) else 0.0


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "the engine 'ray' needs Ray, which is not installed: pip install 'grounding_sdk[ray]'"
        ) from error
    return ray
