"""What a training run depends on, read from YAML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from torch import Tensor

from grounding_sdk.errors import ConfigError
from grounding_sdk.models.mini.network import MULTIPLE
from grounding_sdk.models.mini.sources import Source

# Losses and their parts, of one batch after another; None where the pool has nothing to teach.
Batches: TypeAlias = Iterator[tuple[Tensor, dict[str, float]] | None]
HEADS = ("detector", "looks", "masker")


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on.

    Attributes:
        start: Directory of weights to start from, or "mini" for the embedded ones.
        out: Directory of the checkpoint, the curves and the trained weights.
        sources: Where pictures come from.
        leave_out: Names that must never be seen, to measure how such names do: photos that show
            them are left out. A run that starts from weights that saw them proves nothing.
        pool: Directory of the encoded pictures; "" for `out`/pool.
        heads: Which of "detector", "looks" and "masker" are trained.
        size: Side of the training pictures in pixels, a multiple of 64.
        slots: Pictures in the pool.
        first: Pictures encoded before the first round.
        fresh: Pictures encoded in each round, in place of the oldest.
        minutes: Length of the schedule in minutes of training...
        rounds: ...or in rounds, whichever ends first; 0 is no limit.
        batch: Pictures in a round, for each head.
        rate: Peak learning rate.
        negatives: Absent names compared in a round.
        save_every: Seconds between checkpoints.
        seed: Of pictures, batches and prompts.
        threads: CPU threads.
        device: "cpu" or "cuda".
    """

    start: str
    out: str
    sources: tuple[Source, ...]
    leave_out: tuple[str, ...] = ()
    pool: str = ""
    heads: tuple[str, ...] = HEADS
    size: int = 448
    slots: int = 3000
    first: int = 200
    fresh: int = 3
    minutes: float = 60.0
    rounds: int = 0
    batch: int = 8
    rate: float = 1.5e-3
    negatives: int = 60
    save_every: float = 120.0
    seed: int = 0
    threads: int = 1
    device: str = "cpu"

    @classmethod
    def read(cls, path: str | Path) -> TrainConfig:
        """Read a YAML file.

        Raises:
            ConfigError: If a field does not exist, a head is unknown or the size does not fit.
        """
        given = yaml.safe_load(Path(path).read_text())
        unknown = set(given) - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigError(f"expected fields of TrainConfig, got also {sorted(unknown)}")
        given["sources"] = tuple(Source(**_tuples(source)) for source in given["sources"])
        config = cls(**_tuples(given))
        if not set(config.heads) <= set(HEADS):
            raise ConfigError(f"expected heads among {HEADS}, got {config.heads}")
        if config.size % MULTIPLE:
            raise ConfigError(
                f"expected a size that is a multiple of {MULTIPLE}, got {config.size}"
            )
        return config

    @property
    def pool_directory(self) -> Path:
        """Where the encoded pictures lie."""
        return Path(self.pool) if self.pool else Path(self.out) / "pool"


def _tuples(given: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
