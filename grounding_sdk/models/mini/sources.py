"""Sets of training pictures on disk: COCO-format photos, cut-outs, named photos, region labels.

A `Source` is one set (a directory or a zip). Every reader gives its photos and all of its names,
because the absence of a label is evidence only for the names that the set labels everywhere
("federated" labels).
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle


@dataclass(frozen=True)
class Source:
    """Where pictures come from and how often.

    Attributes:
        path: Directory or zip.
        kind: "coco" (`images/` and `annotations.json`), "cutouts" (RGBA pictures and
            `index.json`), "named" (one picture a name, the name in the file name) or "segments"
            (`images/` and label pictures in `segments/`, without names).
        weight: Share of the pictures drawn.
        exhaustive: Whether everything that is an object is labelled.
        absence: What it proves that a picture lacks a name of the set: 1 where people looked for
            all of them, less for pseudo-labels (a detector overlooks things), 0 for nothing.
        grid: Sides of the mosaics, drawn at random; 1 is no mosaic.
        scale: Range of the long side against the picture's (or the mosaic cell's) side.
    """

    path: str
    kind: str
    weight: float
    exhaustive: bool = False
    grid: tuple[int, ...] = (1,)
    scale: tuple[float, float] = (0.6, 1.8)
    absence: float = 1.0


@dataclass(frozen=True)
class Annotation:
    """One object: its name, xyxy box, and segmentation as COCO writes it (or None)."""

    name: str
    box: tuple[float, float, float, float]
    segmentation: object = None


@dataclass(frozen=True)
class Photo:
    """A picture file of a source and what is annotated in it."""

    file: str
    annotations: tuple[Annotation, ...] = ()
    segments: str | None = None


class Files:
    """Bytes by name, from a directory or a zip."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.zip = zipfile.ZipFile(self.path) if self.path.is_file() else None

    def read(self, name: str) -> bytes:
        """Read one file."""
        return self.zip.read(name) if self.zip else (self.path / name).read_bytes()

    def names(self) -> list[str]:
        """List all files, sorted."""
        if self.zip:
            return sorted(n for n in self.zip.namelist() if not n.endswith("/"))
        files = (p for p in self.path.rglob("*") if p.is_file())
        return sorted(str(p.relative_to(self.path)) for p in files)

    def picture(self, name: str, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
        """Decode to RGB (or RGBA, or labels, as `flag` says)."""
        pixels = cv2.imdecode(np.frombuffer(self.read(name), np.uint8), flag)
        if pixels is None:
            raise ValueError(f"expected a picture, got bytes that do not decode: {name}")
        if pixels.ndim == 3:
            code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
            pixels = cv2.cvtColor(pixels, code)
        return pixels


def read_coco(files: Files) -> tuple[list[Photo], list[str]]:
    """Photos with at least one box, and all names of the set. Crowd regions are left out."""
    data = json.loads(files.read("annotations.json"))
    names = {c["id"]: c["name"] for c in data["categories"]}
    by_image: dict[int, list[Annotation]] = {}
    for a in data["annotations"]:
        if not a.get("iscrowd"):
            x, y, w, h = a["bbox"]
            box = (x, y, x + w, y + h)
            known = Annotation(names[a["category_id"]], box, a.get("segmentation"))
            by_image.setdefault(a["image_id"], []).append(known)
    photos = [
        Photo(f"images/{i['file_name']}", tuple(by_image[i["id"]]))
        for i in data["images"]
        if i["id"] in by_image
    ]
    return photos, sorted(set(names.values()))


def read_cutouts(files: Files) -> tuple[list[Photo], list[str]]:
    """Pictures with alpha, one object each."""
    entries = json.loads(files.read("index.json"))
    box = (0.0, 0.0, 0.0, 0.0)
    photos = [Photo(e["file"], (Annotation(e["label"].lower(), box),)) for e in entries]
    return photos, sorted({p.annotations[0].name for p in photos})


def read_named(files: Files) -> tuple[list[Photo], list[str]]:
    """Pictures named `<id>_<name_with_underscores>.jpg`."""
    photos = []
    for name in files.names():
        if name.lower().endswith((".jpg", ".jpeg", ".png")):
            _, parted, words = Path(name).stem.partition("_")
            if not parted:
                raise ValueError(f"expected pictures named <id>_<name>.jpg, got {name}")
            words = words.replace("_", " ").lower()
            photos.append(Photo(name, (Annotation(words, (0.0, 0.0, 0.0, 0.0)),)))
    return photos, sorted({p.annotations[0].name for p in photos})


def read_segments(files: Files) -> tuple[list[Photo], list[str]]:
    """Photos with a picture of region labels each."""
    labels: dict[str, list[str]] = {}
    for name in files.names():
        if name.startswith("segments/"):
            labels.setdefault(Path(name).stem.split("_")[0].split("-")[0], []).append(name)
    photos = [
        Photo(name, segments=labels[Path(name).stem][0])
        for name in files.names()
        if name.startswith("images/") and Path(name).stem in labels
    ]
    return photos, []


READERS = {
    "coco": read_coco,
    "cutouts": read_cutouts,
    "named": read_named,
    "segments": read_segments,
}


def decode_mask(segmentation: object, height: int, width: int) -> np.ndarray:
    """COCO polygons or RLE -> (height, width) uint8 of 0 and 1."""
    if isinstance(segmentation, list):
        return rle.decode(rle.merge(rle.frPyObjects(segmentation, height, width)))
    if isinstance(segmentation["counts"], list):  # type: ignore[index]
        segmentation = rle.frPyObjects(segmentation, height, width)
    return rle.decode(segmentation)
