"""How a job labels: what is asked, by which models, with which settings. Data, no models loaded.

It can be sent to another process, which makes the pipeline of it, and has a fingerprint, by which a
ledger knows what has been labelled in just this way.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from grounding_sdk.errors import ConfigError
from grounding_sdk.grounder import Grounder
from grounding_sdk.models import catalog, store
from grounding_sdk.models.catalog import DETECTOR, SEGMENTER
from grounding_sdk.models.ports import Detector, Segmenter
from grounding_sdk.models.registry import model_info
from grounding_sdk.pipeline import Pipeline
from grounding_sdk.query import Query, QueryLike, check_threshold
from grounding_sdk.stages import Merge, Parse, Refine, Segment


@dataclass(frozen=True)
class Recipe:
    """What is asked of every image, and what answers; the attributes are those of `Grounder`.

    Attributes:
        query: What to ask; it is read once, here.
        detector: Name, path or object.
        segmenter: Likewise; None for boxes alone.
        threshold: For phrases without one of their own.
        reader: How the query is read.
        tile: Side of the tiles in which large pictures are looked at.
        merge: How duplicates are removed.
        refine: How masks are cleaned up.
        device: Where the models run; this changes no fingerprint.
        offline: Whether to keep off the model hub.

    Raises:
        QueryError: If the query asks for nothing.
    """

    query: QueryLike
    detector: str | Path | Detector = "mini"
    segmenter: str | Path | Segmenter | None = "mini"
    threshold: float | None = None
    reader: str = "auto"
    tile: int | None = None
    merge: Merge | None = Merge()
    refine: Refine | None = Refine()
    device: str | None = None
    offline: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "query", Parse(self.reader).read(Query.of(self.query)))
        if self.threshold is not None:
            check_threshold(self.threshold)

    @property
    def asked(self) -> Query:
        """The query as it was understood."""
        return Query.of(self.query)

    def pipeline(self) -> Pipeline:
        """Loads the models.

        Raises:
            GroundingError: As `Grounder` does.
        """
        grounder = Grounder(
            self.detector,
            self.segmenter,
            threshold=self.threshold,
            tile=self.tile,
            merge=self.merge,
            refine=self.refine,
            device=self.device,
            offline=self.offline,
        )
        # The query has been read already, and no picture comes twice.
        return Pipeline(
            replace(stage, cache=None) if isinstance(stage, Segment) else stage
            for stage in grounder.pipeline.stages
            if not isinstance(stage, Parse)
        )

    def config(self) -> dict[str, Any]:
        """Returns all that the result depends on as plain JSON types.

        Weights stand there by their digests, so that a model trained anew under an old name is
        another one. Missing ones are fetched if they may be.

        Raises:
            UnknownModelError: If a name is not known.
            MissingWeightsError: If weights are nowhere to be found.
        """
        return {
            "query": self.asked.to_dict(),
            "detector": _model(DETECTOR, self.detector, self.offline),
            "segmenter": _model(SEGMENTER, self.segmenter, self.offline),
            "threshold": self.threshold,
            "tile": self.tile,
            "merge": self.merge and asdict(self.merge),
            "refine": self.refine and self.segmenter and asdict(self.refine),
        }


def fingerprint(config: Mapping[str, Any]) -> str:
    """Returns a short digest of a configuration: 64 bits in hex.

    >>> fingerprint({"a": 1, "b": None}) == fingerprint({"b": None, "a": 1})
    True
    """
    canonical = json.dumps(config, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names what differs between two configurations.

    >>> differences({"a": {"b": 1, "c": [2]}}, {"a": {"b": 3, "c": [2]}, "d": 4})
    ['a.b was 1, is 3', 'd was not there, is 4']
    """
    old, new = dict(_leaves(before)), dict(_leaves(now))
    unset = "not there"
    return [
        f"{key} was {old.get(key, unset)}, is {new.get(key, unset)}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key, unset) != new.get(key, unset)
    ]


def _leaves(data: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", json.dumps(value, ensure_ascii=False)


def _model(kind: str, model: Any, offline: bool | None) -> dict[str, Any] | None:
    """Says which model it is: its name, and the digests of its weights where it has files."""
    if model is None:
        return None
    if not isinstance(model, str | os.PathLike):
        return {"name": str(getattr(model, "name", type(model).__name__))}
    info = catalog.lookup(model, kind) if isinstance(model, str) else None
    path = Path(model).expanduser()
    if info is None and not path.exists():
        try:
            info = model_info(os.fspath(model), kind)
        except ConfigError:  # registered, or a plug-in's: it has no files that are known of
            return {"name": os.fspath(model)}
    if info is not None:
        path = store.resolve(info, offline)
    known = {} if info is None else {name: file.sha256 for name, file in info.files.items()}
    files = {file.name: known.get(file.name) or _digest(file) for file in store.weight_files(path)}
    return {"name": info.name if info else path.name, "weights": files}


def _digest(file: Path) -> str:
    named = file.resolve().name
    if file.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", named):
        return named  # in the Hugging Face cache
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
