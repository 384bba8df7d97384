"""Composing stages: check them, run them on one image, many or a stream."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import MISSING, fields
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import yaml

from grounding_sdk.errors import ConfigError, PipelineError
from grounding_sdk.files import write_file
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import ImageLike
from grounding_sdk.query import QueryLike
from grounding_sdk.stages import STAGES, FunctionStage, Stage
from grounding_sdk.stages.running import Batch, Threads, attempt

StageLike: TypeAlias = Stage | Callable[[Grounding], Grounding]
OnError: TypeAlias = Literal["skip", "raise"] | Callable[[PipelineError], None]
_log = logging.getLogger(__name__)


class Pipeline:
    """Runs stages one after the other.

    Args:
        stages: `Stage`s, or plain functions that take a `Grounding` and return one.
        given: Columns that the items will have before the first stage, such as "xyxy" where
            boxes come from elsewhere.

    Raises:
        ConfigError: If something is no stage, or a stage needs a column that nothing adds.
    """

    def __init__(self, stages: Iterable[StageLike], *, given: Sequence[str] = ()) -> None:
        self.stages: tuple[Stage, ...] = tuple(_as_stage(stage) for stage in stages)
        self.given = tuple(given)
        have = set(self.given)
        for stage in self.stages:
            missing = [column for column in stage.needs if column not in have]
            if missing:
                raise ConfigError(
                    f"stage '{stage.name}' needs {', '.join(missing)}, which no stage before it "
                    f"adds: put the stage that does in front, or list it in 'given'"
                )
            have.update(stage.adds)

    def __call__(self, image: ImageLike, query: QueryLike) -> Grounding:
        """Grounds one query in one image.

        Raises:
            ImageError: If the picture cannot be read.
            QueryError: If the words make no query.
            PipelineError: If a stage fails.
        """
        return self.run([Grounding.ask(image, query)])[0]

    def run(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Runs all items as one batch.

        Raises:
            PipelineError: If a stage fails on an item; it names both.
        """
        results: Batch = dict(enumerate(items))
        for stage in self.stages:
            results = attempt(stage, results)
        for result in results.values():
            if isinstance(result, PipelineError):
                raise result
        return [result for result in results.values() if isinstance(result, Grounding)]

    def stream(
        self,
        images: Iterable[ImageLike | Grounding],
        query: QueryLike | None = None,
        *,
        batch_size: int = 4,
        read_ahead: int = 8,
        on_error: OnError = "skip",
    ) -> Iterator[Grounding]:
        """Yields results in order while the next ones are made in the background.

        While you use a result, the segmenter is at the next batch, the detector at the one after
        it, and the pictures after these are read. `images` is iterated in your thread, where arrays
        are copied, so that one may be filled again for each frame of a video. Stages run in other
        threads, but none is called twice at a time, except for those that keep nothing and those
        of models that gain from it (`batches_at_once`, as "mini" does on a CPU). When the iterator
        has ended, failed or been closed, and Ctrl-C does that too, all threads are gone; what is in
        a stage then is waited for.

        Results do not depend on the batches. With a model that can only batch images of one size
        (it has the attribute `batches_equal_sizes`), images are batched with others of their size
        among the `read_ahead` next ones.

        Args:
            images: Anything that `Image.load` takes, or groundings that carry their own query.
            query: What to ask of every image.
            batch_size: Number of images that go through the stages together.
            read_ahead: Number of images that are begun before their turn. So many and a batch, or
                twice as many where that is more, are in memory, however long the stream is.
            on_error: What to do about an image that fails: "skip" it with a logged warning,
                "raise" the error, or a function that is called with it. The others go on.
        """
        if batch_size < 1 or read_ahead < 1:
            raise ConfigError("batch_size and read_ahead must be at least 1")
        if not callable(on_error) and on_error not in ("skip", "raise"):
            raise ConfigError(
                f"expected on_error as 'skip', 'raise' or a function, got {on_error!r}"
            )
        models = [getattr(stage, "model", None) for stage in self.stages]
        by_size = any(getattr(model, "batches_equal_sizes", False) for model in models)
        window = max(batch_size, read_ahead) if by_size else batch_size
        threads = Threads(self.stages, read_ahead // batch_size)
        under_way: deque[tuple[int, Future[Batch]]] = deque()
        numbered = enumerate(map(_of_now, images))
        try:
            while taken := list(islice(numbered, window)):
                under_way += threads.begin(taken, query, batch_size)
                while len(under_way) > read_ahead:
                    yield from _delivered(under_way.popleft(), on_error)
            while under_way:
                yield from _delivered(under_way.popleft(), on_error)
        finally:
            threads.stop()

    def to_config(self) -> dict[str, Any]:
        """Returns the pipeline as plain data; models stand by their names."""
        config: dict[str, Any] = {"stages": [_stage_config(stage) for stage in self.stages]}
        return {**config, "given": list(self.given)} if self.given else config

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, stages: Mapping[str, StageLike] | None = None
    ) -> Pipeline:
        """Builds a pipeline from `to_config`'s data.

        Args:
            config: The data, as read from YAML or JSON.
            stages: Stages of your own by name. Code is never looked up from the config itself.

        Raises:
            ConfigError: If the data describes no pipeline.
        """
        if not isinstance(config, Mapping) or not isinstance(config.get("stages"), list):
            raise ConfigError("expected a mapping with a list under 'stages'")
        built = [_stage_from_config(entry, stages or {}) for entry in config["stages"]]
        return cls(built, given=config.get("given", ()))

    def save(self, path: str | Path) -> None:
        """Writes `to_config` as YAML."""
        write_file(path, yaml.safe_dump(self.to_config(), sort_keys=False, allow_unicode=True))

    @classmethod
    def load(cls, path: str | Path, *, stages: Mapping[str, StageLike] | None = None) -> Pipeline:
        """Reads what `save` wrote.

        Raises:
            ConfigError: If the file is no YAML or describes no pipeline.
        """
        try:
            config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is no YAML: {error}") from error
        return cls.from_config(config, stages=stages)

    def __repr__(self) -> str:
        return f"Pipeline({' -> '.join(stage.name for stage in self.stages)})"


def _of_now(image: ImageLike | Grounding) -> ImageLike | Grounding:
    """Copies an array, which may hold the next picture when its turn comes."""
    if isinstance(image, np.ndarray):
        image = image.copy()
        image.flags.writeable = False  # so that it is not copied again
    return image


def _delivered(under_way: tuple[int, Future[Batch]], on_error: OnError) -> Iterator[Grounding]:
    index, batch = under_way
    result = batch.result().pop(index)  # popped, so that it is not kept for its batch's sake
    if isinstance(result, Grounding):
        yield result
    elif on_error == "raise":
        raise result
    elif on_error == "skip":
        _log.warning("skipped: %s", result)
    else:
        on_error(result)


def _as_stage(stage: StageLike) -> Stage:
    if isinstance(stage, type):
        raise ConfigError(f"expected a stage, got the class {stage.__name__}: call it first")
    if isinstance(stage, Stage):
        return stage
    if callable(stage):
        return FunctionStage(stage, name=getattr(stage, "__name__", type(stage).__name__))
    raise ConfigError(f"expected a stage or a function, got {type(stage).__name__}")


def _stage_config(stage: Stage) -> dict[str, Any]:
    config: dict[str, Any] = {"stage": stage.name}
    if STAGES.get(stage.name) is not type(stage):
        return config  # a stage of the user's own, given again by name when the config is read
    for field in fields(stage):  # type: ignore[arg-type]  # all of STAGES are dataclasses
        value = getattr(stage, field.name)
        if value != field.default or field.default is MISSING:
            config[field.name] = getattr(value, "name", value)
    return config


def _stage_from_config(entry: object, own: Mapping[str, StageLike]) -> StageLike:
    if not isinstance(entry, Mapping) or "stage" not in entry:
        raise ConfigError(f"expected a mapping with the key 'stage', got {entry!r}")
    options = {key: value for key, value in entry.items() if key != "stage"}
    name = entry["stage"]
    if name in own:
        if options:
            raise ConfigError(f"stage '{name}' is given by you and takes no options: {options}")
        return own[name]
    if name not in STAGES:
        raise ConfigError(
            f"no stage is called {name!r}; there are {', '.join(STAGES)}. "
            f"Give stages of your own as stages={{{name!r}: function}}"
        )
    known = [field.name for field in fields(STAGES[name])]
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ConfigError(f"stage '{name}' has no option {unknown[0]!r}; it has {', '.join(known)}")
    try:
        stage: Stage = STAGES[name](**options)
    except TypeError as error:
        raise ConfigError(f"stage '{name}': {error}") from error
    return stage
