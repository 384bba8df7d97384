"""A job as one HTML report: opens from disk, asks no network, and takes a person's decisions.

    OUT/index.html           the page with its style and script
    OUT/data/index.js        a line for each picture: name, labels, boxes, doubts
    OUT/data/0.js, 1.js, ..  what is needed to look at some pictures: outlines, scores, words
    OUT/thumbs/0.jpg, ..
    OUT/pictures/0.jpg, ..   of pictures that a browser cannot show where they lie

Data come as scripts because a page from disk may load nothing else. Whatever the ledger holds goes
there as JSON and into the page as text, never as HTML.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import cv2
import numpy as np

from grounding_sdk.detections import Size
from grounding_sdk.errors import ImageError
from grounding_sdk.files import write_file
from grounding_sdk.formats import Annotated, Mask, Object, mask_polygons, row_dict
from grounding_sdk.formats.output import replacing
from grounding_sdk.image import Image
from grounding_sdk.labeling import video
from grounding_sdk.labeling.decisions import FORMAT
from grounding_sdk.labeling.errors import LabelingError
from grounding_sdk.labeling.flags import (
    KINDS,
    Flag,
    Limits,
    Usual,
    again,
    all_flags,
    picture_doubt,
    review_queue,
    usual,
)
from grounding_sdk.labeling.ledger import HUMAN, Entry, Ledger
from grounding_sdk.viz.files import save_picture
from grounding_sdk.viz.palette import Color, class_color, text_color

PICTURES = 5000  # in a report, unless more are asked for
CHUNK = 50  # pictures whose details are loaded together
COPY_SIDE = 1600  # longest side of pictures that are copied

_LIMITS = Limits()
_MARK = '<meta name="generator" content="grounding_sdk review">'
# What browsers show by themselves.
_LINKED = frozenset(".jpg .jpeg .jpe .jfif .png .gif .webp .bmp .avif".split())


def write_report(
    job: Ledger | Iterable[Annotated],
    out: str | Path,
    *,
    other: Ledger | Mapping[str, Annotated] | None = None,
    limit: int | None = PICTURES,
    copy: bool = False,
    thumb: int = 320,
    title: str | None = None,
    limits: Limits = _LIMITS,
    progress: Callable[[], object] | None = None,
) -> Path:
    """Writes a report for a person to look through a job and decide.

    Pictures are taken one by one, and memory does not grow with them.

    Args:
        job: The job's ledger, or rows that can be read more than once.
        out: The report's folder; one that is there already is replaced.
        other: Another job on the same pictures, or its rows by name: where the two disagree is
            flagged.
        limit: At most so many pictures, the most doubtful ones; None takes all.
        copy: Whether to copy all pictures, scaled down, so that the folder can be passed on.
            Otherwise those that a browser shows are linked to where they lie.
        thumb: Longest side of thumbnails in pixels.
        title: What the report is called; the job's folder unless given.
        limits: From where on something is doubtful.
        progress: Called after each picture.

    Returns:
        The path of the page.

    Raises:
        LabelingError: If the folder has something else or cannot be written to, or rows can be
            read only once.
    """
    rows = job if isinstance(job, Ledger) else again(job)
    twins = _twins(other)
    known = usual(_rows(rows), limits)
    chosen = None
    if limit is not None and known.pictures > limit:
        queue = review_queue(_rows(rows), other=twins, limit=limit, limits=limits, known=known)
        chosen = {each.item for each in queue}
    name = title or _name(rows, Path(out))
    try:
        page = _page_place(Path(out))
        with _Writer(page.parent, known, limits, copy=copy, thumb=thumb) as writer:
            writer.begin(name, _key(rows, Path(out)), compared=other is not None)
            for entry in _entries(rows):
                if entry.row is None:
                    writer.failure(entry, limit)
                elif chosen is None or entry.item in chosen:
                    writer.picture(entry, entry.row, twins)
                    if progress is not None:
                        progress()
        return write_file(page, _page(name))
    except OSError as error:
        raise LabelingError(f"cannot write the report to {out}: {error}") from error


class _Writer:
    """Writes the data beside the page, picture by picture."""

    def __init__(self, out: Path, known: Usual, limits: Limits, *, copy: bool, thumb: int) -> None:
        self._out, self._known, self._limits = out, known, limits
        self._copy, self._thumb = copy, thumb
        self._labels = {label: index for index, label in enumerate(known.labels)}
        self._load = _Loader()
        self._count = self._failures = 0
        self._chunk: list[dict[str, Any]] = []

    def __enter__(self) -> _Writer:
        data = self._out / "data"
        data.mkdir(parents=True, exist_ok=True)
        self._replacing = replacing(data / "index.js")
        self._index: TextIO = self._replacing.__enter__().open("w", encoding="ascii")
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._flush()
            self._say("end", {"failures": self._failures})
        self._index.close()
        self._replacing.__exit__(*error)

    def begin(self, title: str, key: str, *, compared: bool) -> None:
        """Writes what holds for all pictures."""
        found = [
            {"name": label, "count": use.objects, **_colors(class_color(index))}
            for index, (label, use) in enumerate(self._known.labels.items())
        ]
        more = [_colors(class_color(len(found) + index)) for index in range(12)]
        self._say(
            "begin",
            {
                "title": title,
                "key": key,
                "format": FORMAT,
                "pictures": self._known.pictures,
                "labels": found,
                "colors": more,  # for labels that a person adds
                "kinds": KINDS,
                "compared": compared,
            },
        )

    def picture(
        self,
        entry: Entry,
        row: Annotated,
        twins: Callable[[str], Annotated | None] | None,
    ) -> None:
        """Writes a picture, its thumbnail and, where it cannot be linked, its copy."""
        flags = all_flags(row, self._known, twins, self._limits)
        pixels = self._load(row)
        thumb = picture = None
        if pixels is not None:
            thumb = self._save(pixels, f"thumbs/{self._count}.jpg", self._thumb)
            picture = None if self._copy else _link(row.source, self._out)
            picture = picture or self._save(pixels, f"pictures/{self._count}.jpg", COPY_SIDE)
        self._say(
            "add",
            {
                "item": entry.item,
                "row": _digest(entry, row),
                "size": list(row.size),
                "thumb": thumb,
                "person": entry.fingerprint == HUMAN,
                "doubt": round(picture_doubt(flags), 4),
                "flags": list(dict.fromkeys(flag.kind for flag in flags)),
                "objects": [self._brief(each) for each in row.objects],
            },
        )
        self._chunk.append(
            {
                "picture": picture,
                "objects": [_object(each, row.size) for each in row.objects],
                "flags": [_flag(flag) for flag in flags],
            }
        )
        self._count += 1
        if len(self._chunk) == CHUNK:
            self._flush()

    def failure(self, entry: Entry, limit: int | None) -> None:
        """Writes why a picture has no objects."""
        self._failures += 1
        if limit is None or self._failures <= limit:
            self._say("failed", {"item": entry.item, "error": entry.error})

    def _brief(self, each: Object) -> list[Any]:
        return [self._labels[each.label], each.score, *(round(value) for value in each.box)]

    def _flush(self) -> None:
        if self._chunk:
            number = (self._count - 1) // CHUNK
            text = f"review.chunk({number}, {_json(self._chunk)});\n"
            write_file(self._out / "data" / f"{number}.js", text)
            self._chunk = []

    def _say(self, what: str, data: dict[str, Any]) -> None:
        self._index.write(f"review.{what}({_json(data)});\n")

    def _save(self, pixels: np.ndarray, place: str, side: int) -> str:
        save_picture(_fitted(pixels, side), self._out / place)
        return place


class _Loader:
    """Loads the pictures of rows; the frames of a video one after the other."""

    def __init__(self) -> None:
        self._video = ""
        self._at = -1
        self._frames: Iterator[tuple[int, Callable[[], np.ndarray]]] = iter(())

    def __call__(self, row: Annotated) -> np.ndarray | None:
        """Returns RGB uint8 (H, W, 3); None where there is no picture to be had."""
        if not row.source:
            return None
        try:
            frame = re.fullmatch(r"(.+)#(\d+)", row.source)
            if frame is None or os.path.exists(row.source):
                return Image.load(row.source).pixels
            path, number = frame[1], int(frame[2])
            if os.path.splitext(path)[1].lower() in video.SUFFIXES:
                return self._frame(path, number)
        except ImageError:
            pass
        return None

    def _frame(self, path: str, number: int) -> np.ndarray | None:
        if path != self._video or number <= self._at:
            self._video, self._frames = path, video.frames(path)
        for found, pixels in self._frames:
            self._at = found
            if found == number:
                return pixels()
        return None


def _page_place(out: Path) -> Path:
    page = out / "index.html"
    if out.exists() and not out.is_dir():
        raise LabelingError(f"{out} is a file, expected a folder for the report")
    if page.exists() and _MARK not in page.read_text("utf-8", errors="replace"):
        raise LabelingError(f"{page} is no report of ours: choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    return page


def _page(title: str) -> str:
    parts = resources.files(__package__) / "report_page"
    texts = {name: (parts / name).read_text("utf-8") for name in ("page.css", "page.js")}
    page = (parts / "page.html").read_text("utf-8")
    filled = {
        "{{mark}}": _MARK,
        "{{nonce}}": secrets.token_urlsafe(16),
        "{{title}}": html.escape(title.encode(errors="replace").decode()),
        "{{css}}": texts["page.css"],
        "{{js}}": texts["page.js"],
    }
    return re.sub(r"\{\{\w+\}\}", lambda found: filled[found[0]], page)


def _rows(job: Ledger | Iterable[Annotated]) -> Iterator[Annotated]:
    return job.rows() if isinstance(job, Ledger) else iter(job)


def _entries(job: Ledger | Iterable[Annotated]) -> Iterator[Entry]:
    if isinstance(job, Ledger):
        yield from job
    else:
        for row in job:
            yield Entry(row.file_name, "", "", "done", row)


def _twins(
    other: Ledger | Mapping[str, Annotated] | None,
) -> Callable[[str], Annotated | None] | None:
    if other is None:
        return None
    if not isinstance(other, Ledger):
        return other.get

    def twin(item: str) -> Annotated | None:
        entry = other.get(item)
        return None if entry is None else entry.row

    return twin


def _name(job: Ledger | Iterable[Annotated], out: Path) -> str:
    return (job.folder if isinstance(job, Ledger) else out).resolve().name or "job"


def _key(job: Ledger | Iterable[Annotated], out: Path) -> str:
    """Tells reports apart in what the browser keeps, but not a report from its next edition."""
    place = (job.folder if isinstance(job, Ledger) else out).resolve()
    return hashlib.blake2b(os.fsencode(place), digest_size=8).hexdigest()


def _digest(entry: Entry, row: Annotated) -> str:
    """Tells whether a decision that the browser kept is about these objects."""
    data = [entry.fingerprint, row_dict(row)["objects"]]
    return hashlib.blake2b(_json(data).encode(), digest_size=8).hexdigest()


def _object(each: Object, size: Size) -> dict[str, Any]:
    return {
        "label": each.label,
        "box": list(each.box),
        "score": each.score,
        "mask_score": each.mask_score,
        "phrase": each.phrase,
        "outline": None if each.mask is None else _outline(each.mask, size),
    }


def _outline(mask: Mask, size: Size) -> str:
    """Returns a mask as the path of an SVG: to the pixel where the picture is small."""
    tolerance = 0.0 if max(size) <= 400 else max(size) / 800
    rings = (ring for polygon in mask_polygons(mask, tolerance) for ring in polygon)
    return "".join(
        "M" + "L".join(f"{round(x, 1):g} {round(y, 1):g}" for x, y in ring.tolist()) + "Z"
        for ring in rings
    )


def _flag(flag: Flag) -> dict[str, Any]:
    return {
        "kind": flag.kind,
        "words": flag.words,
        "objects": list(flag.objects),
        "box": None if flag.box is None else list(flag.box),
    }


def _link(source: str | None, out: Path) -> str | None:
    """Returns the URL of a picture file relative to the page, if a browser can show it."""
    if not source or os.path.splitext(source)[1].lower() not in _LINKED:
        return None
    try:
        if not os.path.isfile(source):
            return None
        place = os.path.relpath(os.path.realpath(source), os.path.realpath(out))
    except ValueError:  # on another drive
        return None
    return quote(os.fsencode(place.replace(os.sep, "/")))


def _fitted(pixels: np.ndarray, side: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _colors(color: Color) -> dict[str, str]:
    return {"color": _hex(color), "ink": _hex(text_color(color))}


def _hex(color: Color) -> str:
    red, green, blue = color
    return f"#{red:02x}{green:02x}{blue:02x}"


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)
