"""What a job knows of each image: a folder with files that are only ever appended to.

    JOB/ledger-00000.jsonl    one entry on each line; the next file is begun at 64 MiB
    JOB/ledger.lock           held by the process that writes
    JOB/ledger.owner.json     which process that is, for the message to others

A line is JSON, `item` first and `row` (what was found, as `formats.row_dict` gives it) last:

    {"item": "a/1.jpg", "status": "done", "fingerprint": "5f...", "sha256": "09...", "stamp": "..",
     "seconds": 0.2, "objects": {"dog": 2}, "row": {"file_name": "a/1.jpg", "size": [480, 640], ..}}

Of several lines about an item the last one counts. A line is handed to the system as soon as it is
appended, so that a process that is killed loses none, and to the disk within a second, which is
what a power cut can cost. A line that was cut short is none: it is not read, and the next writer
cuts it off.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import logging
import os
import socket
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import filelock
import numpy as np

from grounding_sdk.files import write_file
from grounding_sdk.formats import Annotated, FormatError, row_dict, row_from_dict
from grounding_sdk.labeling.errors import JobBusyError, LabelingError

HUMAN = "human"  # the fingerprint of what a person gave
SHARD_BYTES = 2**26
SYNC_SECONDS = 1.0

Status: TypeAlias = Literal["done", "failed"]

_START = b'{"item": '
_ROW = b', "row": '  # cannot be inside of a string, where quotes have a backslash before them
_OFFSET_BITS = 44
_RECENT = 2**15

_log = logging.getLogger(__name__)


class Head(NamedTuple):
    """An entry without its row: quick to read, as a resume reads all of them, and small.

    Attributes:
        item: The image's name in the dataset: a relative path with forward slashes;
            "clip.mp4#000120" for a frame of a video.
        status: "done" or "failed".
        fingerprint: Of query, models and stages; "human" for what a person gave.
        sha256: Hex digest of the file's bytes, of a frame's pixels; "" if it could not be read.
        stamp: Size and time of the file when it was read; as long as they are the same, so is it.
        seconds: How long the stages took.
        error: Why it failed.
        objects: How many of each label were found.
    """

    item: str
    status: Status
    fingerprint: str
    sha256: str = ""
    stamp: str = ""
    seconds: float = 0.0
    error: str | None = None
    objects: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Entry:
    """One image's line in the ledger.

    Attributes:
        item: The image's name in the dataset; see `Head` for all but the row.
        sha256: Hex digest of the file's bytes, of a frame's pixels; "" if it could not be read.
        fingerprint: Of query, models and stages; "human" for what a person gave.
        status: "done" or "failed".
        row: What was found; its `file_name` is the item. None where it failed.
        error: Why it failed; None where it did not.
        seconds: How long the stages took.
        stamp: Size and time of the file when it was read.

    Raises:
        LabelingError: If status, row and error do not agree.
    """

    item: str
    sha256: str
    fingerprint: str
    status: Status
    row: Annotated | None = None
    error: str | None = None
    seconds: float = 0.0
    stamp: str = ""

    def __post_init__(self) -> None:
        if self.status == "done":
            agree = self.row is not None and self.row.file_name == self.item and self.error is None
        else:
            agree = self.status == "failed" and self.row is None and bool(self.error)
        if not agree:
            raise LabelingError(
                f"expected an entry of {self.item!r} that is 'done' with a row of the same name, "
                f"or 'failed' with an error; got status {self.status!r}, error {self.error!r}, row "
                f"{None if self.row is None else self.row.file_name!r}"
            )

    @property
    def head(self) -> Head:
        """The entry without its row."""
        objects = Counter(each.label for each in self.row.objects) if self.row else {}
        return Head(
            self.item,
            self.status,
            self.fingerprint,
            self.sha256,
            self.stamp,
            self.seconds,
            self.error,
            tuple(objects.items()),
        )


class Ledger:
    """The entries of a job, of which each item's latest counts.

    Anyone may read, also while it is written; to write, take the lock:

        ledger = Ledger.open("job")
        with ledger.locked():
            ledger.append(entry)

    In memory are some 40 bytes for each item and no rows.

    Args:
        folder: The job's folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._places = _Places()  # of each item's latest entry
        self._contents = _Places()  # of an entry that is done, by content and fingerprint
        self._status: Counter[str] = Counter()
        self._objects: Counter[str] = Counter()
        self._end = (0, 0)  # what lies before this shard and offset has been read
        self._reader: tuple[int, BinaryIO] | None = None
        self._writer: _Writer | None = None

    @classmethod
    def open(cls, folder: str | Path) -> Ledger:
        """Opens the ledger of a job, which may be empty, and reads its index.

        Raises:
            LabelingError: If there is no such folder, or it cannot be read.
        """
        if not Path(folder).is_dir():
            raise LabelingError(f"there is no folder {folder}, expected that of a labelling job")
        ledger = cls(folder)
        ledger.refresh()
        return ledger

    def refresh(self) -> None:
        """Reads on from where it stopped: what another process has appended since."""
        try:
            while self._read_shard(*self._end):
                self._end = (self._end[0] + 1, 0)
        except OSError as error:
            raise LabelingError(f"cannot read the ledger in {self.folder}: {error}") from error

    @contextmanager
    def locked(self) -> Iterator[Ledger]:
        """Holds the right to append. A process that dies loses it at once.

        Raises:
            JobBusyError: If another process holds it; names the process.
            LabelingError: If the folder cannot be written to.
        """
        lock = filelock.FileLock(self.folder / "ledger.lock", timeout=0)
        owner = self.folder / "ledger.owner.json"
        try:
            lock.acquire()
        except filelock.Timeout:
            raise JobBusyError(
                f"{self.folder} is being worked on by {_owner(owner)}: wait for it, or stop it"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise LabelingError(f"cannot write to {self.folder}: {error}") from error
        try:
            with explained(self.folder):
                write_file(owner, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
                self.refresh()
                self._forget_reader()
                writer = self._writer = _Writer(self.folder, *self._end)
            try:
                yield self
            finally:
                self._writer = None
                with explained(self.folder):
                    writer.close()
        finally:
            with suppress(OSError):
                owner.unlink()
            lock.release()

    def append(self, entries: Entry | Iterable[Entry]) -> None:
        """Appends entries: all of them, or none if that fails.

        Raises:
            LabelingError: If the lock is not held, or the disk is full. What was there is kept.
        """
        if self._writer is None:
            raise LabelingError("append needs the lock to be held: use `with ledger.locked()`")
        added = [entries] if isinstance(entries, Entry) else list(entries)
        lines = [(entry.head, _line(entry)) for entry in added]
        with explained(self.folder):
            shard, offset = self._writer.write(b"".join(line for _, line in lines))
        for head, line in lines:
            self._note(head, shard, offset)
            offset += len(line)
        self._end = (shard, offset)

    def get(self, item: str) -> Entry | None:
        """Returns the latest entry of an item."""
        place = self._places.get(_key(item))
        entry = None if place is None else _entry(self._line_at(place), self.folder)
        return entry if entry is not None and entry.item == item else None

    def head(self, item: str) -> Head | None:
        """Returns the latest entry of an item without its row."""
        place = self._places.get(_key(item))
        head = None if place is None else _head(self._line_at(place))
        return head if head is not None and head.item == item else None

    def find(self, sha256: str, fingerprint: str) -> Entry | None:
        """Returns an entry that is done and has this content, whatever its item is called."""
        place = self._contents.get(_key(f"{sha256} {fingerprint}"))
        entry = None if place is None else _entry(self._line_at(place), self.folder)
        same = entry is not None and (entry.sha256, entry.fingerprint) == (sha256, fingerprint)
        return entry if same else None

    def counts(self) -> dict[str, int]:
        """Returns how many items are "done" and how many have "failed"."""
        return {"done": self._status["done"], "failed": self._status["failed"]}

    def objects(self) -> dict[str, int]:
        """Returns how many objects of each label there are, most first."""
        found = [(label, count) for label, count in self._objects.items() if count]
        return dict(sorted(found, key=lambda each: (-each[1], each[0])))

    def rows(self) -> Iterator[Annotated]:
        """Yields what was found in each item that is done, ordered by its name."""
        for entry in self:
            if entry.row is not None:
                yield entry.row

    def heads(self) -> Iterator[Head]:
        """Yields each item's latest entry without its row, ordered by the item's name."""
        for line in self._lines():
            head = _head(line)
            if head is not None:
                yield head

    def __iter__(self) -> Iterator[Entry]:
        """Yields each item's latest entry, ordered by the item's name, however it came about."""
        for line in self._lines():
            yield _entry(line, self.folder)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, item: str) -> bool:
        return self.head(item) is not None

    def __repr__(self) -> str:
        return f"Ledger({str(self.folder)!r}: {self.counts()})"

    def _lines(self) -> Iterator[bytes]:
        """Merges the shards, each sorted by itself, so that a million names are never at hand."""
        places = self._places.values()
        ends = np.flatnonzero(np.diff(places >> _OFFSET_BITS, prepend=-1, append=-1))
        runs = [self._sorted_lines(places[start:end]) for start, end in pairwise(ends)]
        yield from (line for _, line in heapq.merge(*runs, key=lambda run: run[0]))

    def _sorted_lines(self, places: np.ndarray) -> Iterator[tuple[str, bytes]]:
        shard, offsets = int(places[0]) >> _OFFSET_BITS, places & (2**_OFFSET_BITS - 1)
        with _shard(self.folder, shard).open("rb") as file:

            def line_at(offset: int) -> bytes:
                file.seek(offset)
                return file.readline()

            named = sorted((_item(line_at(offset)), offset) for offset in offsets.tolist())
            sorted_offsets = array("Q", (offset for _, offset in named))
            del named
            for offset in sorted_offsets:
                line = line_at(offset)
                yield _item(line), line

    def _read_shard(self, shard: int, offset: int) -> bool:
        """Reads the lines of a shard from an offset on; tells whether there is a shard after it."""
        path = _shard(self.folder, shard)
        if not path.exists():
            return False
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # torn, or being written just now
                head = _head(line)
                if head is None:
                    _log.warning("%s: the line at byte %d is damaged: left out", path, offset)
                else:
                    self._note(head, shard, offset)
                offset += len(line)
        self._end = (shard, offset)
        return _shard(self.folder, shard + 1).exists()

    def _note(self, head: Head, shard: int, offset: int) -> None:
        place, key = shard << _OFFSET_BITS | offset, _key(head.item)
        before = self._places.get(key)
        if before is not None:
            old = _head(self._line_at(before))
            if old is not None:
                self._count(old, -1)
        self._places.put(key, place)
        self._count(head, 1)
        if head.status == "done" and head.sha256 and head.fingerprint != HUMAN:
            self._contents.put(_key(f"{head.sha256} {head.fingerprint}"), place)

    def _count(self, head: Head, sign: int) -> None:
        self._status[head.status] += sign
        for label, count in head.objects:
            self._objects[label] += sign * count

    def _line_at(self, place: int) -> bytes:
        shard = place >> _OFFSET_BITS
        if self._reader is None or self._reader[0] != shard:
            self._forget_reader()
            self._reader = (shard, _shard(self.folder, shard).open("rb"))
        file = self._reader[1]
        file.seek(place & (2**_OFFSET_BITS - 1))
        return file.readline()

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader[1].close()
        self._reader = None


class _Places:
    """From 64-bit keys to 64-bit values: sorted arrays, and a small dict of what is new.

    A dict alone would take five times the memory. Two of a million items share a key with a
    probability of 1 in 40 million.
    """

    def __init__(self) -> None:
        self._keys = np.zeros(0, np.uint64)
        self._values = np.zeros(0, np.int64)
        self._recent: dict[int, int] = {}

    def get(self, key: int) -> int | None:
        if key in self._recent:
            return self._recent[key]
        index = int(self._keys.searchsorted(np.uint64(key)))
        if index < len(self._keys) and int(self._keys[index]) == key:
            return int(self._values[index])
        return None

    def put(self, key: int, value: int) -> None:
        self._recent[key] = value
        if len(self._recent) >= _RECENT:
            self._settle()

    def values(self) -> np.ndarray:
        """All values, sorted."""
        self._settle()
        return np.sort(self._values)

    def __len__(self) -> int:
        self._settle()
        return len(self._keys)

    def _settle(self) -> None:
        if not self._recent:
            return
        fresh = np.fromiter(self._recent.keys(), np.uint64, len(self._recent))
        kept = ~np.isin(self._keys, fresh)
        keys = np.concatenate([self._keys[kept], fresh])
        values = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        values = np.concatenate([self._values[kept], values])
        order = np.argsort(keys)
        self._keys, self._values = keys[order], values[order]
        self._recent.clear()


class _Writer:
    """Appends to the last shard, or to a new one when that is full."""

    def __init__(self, folder: Path, shard: int, end: int) -> None:
        self._folder, self._shard, self._end = folder, shard, end
        self._file = self._open(shard)
        os.ftruncate(self._file, end)  # a line that was cut short
        self._synced = time.monotonic()

    def write(self, lines: bytes) -> tuple[int, int]:
        """Returns the shard and the offset at which the lines begin."""
        if self._end >= SHARD_BYTES:
            full, self._file = self._file, self._open(self._shard + 1)
            self._shard, self._end = self._shard + 1, 0
            os.fsync(full)
            os.close(full)
        start = self._end
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except BaseException:  # the disk is full, or Ctrl-C came between two pieces
            os.ftruncate(self._file, start)
            raise
        self._end += len(lines)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            os.fsync(self._file)
            self._synced = time.monotonic()
        return self._shard, start

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def _open(self, shard: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        return os.open(_shard(self._folder, shard), flags, 0o666)


def _shard(folder: Path, number: int) -> Path:
    return folder / f"ledger-{number:05d}.jsonl"


def _key(text: str) -> int:
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _line(entry: Entry) -> bytes:
    head = entry.head
    data: dict[str, Any] = {
        "item": head.item,
        "status": head.status,
        "fingerprint": head.fingerprint,
        "sha256": head.sha256,
        "stamp": head.stamp,
        "seconds": round(head.seconds, 4),
        "error": head.error,
        "objects": dict(head.objects),
        "row": None if entry.row is None else row_dict(entry.row),
    }
    needed = ("item", "status", "fingerprint")
    data = {key: value for key, value in data.items() if key in needed or value not in ("", None)}
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # a path that is no text
        return json.dumps(data, allow_nan=False).encode() + b"\n"


def _head(line: bytes) -> Head | None:
    """Reads a line up to its row; None if it is damaged."""
    before, row, _ = line.partition(_ROW)
    if not (line.startswith(_START) and line.endswith(b"}\n")) or b"\0" in line:
        return None
    try:
        data = json.loads((before + b"}" if row else before).decode())
        return Head(**data | {"objects": tuple(data["objects"].items())})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _item(line: bytes) -> str:
    item: str = json.JSONDecoder().raw_decode(line[len(_START) : 2**14].decode(errors="replace"))[0]
    return item


def _entry(line: bytes, folder: Path) -> Entry:
    try:
        data = json.loads(line)
        del data["objects"]
        row = data.pop("row", None)
        return Entry(**{"sha256": ""} | data, row=None if row is None else row_from_dict(row))
    except (ValueError, KeyError, TypeError, AttributeError, FormatError) as error:
        raise LabelingError(
            f"the ledger in {folder} has a damaged line: {error}; it begins with {line[:80]!r}. "
            f"Delete the line and label again"
        ) from error


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns what the system says of a full disk or a forbidden folder into an error for people."""
    try:
        yield
    except OSError as error:
        raise LabelingError(
            f"cannot write to {folder}: {error.strerror or error}. What it has is "
            f"kept; run the same again when there is room and permission"
        ) from error
