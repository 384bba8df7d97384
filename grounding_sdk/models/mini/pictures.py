"""Training pictures: annotated photos, cut-outs and plain photos, augmented without end.

`Pictures` draws from all sources: a photo scaled, cropped, flipped and recoloured, a mosaic of
photos, or cut-outs pasted on a background, some of them in another colour, pattern or size.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from grounding_sdk.errors import ConfigError
from grounding_sdk.models.mini.attributes import COLOURS, PATTERNS, colour_of, draw_pattern, dye
from grounding_sdk.models.mini.sources import READERS, Files, Photo, Source, decode_mask

GREY = 114
COLOURLESS = ("person", "man", "woman", "skin", "face")  # people are not sorted by colour


@dataclass
class Picture:
    """A training picture.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        names: Names of n objects.
        boxes: (n, 4) float32 xyxy.
        masks: n masks (S, S) uint8 in 0..1, or None where unknown.
        weak: n flags: the box only says where to look (no box loss).
        attributes: What is known of each object beside its name: a colour, pattern or size.
        source: Index of the source.
    """

    pixels: np.ndarray
    names: list[str] = field(default_factory=list)
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    masks: list[np.ndarray | None] = field(default_factory=list)
    weak: list[bool] = field(default_factory=list)
    attributes: list[str | None] = field(default_factory=list)
    source: int = 0

    def add(
        self, name: str, mask: np.ndarray | None, weak: bool = False, attribute: str | None = None
    ) -> None:
        """Add what is known of an object, all but its box."""
        self.names.append(name)
        self.masks.append(mask)
        self.weak.append(weak)
        self.attributes.append(attribute)


class Pictures:
    """An endless, seeded supply of training pictures.

    Args:
        sources: The sets.
        size: Side of the pictures.
        random: Of all random choices, a generator or a seed.
        leave_out: Names; photos that show one are left out.

    Raises:
        ConfigError: If a set cannot be read or has nothing to learn from.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        size: int,
        random: np.random.Generator | int = 0,
        leave_out: Collection[str] = (),
    ) -> None:
        self.sources, self.size = sources, size
        self.random = np.random.default_rng(random)
        self.files = [Files(s.path) for s in sources]
        read = [_read(s, f) for s, f in zip(sources, self.files, strict=True)]
        self.photos = [
            [p for p in photos if not any(a.name in leave_out for a in p.annotations)]
            for photos, _ in read
        ]
        self.names = [[n for n in names if n not in leave_out] for _, names in read]
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
        name_colours(picture)
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
                for name, mask, weak in zip(part.names, part.masks, part.weak, strict=True):
                    if mask is not None:
                        full = np.zeros((self.size, self.size), np.uint8)
                        full[y : y + side, x : x + side] = mask
                        mask = full
                    whole.add(name, mask, weak)
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
            mask = None
            if a.segmentation:
                mask = warp(decode_mask(a.segmentation, height, width), matrix, side, 0)
            picture.add(a.name, mask, source.kind == "named")
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
                picture.add("", mask)
                boxes.append(mask_box(mask))
        picture.boxes = np.array(boxes, np.float32).reshape(-1, 4)
        return picture

    def composite(self, index: int) -> Picture:
        """Cut-outs (of this source, and objects cut from annotated photos) on a background."""
        background = int(self.random.choice(self.backgrounds)) if self.backgrounds else index
        picture = Picture(np.full((self.size, self.size, 3), self.random.integers(256), np.uint8))
        if self.backgrounds:
            pixels = self.photo(background, self.size).pixels
            picture.pixels = pixels
        for _ in range(self.random.integers(2, 6)):
            if self.masked and self.random.random() < 0.45:
                name, rgba = self.cut_from_photo()
            else:
                photo = self.photos[index][self.random.integers(len(self.photos[index]))]
                rgba = self.files[index].picture(photo.file, cv2.IMREAD_UNCHANGED)
                name = photo.annotations[0].name
            if rgba.ndim == 3 and rgba.shape[2] == 4 and rgba.size:
                self.paste_kin(picture, name, rgba)
        return picture

    def paste_kin(self, picture: Picture, name: str, rgba: np.ndarray) -> None:
        """Put a cut-out on the picture once as it is, or twice or more, told apart by something.

        "red X" can be learned only where an X of another colour is in the same picture.
        """
        part = self.random.uniform(0.12, 0.55)
        kind = self.random.choice(["plain", "colour", "pattern", "size"], p=[0.4, 0.4, 0.1, 0.1])
        if kind == "colour":
            colours = self.random.choice(list(COLOURS), self.random.integers(1, 4), replace=False)
            for colour in colours:
                dyed = dye(shrink(rgba, self.size), str(colour), self.random)
                self.paste(picture, name, dyed, part * self.random.uniform(0.7, 1.1))
        elif kind == "pattern":
            for pattern in self.random.permutation(PATTERNS)[: self.random.integers(1, 3)]:
                drawn = draw_pattern(shrink(rgba, self.size), str(pattern), self.random)
                self.paste(picture, name, drawn, part * self.random.uniform(0.9, 1.2), str(pattern))
        elif kind == "size":
            self.paste(picture, name, rgba, self.random.uniform(0.3, 0.6), "large")
            self.paste(picture, name, rgba, self.random.uniform(0.08, 0.16), "small")
        else:
            self.paste(picture, name, rgba, part)

    def cut_from_photo(self) -> tuple[str, np.ndarray]:
        """An annotated object as RGBA, cut by its mask."""
        index, photo, a = self.masked[self.random.integers(len(self.masked))]
        pixels = self.files[index].picture(photo.file)
        alpha = decode_mask(a.segmentation, *pixels.shape[:2]) * 255
        x0, y0, x1, y1 = np.array([*np.floor(a.box[:2]), *np.ceil(a.box[2:])], int)
        return a.name, np.dstack([pixels, alpha])[max(y0, 0) : y1, max(x0, 0) : x1]

    def paste(
        self,
        picture: Picture,
        name: str,
        rgba: np.ndarray,
        part: float,
        attribute: str | None = None,
    ) -> None:
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
        picture.add(name, mask, attribute=attribute)
        box = np.array([mask_box(mask)], np.float32)
        picture.boxes = np.concatenate([picture.boxes, box])


def _read(source: Source, files: Files) -> tuple[list[Photo], list[str]]:
    try:
        photos, names = READERS[source.kind](files)
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"cannot read {source.path} as {source.kind!r}: {type(error).__name__}: {error}"
        ) from error
    if not photos:
        raise ConfigError(f"{source.path} has no picture with something to learn from")
    return photos, names


def all_names(pictures: Pictures) -> list[str]:
    """All names of all sources; a name's place is its id in the pool."""
    return sorted({name for names in pictures.names for name in names})


def name_colours(picture: Picture) -> None:
    """Say what colour the objects have that have a mask, one colour, and no attribute so far."""
    for i, mask in enumerate(picture.masks):
        if picture.attributes[i] is not None or picture.names[i] in ("", *COLOURLESS):
            continue
        if mask is not None:
            x0, y0, x1, y1 = picture.boxes[i].round().astype(int).clip(0)
            inside = slice(y0, y1), slice(x0, x1)
            picture.attributes[i] = colour_of(picture.pixels[inside], mask[inside])


def shrink(rgba: np.ndarray, side: int) -> np.ndarray:
    """A cut-out at most `side` pixels long."""
    scale = side / max(rgba.shape[:2])
    if scale >= 1:
        return rgba
    return cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


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
    picture.attributes = [picture.attributes[i] for i in kept]
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
