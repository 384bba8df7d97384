"""From a job's ledger to any format, as often as wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from grounding_sdk.errors import ConfigError
from grounding_sdk.formats import FORMATS, Annotated, in_splits
from grounding_sdk.labeling.job import job_labels
from grounding_sdk.labeling.ledger import Ledger


def export_job(
    job: str | Path,
    format_name: str,
    out: str | Path,
    *,
    min_score: float = 0.0,
    labels: Iterable[str] | None = None,
    splits: Mapping[str, float] | None = None,
    pictures: bool = False,
) -> int:
    """Writes what a job has found so far, row by row, ordered by the images' names.

    Args:
        job: The job's folder. It may be at work.
        format_name: One of `grounding_sdk.formats.FORMATS`.
        out: The folder to write to.
        min_score: Only objects that score at least this; what people marked has no score.
        labels: Only these, which get their class ids in this order; by default all, in the
            ontology's order.
        splits: How much each split gets, such as {"train": 0.8, "val": 0.2}; each image's is
            decided by its name alone.
        pictures: Whether to copy the pictures too.

    Returns:
        The number of images.

    Raises:
        LabelingError: If there is no job.
        FormatError: If the format cannot hold a row.
        ConfigError: If there is no such format or label.
    """
    if format_name not in FORMATS:
        raise ConfigError(f"no format is called {format_name!r}; there are {', '.join(FORMATS)}")
    known = job_labels(job)
    wanted = known if labels is None else tuple(labels)
    strange = [label for label in wanted if label not in known]
    if strange or not wanted:
        raise ConfigError(f"expected labels among {', '.join(known)}; got {', '.join(strange)}")
    ledger = Ledger.open(job)
    rows = _filtered(ledger.rows(), min_score, set(wanted))
    if splits is not None:
        rows = in_splits(rows, splits)
    FORMATS[format_name].write(rows, out, wanted, pictures=pictures)
    return ledger.counts()["done"]


def _filtered(
    rows: Iterable[Annotated], min_score: float, labels: Collection[str]
) -> Iterator[Annotated]:
    for row in rows:
        kept = (
            each
            for each in row.objects
            if each.label in labels and (each.score is None or each.score >= min_score)
        )
        yield replace(row, objects=tuple(kept))
