"""Training pictures: annotated photos, cut-outs and plain photos, augmented without end.

A `Source` is one set on disk (a directory or a zip). `Pictures` draws from all of them: a photo
scaled, cropped, flipped and recoloured, a mosaic of photos, or cut-outs pasted on a background.
Every picture keeps the index of its source, because the absence of a label is evidence only for
the names that the source labels everywhere ("federated" labels).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle

GREY = 114


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
        grid: Sides of the mosaics, drawn at random; 1 is no mosaic.
        scale: Range of the long side against the picture's (or the mosaic cell's) side.
    """

    path: str
    kind: str
    weight: float
    exhaustive: bool = False
    grid: tuple[int, ...] = (1,)
    scale: tuple[float, float] = (0.6, 1.8)


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


@dataclass
class Picture:
    """A training picture.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        names: Names of n objects.
        boxes: (n, 4) float32 xyxy.
        masks: n masks (S, S) uint8 in 0..1, or None where unknown.
        weak: n flags: the box only says where to look (no box loss).
        source: Index of the source.
    """

    pixels: np.ndarray
    names: list[str] = field(default_factory=list)
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    masks: list[np.ndarray | None] = field(default_factory=list)
    weak: list[bool] = field(default_factory=list)
    source: int = 0


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
            words = Path(name).stem.split("_", 1)[1].replace("_", " ").lower()
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


class Pictures:
    """An endless, seeded supply of training pictures.

    Args:
        sources: The sets.
        size: Side of the pictures.
        seed: Of all random choices.
    """

    def __init__(self, sources: Sequence[Source], size: int, seed: int = 0) -> None:
        self.sources, self.size = sources, size
        self.random = np.random.default_rng(seed)
        self.files = [Files(s.path) for s in sources]
        read = [READERS[s.kind](f) for s, f in zip(sources, self.files, strict=True)]
        self.photos = [photos for photos, _ in read]
        self.names = [names for _, names in read]
        weights = np.array([s.weight for s in sources], float)
        self.weights = weights / weights.sum()
        self.backgrounds = [i for i, s in enumerate(sources) if s.kind in ("named", "segments")]
        self.masked = [
            (i, photo, a)
            for i, s in enumerate(sources)
            if s.kind == "coco" and s.exhaustive
            for photo in self.photos[i]
            for a in photo.annotations
            if a.segmentation and (a.box[2] - a.box[0]) * (a.box[3] - a.box[1]) > 32**2
        ]

    def draw(self) -> Picture:
        """Draw one picture."""
        index = int(self.random.choice(len(self.sources), p=self.weights))
        source = self.sources[index]
        if source.kind == "cutouts":
            picture = self.composite(index)
        elif source.kind == "segments":
            picture = self.regions(index)
        else:
            picture = self.mosaic(index, int(self.random.choice(source.grid)))
            if source.exhaustive and self.masked and self.random.random() < 0.3:
                for _ in range(self.random.integers(1, 4)):
                    self.paste(picture, *self.cut_from_photo(), self.random.uniform(0.08, 0.4))
        picture.source = index
        picture.pixels = recolour(picture.pixels, self.random)
        return keep_visible(picture)

    def mosaic(self, index: int, grid: int) -> Picture:
        """Photos of one source side by side, `grid` x `grid`."""
        side = self.size // grid
        whole = Picture(np.full((self.size, self.size, 3), GREY, np.uint8))
        boxes = [whole.boxes]
        for row in range(grid):
            for column in range(grid):
                part = self.photo(index, side)
                y, x = row * side, column * side
                whole.pixels[y : y + side, x : x + side] = part.pixels
                boxes.append(part.boxes + np.array([x, y, x, y], np.float32))
                whole.names += part.names
                whole.weak += part.weak
                for mask in part.masks:
                    if mask is not None:
                        full = np.zeros((self.size, self.size), np.uint8)
                        full[y : y + side, x : x + side] = mask
                        mask = full
                    whole.masks.append(mask)
        whole.boxes = np.concatenate(boxes)
        return whole

    def photo(self, index: int, side: int) -> Picture:
        """One photo, randomly scaled, flipped and cut or padded to `side`."""
        source = self.sources[index]
        photo = self.photos[index][self.random.integers(len(self.photos[index]))]
        pixels = self.files[index].picture(photo.file)
        height, width = pixels.shape[:2]
        low, high = np.log(source.scale)
        scale = side / max(height, width) * np.exp(self.random.uniform(low, high))
        stretch = np.exp(self.random.uniform(-0.1, 0.1))
        matrix = placement(height, width, scale / stretch, scale * stretch, side, self.random)
        picture = Picture(warp(pixels, matrix, side, GREY))
        boxes = []
        for a in photo.annotations:
            box = a.box if source.kind == "coco" else (0.0, 0.0, float(width), float(height))
            boxes.append(move_box(box, matrix))
            picture.names.append(a.name)
            picture.weak.append(source.kind == "named")
            mask = None
            if a.segmentation:
                mask = warp(decode_mask(a.segmentation, height, width), matrix, side, 0)
            picture.masks.append(mask)
        picture.boxes = np.array(boxes, np.float32).reshape(-1, 4)
        return clip(picture, side)

    def regions(self, index: int) -> Picture:
        """A photo of a "segments" source with some of its regions as nameless masks."""
        photo = self.photos[index][self.random.integers(len(self.photos[index]))]
        pixels = self.files[index].picture(photo.file)
        labels = self.files[index].picture(photo.segments or "", cv2.IMREAD_UNCHANGED)
        labels = labels if labels.ndim == 2 else labels[..., 0].astype(np.int32)
        height, width = pixels.shape[:2]
        scale = self.size / max(height, width) * np.exp(self.random.uniform(-0.3, 0.4))
        matrix = placement(height, width, scale, scale, self.size, self.random)
        picture = Picture(warp(pixels, matrix, self.size, GREY))
        values = self.random.permutation(np.unique(labels))[:16]
        boxes = []
        for value in values:
            mask = warp((labels == value).astype(np.uint8), matrix, self.size, 0)
            if 400 < mask.sum() < 0.6 * mask.size:
                picture.masks.append(mask)
                boxes.append(mask_box(mask))
        picture.names, picture.weak = [""] * len(boxes), [False] * len(boxes)
        picture.boxes = np.array(boxes, np.float32).reshape(-1, 4)
        return picture

    def composite(self, index: int) -> Picture:
        """Cut-outs (of this source, and objects cut from annotated photos) on a background."""
        background = int(self.random.choice(self.backgrounds)) if self.backgrounds else index
        picture = Picture(np.full((self.size, self.size, 3), self.random.integers(256), np.uint8))
        if self.backgrounds:
            pixels = self.photo(background, self.size).pixels
            picture.pixels = pixels
        for _ in range(self.random.integers(2, 7)):
            if self.masked and self.random.random() < 0.35:
                self.paste(picture, *self.cut_from_photo(), self.random.uniform(0.15, 0.6))
            else:
                photo = self.photos[index][self.random.integers(len(self.photos[index]))]
                rgba = self.files[index].picture(photo.file, cv2.IMREAD_UNCHANGED)
                name = photo.annotations[0].name
                if rgba.ndim == 3 and rgba.shape[2] == 4:
                    self.paste(picture, name, rgba, self.random.uniform(0.12, 0.6))
        return picture

    def cut_from_photo(self) -> tuple[str, np.ndarray]:
        """An annotated object as RGBA, cut by its mask."""
        index, photo, a = self.masked[self.random.integers(len(self.masked))]
        pixels = self.files[index].picture(photo.file)
        alpha = decode_mask(a.segmentation, *pixels.shape[:2]) * 255
        x0, y0, x1, y1 = np.array([*np.floor(a.box[:2]), *np.ceil(a.box[2:])], int)
        return a.name, np.dstack([pixels, alpha])[max(y0, 0) : y1, max(x0, 0) : x1]

    def paste(self, picture: Picture, name: str, rgba: np.ndarray, part: float) -> None:
        """Put a cut-out on the picture at a random place, `part` of its side large."""
        size = self.size
        scale = part * size / max(rgba.shape[:2])
        if self.random.random() < 0.5:
            rgba = rgba[:, ::-1]
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        rgba = cv2.resize(np.ascontiguousarray(rgba), None, fx=scale, fy=scale, interpolation=way)
        h, w = rgba.shape[:2]
        if min(h, w) < 8 or max(h, w) >= size:
            return
        y, x = int(self.random.integers(size - h)), int(self.random.integers(size - w))
        alpha = cv2.GaussianBlur(rgba[..., 3], (3, 3), 0)[..., None].astype(np.float32) / 255
        place = picture.pixels[y : y + h, x : x + w]
        place[:] = (rgba[..., :3] * alpha + place * (1 - alpha)).astype(np.uint8)
        mask = np.zeros((size, size), np.uint8)
        mask[y : y + h, x : x + w] = rgba[..., 3] > 127
        if mask.sum() < 64:
            return
        hide_behind(picture, mask)
        picture.names.append(name)
        picture.weak.append(False)
        picture.masks.append(mask)
        box = np.array([mask_box(mask)], np.float32)
        picture.boxes = np.concatenate([picture.boxes, box])


def hide_behind(picture: Picture, cover: np.ndarray) -> None:
    """Take the covered part out of the picture's masks; drop objects that are mostly covered."""
    kept = []
    for i, (box, mask) in enumerate(zip(picture.boxes, picture.masks, strict=True)):
        x0, y0, x1, y1 = box.round().astype(int)
        before = mask.sum() if mask is not None else max((x1 - x0) * (y1 - y0), 1)
        if mask is not None:
            mask &= 1 - cover
            left = mask.sum()
        else:
            left = before - cover[y0:y1, x0:x1].sum()
        if left > 0.4 * before:
            kept.append(i)
    select(picture, kept)


def select(picture: Picture, kept: Sequence[int]) -> Picture:
    """Keep some of the objects."""
    picture.names = [picture.names[i] for i in kept]
    picture.masks = [picture.masks[i] for i in kept]
    picture.weak = [picture.weak[i] for i in kept]
    picture.boxes = picture.boxes[list(kept)]
    return picture


def clip(picture: Picture, side: int) -> Picture:
    """Clip boxes to the picture; drop objects of which less than 35% is left."""
    old = picture.boxes
    new = old.clip(0, side)
    area = (old[:, 2] - old[:, 0]) * (old[:, 3] - old[:, 1])
    sides = new[:, 2:] - new[:, :2]
    kept = np.flatnonzero((sides.prod(1) > 0.35 * area) & (sides.min(1, initial=1e9) > 3))
    picture.boxes = new
    return select(picture, kept.tolist())


def keep_visible(picture: Picture) -> Picture:
    """Drop objects too small to see."""
    sides = picture.boxes[:, 2:] - picture.boxes[:, :2]
    return select(picture, np.flatnonzero(sides.min(1, initial=1e9) >= 4).tolist())


def placement(
    height: int,
    width: int,
    scale_x: float,
    scale_y: float,
    side: int,
    random: np.random.Generator,
) -> np.ndarray:
    """A 2x3 matrix that scales, perhaps mirrors, and shifts a photo into a square at random."""
    new = np.array([width * scale_x, height * scale_y])
    low, high = np.minimum(side - new, 0), np.maximum(side - new, 0)
    shift = random.uniform(low, high)
    matrix = np.array([[scale_x, 0, shift[0]], [0, scale_y, shift[1]]])
    if random.random() < 0.5:
        matrix[0] = [-scale_x, 0, shift[0] + new[0]]
    return matrix


def warp(pixels: np.ndarray, matrix: np.ndarray, side: int, fill: int) -> np.ndarray:
    """Resize with area averaging when shrinking, then shift (and mirror) into a square."""
    scale_x, scale_y = abs(matrix[0, 0]), matrix[1, 1]
    height, width = pixels.shape[:2]
    new = (max(1, round(width * scale_x)), max(1, round(height * scale_y)))
    way = cv2.INTER_AREA if scale_x < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(pixels, new, interpolation=way)
    if matrix[0, 0] < 0:
        pixels = pixels[:, ::-1]
    left = round(matrix[0, 2] - (new[0] if matrix[0, 0] < 0 else 0))
    top = round(matrix[1, 2])
    out = np.full((side, side, *pixels.shape[2:]), fill, np.uint8)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + new[1], side), min(left + new[0], side)
    if y1 > y0 and x1 > x0:
        out[y0:y1, x0:x1] = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
    return out


def move_box(box: Sequence[float], matrix: np.ndarray) -> list[float]:
    """Apply the matrix to an xyxy box."""
    x = sorted(matrix[0, 0] * v + matrix[0, 2] for v in (box[0], box[2]))
    y = [matrix[1, 1] * v + matrix[1, 2] for v in (box[1], box[3])]
    return [x[0], y[0], x[1], y[1]]


def mask_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The xyxy box of a mask that is not empty.

    >>> mask_box(np.pad(np.ones((2, 3), np.uint8), 1))
    (1.0, 1.0, 4.0, 3.0)
    """
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)


def recolour(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast and saturation, four times out of five."""
    if random.random() < 0.2:
        return pixels
    x = pixels.astype(np.float32) * random.uniform(0.6, 1.4)
    grey = x.mean(2, keepdims=True)
    x = (x - grey) * random.uniform(0.5, 1.5) + grey
    mean = x.mean()
    x = (x - mean) * random.uniform(0.7, 1.3) + mean
    return x.clip(0, 255).astype(np.uint8)
