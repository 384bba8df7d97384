"""What a training run depends on, read from YAML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch
import yaml
from torch import Tensor

from grounding_sdk.errors import ConfigError
from grounding_sdk.models.mini.network import MULTIPLE
from grounding_sdk.models.mini.sources import READERS, Source
from grounding_sdk.models.precision import Precision, check_precision, dtype_of

# Losses and their parts, of one batch after another; None where the pool has nothing to teach.
Batches: TypeAlias = Iterator[tuple[Tensor, dict[str, float]] | None]
HEADS = ("detector", "looks", "masker")

Kind = TypeVar("Kind", "TrainConfig", Source)


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
        precision: "fast" takes the large products in bfloat16 where the device multiplies it in
            hardware (see `models.precision`), "exact" never does. Weights are float32 in both.
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
    precision: Precision = "fast"

    @classmethod
    def read(cls, path: str | Path) -> TrainConfig:
        """Read a YAML file.

        Raises:
            ConfigError: If it cannot be read, a field is missing or does not exist, a head or a
                kind of source is unknown, or a number does not fit.
        """
        try:
            given = yaml.safe_load(Path(path).read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot read the configuration {path}: {error}") from error
        config = _filled(cls, given, str(path))
        if not isinstance(config.sources, tuple) or not config.sources:
            raise ConfigError(f"expected a list of sources in {path}, got {config.sources!r}")
        sources = [
            _filled(Source, source, f"source {i} of {path}")
            for i, source in enumerate(config.sources, start=1)
        ]
        config = replace(config, sources=tuple(sources))
        config.check()
        return config

    def check(self) -> None:
        """Does nothing where the run can work.

        Raises:
            ConfigError: If it cannot.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, int | float) and not isinstance(value, int | float):
                raise ConfigError(
                    f"expected {field.name} as a number, got {value!r}; YAML wants 5.0e-4, not 5e-4"
                )
        if not set(self.heads) <= set(HEADS):
            raise ConfigError(f"expected heads among {HEADS}, got {self.heads}")
        if self.size % MULTIPLE:
            raise ConfigError(f"expected a size that is a multiple of {MULTIPLE}, got {self.size}")
        for name in ("size", "slots", "batch", "minutes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"expected {name} above zero, got {getattr(self, name)}")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(f"there is no GPU for device {self.device!r}; 'cpu' always works")
        check_precision(self.precision)
        for source in self.sources:
            if not 0 <= source.absence <= 1:
                raise ConfigError(f"expected absence between 0 and 1, got {source.absence}")
            if source.kind not in READERS:
                raise ConfigError(f"expected a kind among {tuple(READERS)}, got {source.kind!r}")
            if not Path(source.path).exists():
                raise ConfigError(f"expected a folder or a zip, found nothing at {source.path}")

    def narrowed(self) -> torch.autocast:
        """A context for the heads in training: products are as `precision` says."""
        dtype = dtype_of(self.precision, self.device)
        # Weights narrowed where no gradient is wanted would be kept for where one is: no cache.
        return torch.autocast(
            torch.device(self.device).type,
            torch.bfloat16,
            enabled=dtype == torch.bfloat16,
            cache_enabled=False,
        )

    @property
    def pool_directory(self) -> Path:
        """Where the encoded pictures lie."""
        return Path(self.pool) if self.pool else Path(self.out) / "pool"


def _filled(kind: type[Kind], given: object, where: str) -> Kind:
    """A dataclass of what YAML gave, lists as tuples."""
    if not isinstance(given, dict):
        raise ConfigError(f"expected fields of {kind.__name__} in {where}, got {given!r}")
    there = {f.name: f for f in fields(kind)}
    unknown = sorted(map(str, set(given) - set(there)))
    if unknown:
        raise ConfigError(
            f"{where} has {', '.join(unknown)}, expected fields of {kind.__name__}: "
            f"{', '.join(there)}"
        )
    missing = [name for name, f in there.items() if f.default is MISSING and name not in given]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    return kind(**values)
