"""`LabelJob`: labels every image of a source once, and never loses what it has.

JOB/job.json      what is labelled, and how; written once
JOB/ledger-*      what was found; see `grounding_sdk.labeling.ledger`

What labels the images is an engine; see `grounding_sdk.labeling.workers`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import grounding_sdk
from grounding_sdk.errors import ConfigError
from grounding_sdk.files import write_file
from grounding_sdk.formats import FORMATS
from grounding_sdk.labeling.errors import LabelingError
from grounding_sdk.labeling.items import Item, find_items
from grounding_sdk.labeling.ledger import HUMAN, Entry, Head, Ledger, explained
from grounding_sdk.labeling.progress import Progress, Summary
from grounding_sdk.labeling.recipe import Recipe, differences, fingerprint
from grounding_sdk.labeling.work import Task, ahead
from grounding_sdk.labeling.workers import Engine, in_process, in_processes
from grounding_sdk.models.ports import Detector, Segmenter
from grounding_sdk.query import Query, QueryLike
from grounding_sdk.stages import Merge, Refine

JOB_FILE = "job.json"

_log = logging.getLogger(__name__)


class LabelJob:
    """Labels the images of a source with a query; what it finds is in the ledger of its folder.

    An image is labelled once by one configuration. It is the same as long as its name and its
    file's size and time are; one that was moved, copied or touched is known by its content.

    Args:
        source: A folder, pattern, list, table, COCO file, saved dataset, video, or an iterable of
            paths; see `find_items`.
        query: What to look for; see `Query.of`. A `Path` is a file with an ontology.
        out: The job's folder. A job that is there is gone on with.
        detector: As for `Grounder`.
        segmenter: As for `Grounder`; None gives boxes without masks.
        threshold: Lowest detector score; None takes the detector's own default.
        reader: How the query is read; see `Grounder`.
        tile: Side of the tiles in which large pictures are looked at; None for none.
        merge: How duplicates are removed; None keeps them.
        refine: How masks are cleaned up; None leaves them as they are.
        batch_size: Number of images that go through the models together.
        workers: Number of processes, each with models of its own; 1 labels in this one. Where
            there are more, a script needs `if __name__ == "__main__":`, as for `multiprocessing`.
        every_nth: Takes every n-th frame of a video.
        root: The folder that paths in a list or table are relative to.
        preserve: Annotations of people, which are kept: their images are not labelled. Images
            without any object in there are.
        preserve_format: The format of these, one of `grounding_sdk.formats.FORMATS`.
        device: "cpu", "cuda", ...; None takes a GPU where there is one.
        offline: Whether to keep off the model hub.

    Raises:
        QueryError: If the query asks for nothing.
        LabelingError: If there is no such source.
        ConfigError: If an option cannot work.
    """

    def __init__(
        self,
        source: Any,
        query: QueryLike,
        out: str | Path,
        *,
        detector: str | Path | Detector = "mini",
        segmenter: str | Path | Segmenter | None = "mini",
        threshold: float | None = None,
        reader: str = "auto",
        tile: int | None = None,
        merge: Merge | None = Merge(),
        refine: Refine | None = Refine(),
        batch_size: int = 4,
        workers: int = 1,
        every_nth: int = 1,
        root: str | Path | None = None,
        preserve: str | Path | None = None,
        preserve_format: str = "coco",
        device: str | None = None,
        offline: bool | None = None,
    ) -> None:
        if batch_size < 1 or workers < 1:
            raise ConfigError("batch_size and workers must be at least 1")
        self.recipe = Recipe(
            query, detector, segmenter, threshold, reader, tile, merge, refine, device, offline
        )
        self.items = find_items(source, every=every_nth, root=root)
        self.out = Path(out)
        self.batch_size = batch_size
        self.workers = workers
        self._source = _place(source)
        self._preserve = _reader(preserve, preserve_format)

    def run(
        self,
        progress: Callable[[Progress], object] | None = None,
        *,
        retry_failed: bool = False,
        limit: int | None = None,
        reconfigure: bool = False,
        overwrite_human: bool = False,
        engine: Callable[[Recipe, str], Engine] | None = None,
    ) -> Summary:
        """Labels what is not labelled yet.

        It may be stopped at any moment, by Ctrl-C or `kill -9`; the same call goes on from there.

        Args:
            progress: Called again and again with how far it is.
            retry_failed: Whether to try again what has failed before.
            limit: Ends after so many images.
            reconfigure: Whether the job may have another source or configuration than before.
                What another configuration has labelled is labelled anew.
            overwrite_human: Whether to label also what a person has labelled.
            engine: Gives, for recipe and fingerprint, what labels; by default this process, or
                `workers` processes.

        Returns:
            What was done. Images that failed are counted there, and their reasons are in it.

        Raises:
            JobBusyError: If another process is at work on the job.
            LabelingError: If the folder is that of another job, or cannot be written to.
            GroundingError: If a model cannot be loaded.
        """
        if limit is not None and limit < 1:
            raise ConfigError(f"expected a limit of at least 1, got {limit}")
        if self.out.exists() and not self.out.is_dir():
            raise LabelingError(f"{self.out} is a file, expected a folder for the job")
        config = self.recipe.config()
        with explained(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
        ledger = Ledger.open(self.out)
        with ledger.locked():
            digest = fingerprint(config)
            self._agree(ledger, config, digest, reconfigure)
            preserved = self._add_preserved(ledger)
            run = _Run(ledger, digest, self.items.count(), progress)
            run.retry_failed, run.overwrite_human = retry_failed, overwrite_human
            tasks = run.tasks(self.items, 2 * self.batch_size, limit)
            with closing(self._engine(engine, digest)(tasks)) as results:
                for entries in results:
                    run.record(entries)
        if limit is None and not overwrite_human and run.progress.human < preserved:
            _log.warning(
                "of %d images that people have annotated only %d are in the source: their names "
                "must be those of the items, such as %r",
                *(preserved, run.progress.human, next((item.name for item in self.items), "")),
            )
        return run.progress.summary()

    @property
    def ledger(self) -> Ledger:
        """The ledger as it is on the disk now."""
        return Ledger.open(self.out)

    def __repr__(self) -> str:
        return f"LabelJob({self._source!r}, {str(self.recipe.asked)!r}, {str(self.out)!r})"

    def _engine(self, given: Callable[[Recipe, str], Engine] | None, digest: str) -> Any:
        if given is not None:
            return given(self.recipe, digest)
        if self.workers > 1:
            return in_processes(self.recipe, digest, self.batch_size, self.workers)
        return in_process(self.recipe, digest, self.batch_size)

    def _agree(
        self, ledger: Ledger, config: dict[str, Any], digest: str, reconfigure: bool
    ) -> None:
        """Compares the job with what its folder was made for, and writes what it is for now."""
        now = {"source": self._source, **config}
        file = self.out / JOB_FILE
        if file.exists() and len(ledger) and not reconfigure:
            changed = differences(read_job(self.out)["config"], now)
            if changed:
                raise LabelingError(
                    f"{self.out} is the folder of another job: {'; '.join(changed)}. Choose "
                    f"another folder, or reconfigure the job, which labels its images anew"
                )
        made_by = f"grounding_sdk {grounding_sdk.__version__}"
        content = {"fingerprint": digest, "made_by": made_by, "config": now}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        with explained(self.out):
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                write_file(file, text)

    def _add_preserved(self, ledger: Ledger) -> int:
        """Enters what people have annotated, unless something of theirs is there already."""
        count = 0
        for row in self._preserve() if self._preserve else ():
            if row.objects:
                count += 1
                head = ledger.head(row.file_name)
                if head is None or head.fingerprint != HUMAN:
                    row = replace(row, split="")
                    ledger.append(Entry(row.file_name, "", HUMAN, "done", row))
        return count


def read_job(folder: str | Path) -> dict[str, Any]:
    """Reads a job's job.json.

    Raises:
        LabelingError: If there is none.
    """
    try:
        data = json.loads((Path(folder) / JOB_FILE).read_text(encoding="utf-8"))
        if isinstance(data["config"], dict):
            return dict(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelingError(f"there is no labelling job in {folder}: {error}") from error
    raise LabelingError(f"there is no labelling job in {folder}: {JOB_FILE} has no config")


def job_labels(folder: str | Path) -> tuple[str, ...]:
    """Returns the labels of a job: those asked for, in their order, then others in its ledger.

    Raises:
        LabelingError: If there is no job.
    """
    asked = Query.from_dict(read_job(folder)["config"]["query"]).wanted
    return tuple(dict.fromkeys([*asked, *sorted(Ledger.open(folder).objects())]))


class _Run:
    """One run of a job: what is still to do, and what came of it."""

    retry_failed = False
    overwrite_human = False

    def __init__(
        self,
        ledger: Ledger,
        fingerprint: str,
        total: int | None,
        report: Callable[[Progress], object] | None,
    ) -> None:
        if total == 0:
            raise LabelingError("there is no picture in the source: check the folder or pattern")
        self.fingerprint = fingerprint
        self.progress = Progress(total, ledger)
        self._ledger = ledger
        self._report = report

    def tasks(self, items: Any, count: int, limit: int | None) -> Iterator[Task]:
        """Yields what is to be labelled; what has a known content is entered at once."""
        todo = islice((Task.of(item) for item in items if not self._is_kept(item)), limit)
        with closing(ahead(Task.digested, todo, count)) as digested:
            for task in digested:
                known = self._ledger.find(task.sha256, self.fingerprint) if task.sha256 else None
                if known is None or known.row is None:
                    self.progress.working()
                    yield task
                else:
                    row = replace(known.row, file_name=task.name, source=task.source)
                    self.record([replace(known, item=task.name, stamp=task.stamp, row=row)])

    def record(self, entries: list[Entry]) -> None:
        """Enters what came of some tasks."""
        self._ledger.append(entries)
        for entry in entries:
            self.progress.tried(entry.head)
        self._tell()

    def _is_kept(self, item: Item) -> bool:
        head = self._ledger.head(item.name)
        if head is None:
            return False
        if head.fingerprint == HUMAN:
            if self.overwrite_human:
                return False
            self.progress.human += 1
            self._adopt(head, item)
        elif head.fingerprint != self.fingerprint or head.stamp != item.stamp():
            return False
        elif head.status == "done":
            self.progress.kept += 1
        elif self.retry_failed:
            return False
        else:
            self.progress.failing(head)
        if self.progress.seen % 256 == 0:
            self._tell()
        return True

    def _adopt(self, head: Head, item: Item) -> None:
        """Notes where the picture of a person's annotations lies, which these do not tell."""
        stamp = item.stamp()
        entry = self._ledger.get(item.name) if stamp and not head.stamp else None
        if entry is not None and entry.row is not None:
            row = replace(entry.row, source=item.source)
            self._ledger.append(replace(entry, stamp=stamp, row=row))

    def _tell(self) -> None:
        if self._report is not None:
            self._report(self.progress)


def _place(source: Any) -> str | None:
    """Returns what a source is called in job.json; None for what is made in Python."""
    if not isinstance(source, str | os.PathLike):
        return None
    text = os.fspath(source)
    path = text if "://" in text else os.path.abspath(text)
    return path.encode(errors="backslashreplace").decode()  # a path may be no text


def _reader(path: str | Path | None, name: str) -> Any:
    if path is None:
        return None
    readers = {key: each.read for key, each in FORMATS.items() if each.read is not None}
    if name not in readers:
        raise ConfigError(f"no format that can be read is called {name!r}: {', '.join(readers)}")
    return lambda: readers[name](path)
