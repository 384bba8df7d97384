"""The embedded model behind the two ports: `MiniDetector` and `MiniSegmenter`.

Both use one `Network` a directory and device, which keeps the last image encodings, so that
detecting and then segmenting a photo encodes it once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

import cv2
import numpy as np
import supervision as sv
import torch
from numpy.typing import ArrayLike
from PIL import Image as PILImage
from torch import Tensor
from torch.nn import functional

from grounding_sdk.detections import Size, detections_from_scores, pack_masks
from grounding_sdk.image import Image
from grounding_sdk.models.cache import EmbeddingCache
from grounding_sdk.models.engines import Engine, Function, HasEngine, PictureSide, translated
from grounding_sdk.models.mini.network import (
    BOX_MARGIN,
    MASKS,
    MULTIPLE,
    WINDOW,
    Mini,
    Regions,
    blend,
    boxes_from_sides,
    positions,
    prompt_planes,
)
from grounding_sdk.models.mini.text import PhraseEncoder
from grounding_sdk.models.mini.weights import (
    TEXT,
    TOKENIZER,
    VISION,
    load_text,
    load_vision,
    read_config,
)
from grounding_sdk.models.ports import MaskPrediction
from grounding_sdk.models.precision import DEFAULT_PRECISION, HasPrecision
from grounding_sdk.models.scaling import PIXELS_AT_ONCE, is_large
from grounding_sdk.models.segmenters.prompts import Prompts, check_prompts
from grounding_sdk.query import Query

ENCODINGS_BYTES = 128_000_000  # a dozen; a stream has two batches of four under way
OBJECTNESS_SHARE = 0.3  # score = name^0.7 * objectness^0.3
CANDIDATES, KEPT = 1000, 300  # boxes before and after suppression
SAME_PHRASE_IOU, ANY_PHRASE_IOU = 0.5, 0.85  # overlap at which the weaker box goes
LOGITS_SIDE = 128  # of the returned logits, stretched over the image
NOWHERE = -10.0  # logit outside of a mask's window
WINDOWS_AT_ONCE = 32
STRIP = 256  # rows of a mask interpolated at a time
POINT_WINDOWS = (1.0, 0.45, 0.2)  # sides tried around points, in parts of the longer side


@dataclass(frozen=True, eq=False)
class Encoding:
    """An encoded image.

    Attributes:
        image_size: (height, width) of the image.
        encoded_size: (height, width) of the image as the encoder saw it.
        features: The two finest maps of the encoder, each (1, C, h/4, w/4).
        regions: What the detector makes of them all, whatever is asked; see `network.Regions`.
        embedding: What the mask decoder reads, (1, 64, h/4, w/4).
    """

    image_size: tuple[int, int]
    encoded_size: tuple[int, int]
    features: list[Tensor]
    regions: tuple[Tensor, ...]
    embedding: Tensor

    @property
    def scale(self) -> np.ndarray:
        """(x, y): encoded pixels for an image pixel."""
        return np.array(self.encoded_size[::-1], float) / np.array(self.image_size[::-1], float)


class Network(HasEngine):
    """The loaded network and the last encodings. Safe to share among threads.

    Another engine runs all of a picture that depends on no question, always in float32.

    Attributes:
        encodings: Of the last images; has `stats()` and `clear()`.
    """

    def __init__(self, folder: Path, device: str) -> None:
        config = read_config(folder)
        self.side: int = config["image_side"]
        self.default_threshold: float = config["default_threshold"]
        self.device = torch.device(device)
        model = load_vision(folder / VISION).to(self.device)
        self.model: Mini = model.to(memory_format=torch.channels_last)
        text = load_text(folder / TEXT).to(self.device)
        self.phrases = PhraseEncoder(text, folder / TOKENIZER)
        self.encodings = EmbeddingCache(ENCODINGS_BYTES)
        self._readers: dict[tuple[torch.dtype, Engine], _Reader] = {}
        self._translations: dict[str, Function] = {}

    def encode(self, image: Image, dtype: torch.dtype = torch.float32) -> Encoding:
        """Encode an image, or take it from the last ones; large products are of type `dtype`."""
        return self.encode_all([image], dtype)[0]

    def encode_all(self, images: Sequence[Image], dtype: torch.dtype) -> list[Encoding]:
        """Encode images, those of one size together: small layers are faster on several."""
        reader = self._readers.setdefault((dtype, self.engine), _Reader(self, dtype))
        return self.encodings.encode(reader, images)

    def encode_alike(
        self, images: Sequence[Image], size: tuple[int, int], dtype: torch.dtype
    ) -> list[Encoding]:
        """Encode images that have one `encoded_size`, known or not."""
        pixels = torch.from_numpy(np.stack([resized(image, size) for image in images]))
        x = pixels.to(self.device).permute(0, 3, 1, 2).float()
        encodings: list[Encoding] = []
        # Engines translate for each number of pictures, so they are given one.
        for part in x.split(1 if self._on_engine else len(x)):
            seen = self._see(part, dtype)
            for i in range(len(part)):
                *regions, first, second, embedding = (each[i : i + 1] for each in seen)
                image = images[len(encodings)]
                encodings.append(
                    Encoding(image.size, size, [first, second], tuple(regions), embedding)
                )
        return encodings

    @torch.inference_mode()
    def _see(self, x: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        if self._on_engine:
            seen: tuple[Tensor, ...] = self._on_engine(x)
            return seen
        with narrowed(self.device, dtype):
            features = self.model.encoder(x.contiguous(memory_format=torch.channels_last))
        return describe(self.model, [f.float() for f in features])

    def picture_side(self) -> PictureSide:
        """All that depends on no question: what `describe` gives, by these names."""
        names = (*Regions._fields, "colours", "objects", "embedding")
        size = encoded_size((3, 4), self.side)
        return PictureSide(self._see_plain, self.model, size, names, "0 to 255")

    def _translated(self, engine: str) -> Function:
        if engine not in self._translations:
            self._translations[engine] = translated(self._see_plain, self.model, engine)
        return self._translations[engine]

    def _see_plain(self, x: Tensor) -> tuple[Tensor, ...]:
        return describe(self.model, self.model.encoder(x))

    @torch.inference_mode()
    def _try(self, on_engine: Function | None) -> object:
        height, width = encoded_size((3, 4), self.side)
        x = torch.zeros(1, 3, height, width, device=self.device)
        return (on_engine or self._see_plain)(x)


@dataclass(frozen=True, eq=False)
class _Reader:
    """A network as an encoder for one type of products and one engine: what a cache tells apart."""

    network: Network
    dtype: torch.dtype

    def encode(self, images: Sequence[Image]) -> list[Encoding]:
        sizes: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            sizes.setdefault(encoded_size(image.size, self.network.side), []).append(index)
        found: dict[int, Encoding] = {}
        for size, same in sizes.items():
            alike = [images[index] for index in same]
            found.update(zip(same, self.network.encode_alike(alike, size, self.dtype), strict=True))
        return [found[index] for index in range(len(images))]


def resized(image: Image, size: tuple[int, int]) -> np.ndarray:
    """The pixels of an image at (height, width) `size`, by Pillow."""
    to, way = size[::-1], PILImage.Resampling.BILINEAR
    if not is_large(image.pixels):
        return np.asarray(PILImage.fromarray(image.pixels).resize(to, way, reducing_gap=2.0))
    # The same, a band of rows at a time: the gap means that whole blocks are averaged first. Of all
    # at once Pillow would make a copy that takes a third more than the picture.
    height, width = image.size
    down, across = (max(1, int(a / b / 2)) for a, b in zip(image.size, size, strict=True))
    rows = max(1, PIXELS_AT_ONCE // (width * down)) * down
    bands = (image.pixels[top : top + rows] for top in range(0, height, rows))
    means = np.concatenate([PILImage.fromarray(band).reduce((across, down)) for band in bands])
    box = (0, 0, width / across, height / down)
    return np.asarray(PILImage.fromarray(means).resize(to, way, box))


def describe(model: Mini, features: list[Tensor]) -> tuple[Tensor, ...]:
    """All that depends on no question: `Regions`, the two finest maps, what masks are read from."""
    sight = model.encoder.read(features)
    regions = model.detector.describe(features, sight)
    return (*regions, *features[:2], model.masker.embed(features, sight))


def narrowed(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """A context in which products are of type `dtype`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def encoded_size(image_size: tuple[int, int], side: int) -> tuple[int, int]:
    """Scale (height, width) to `side` pixels on the long side, both to multiples of 64.

    Stretching a little costs nothing that could be measured, and no padding is computed.

    >>> encoded_size((480, 640), 448)
    (320, 448)
    """
    scale = side / max(image_size)
    height, width = (max(1, round(n * scale / MULTIPLE)) * MULTIPLE for n in image_size)
    return height, width


@lru_cache(maxsize=4)
def shared_network(folder: Path, device: str) -> Network:
    """One network for a detector and a segmenter of the same weights."""
    return Network(folder, device)


class _Adapter(HasPrecision):
    """What both adapters have: a network, a name and a precision.

    Attributes:
        name: As it was asked for.
        batches_at_once: Tells `Pipeline.stream` to compute batches side by side, each on its part
            of the cores: the products are too small for threads to share.
        precision: "exact" or "fast", see `models.precision`; fast narrows the image encoder and
            the mask decoder.
    """

    batches_at_once = True

    def __init__(self, network: Network, name: str = "mini") -> None:
        self.network, self.name = network, name
        self.precision = DEFAULT_PRECISION

    @classmethod
    def load(cls, path: str | Path, *, name: str = "mini", device: str = "cpu") -> Self:
        """Load from a directory with the vision, text, tokenizer and config files."""
        return cls(shared_network(Path(path).resolve(), device), name)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.device

    @property
    def engine(self) -> Engine:
        """As of any `HasEngine`. Detector and segmenter share a network, and so what runs it."""
        return self.network.engine

    @engine.setter
    def engine(self, engine: Engine | Literal["fastest"]) -> None:
        self.network.engine = engine

    @property
    def timings(self) -> Mapping[str, float]:
        """As of any `HasEngine`."""
        return self.network.timings

    def picture_side(self) -> PictureSide:
        """As of any `HasEngine`."""
        return self.network.picture_side()

    def _multiply_in(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class MiniDetector(_Adapter):
    """Finds any phrases in a photo, on a CPU in a fraction of a second."""

    @property
    def default_threshold(self) -> float:
        """Where F1 was best on development photos."""
        return self.network.default_threshold

    def detect(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        """Detect each query's phrases in its image; see `grounding_sdk.models.ports.Detector`.

        At most 300 boxes an image. Boxes of one phrase that overlap by 0.5 and boxes of any
        phrases that overlap by 0.85 count as one, and the best is kept.
        """
        encodings = self.network.encode_all(images, self.dtype)
        return [self._read(*each) for each in zip(images, encodings, queries, strict=True)]

    @torch.inference_mode()
    def _read(self, image: Image, encoding: Encoding, query: Query) -> sv.Detections:
        boxes, scores = self.score(encoding, query)
        lowest = torch.tensor(
            [self.default_threshold if p.threshold is None else p.threshold for p in query],
            device=scores.device,
        )
        best, phrase = scores.max(1)
        chosen = (best >= lowest[phrase]).nonzero()[:, 0]
        chosen = chosen[best[chosen].argsort(descending=True, stable=True)[:CANDIDATES]]
        found = boxes[chosen].cpu().numpy()
        kept = without_duplicates(found, best[chosen].cpu().numpy(), phrase[chosen].cpu().numpy())
        rows = scores[chosen].cpu().numpy()[kept]
        found = found[kept] / np.tile(encoding.scale, 2)
        return detections_from_scores(image.size, query, found, rows, self.default_threshold)

    @torch.inference_mode()
    def score(self, encoding: Encoding, query: Query) -> tuple[Tensor, Tensor]:
        """Score every position: boxes (P, 4) in encoded pixels and scores (P, K) in 0..1."""
        model = self.network.model
        features, regions = encoding.features, Regions(*encoding.regions)
        phrases = self.network.phrases(query.texts)
        names, sides, objects = model.detector.match(features, regions, phrases)
        height, width = (4 * n for n in features[0].shape[-2:])
        centres, _ = (x.to(sides.device) for x in positions(height, width))
        height, width = encoding.encoded_size
        limit = sides.new_tensor([width, height, width, height])
        boxes = boxes_from_sides(centres, sides[0]).clamp(min=0).minimum(limit)
        share = OBJECTNESS_SHARE
        scores = names[0].sigmoid() ** (1 - share) * objects[0].sigmoid()[:, None] ** share
        return boxes, scores


class MiniSegmenter(_Adapter):
    """Turns boxes, points and rough masks into masks.

    Each prompt is decoded in a window of the image. A box sets the window. Points alone are tried
    in three windows around them, and the promising masks are decoded again in their own boxes.
    """

    def encode(self, images: Sequence[Image]) -> list[Encoding]:
        """Encode images, each once."""
        return self.network.encode_all(images, self.dtype)

    @torch.inference_mode()
    def decode(
        self,
        embedding: Encoding,
        boxes: ArrayLike | None = None,
        *,
        points: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        masks: ArrayLike | None = None,
        multimask: bool = False,
        logits: bool = True,
    ) -> MaskPrediction:
        """Masks for N prompts; see `grounding_sdk.models.ports.Segmenter`.

        Logits are 128 x 128, stretched over the image. `multimask` gives three masks a prompt.

        Raises:
            PromptError: If no prompt is given, or shapes or values do not fit.
        """
        side = LOGITS_SIDE
        prompts = check_prompts(boxes, points, point_labels, masks, (side, side))
        task = _Task.of(prompts, embedding)
        many = MASKS if multimask else 1
        if len(prompts) == 0:
            empty = pack_masks([], embedding.image_size)
            zeros = np.zeros((0, many), np.float32)
            nothing = np.zeros((0, many, side, side), np.float32)
            return MaskPrediction(empty, zeros, nothing if logits else None)
        if task.boxes is None:
            windows, found, scores = self._from_points(embedding, task, multimask)
        else:
            windows, found, scores = self._from_boxes(embedding, task, many)
        windows = windows / np.tile(embedding.scale, 2)
        return MaskPrediction(
            masks=_in_pixels(found, windows, embedding.image_size),
            scores=scores.astype(np.float32),
            logits=_over_image(found, windows, embedding.image_size) if logits else None,
        )

    def _from_boxes(
        self, embedding: Encoding, task: _Task, many: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masks of each box: windows (N, m, 4), logits (N, m, 56, 56), scores (N, m).

        Decoded twice: what the first pass found goes into the second as an earlier mask. One mask
        is the blend of the alternatives; several are the alternatives, best first.
        """
        windows = _grow(task.boxes, BOX_MARGIN)
        logits, scores = self._run(embedding, windows, task, twice=True)
        if many == 1:
            logits, scores = blend(logits, scores), scores.amax(1, keepdim=True)
            return windows[:, None], logits.numpy(), scores.numpy()
        order = scores.sort(dim=1, descending=True, stable=True).indices[:, :many]
        rows = torch.arange(len(order))[:, None]
        logits, scores = logits[rows, order], scores[rows, order]
        return np.repeat(windows[:, None], many, axis=1), logits.numpy(), scores.numpy()

    def _from_points(
        self, embedding: Encoding, task: _Task, multimask: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Look in windows of several sizes, then again in the boxes of what was found there."""
        candidates = [_point_windows(embedding, task, part) for part in POINT_WINDOWS]
        rough, scores = zip(
            *([x.numpy() for x in self._run(embedding, w, task)] for w in candidates), strict=True
        )
        best = [s.argmax(1) for s in scores]  # the best alternative in each window
        rows = np.arange(len(task))
        found = np.stack(
            [
                _logit_boxes(logits[rows, b], windows)
                for logits, b, windows in zip(rough, best, candidates, strict=True)
            ],
            1,
        )  # (N, 3, 4)
        promise = np.stack([s[rows, b] for s, b in zip(scores, best, strict=True)], 1)
        order = np.argsort(-promise, axis=1, kind="stable")[:, : MASKS if multimask else 1]
        results = []
        for column in order.T:
            boxes = found[rows, column]
            results.append(self._from_boxes(embedding, task.with_boxes(boxes), 1))
        windows, logits, finals = (np.concatenate(parts, 1) for parts in zip(*results, strict=True))
        order = np.argsort(-finals, axis=1, kind="stable")
        rows = rows[:, None]
        return windows[rows, order], logits[rows, order], finals[rows, order]

    def _run(
        self, embedding: Encoding, windows: np.ndarray, task: _Task, *, twice: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Decode windows (N, 4), a few at a time: logits (N, 3, 56, 56) and IoUs (N, 3)."""
        masker, device = self.network.model.masker, embedding.embedding.device
        outputs = []
        for start in range(0, len(windows), WINDOWS_AT_ONCE):
            part = slice(start, start + WINDOWS_AT_ONCE)
            where = torch.from_numpy(windows[part]).float().to(device)
            boxes, points, labels = (
                None if x is None else torch.from_numpy(x[part]).float().to(device)
                for x in (task.boxes, task.points, task.labels)
            )
            planes = prompt_planes(where, boxes, points, labels)
            if task.masks is not None:
                planes[:, 3] = _look(task.masks[part], windows[part], embedding).to(device)
            owner = torch.zeros(len(where), dtype=torch.long, device=device)
            with narrowed(device, self.dtype):
                seen = masker.look(embedding.embedding, owner, where)
                logits, quality = masker(seen, planes)
                if twice:
                    rough = blend(logits, quality.sigmoid()).sigmoid()
                    planes[:, 3] = functional.avg_pool2d(rough, 2)[:, 0]
                    logits, quality = masker(seen, planes)
            outputs.append((logits.float().cpu(), quality.sigmoid().float().cpu()))
        logits, scores = (torch.cat(x) for x in zip(*outputs, strict=True))
        return logits, scores


@dataclass(frozen=True, eq=False)
class _Task:
    """Prompts in pixels of the encoded image; boxes are filled in from rough masks."""

    boxes: np.ndarray | None
    points: np.ndarray | None
    labels: np.ndarray | None
    masks: np.ndarray | None

    @classmethod
    def of(cls, prompts: Prompts, embedding: Encoding) -> _Task:
        scale = embedding.scale
        boxes = prompts.boxes
        if boxes is None and prompts.masks is not None:
            height, width = embedding.image_size
            whole = np.tile(np.array([0.0, 0.0, width, height]), (len(prompts), 1))
            boxes = _logit_boxes(prompts.masks, whole)
        if boxes is not None:
            boxes = _with_area(boxes * np.tile(scale, 2))
        points = None if prompts.points is None else prompts.points * scale
        return cls(boxes, points, prompts.labels, prompts.masks)

    def __len__(self) -> int:
        given = self.boxes if self.boxes is not None else self.points
        return 0 if given is None else len(given)

    def with_boxes(self, boxes: np.ndarray) -> _Task:
        return _Task(_with_area(boxes), self.points, self.labels, self.masks)


def without_duplicates(boxes: np.ndarray, scores: np.ndarray, phrase: np.ndarray) -> np.ndarray:
    """Which boxes are the best of those that overlap, best first: (M,) int64, M at most 300.

    OpenCV does it: torchvision takes two seconds to import.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,) above 0.
        phrase: (N,) of each box.

    >>> boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 5], [0, 0, 9, 8]])
    >>> without_duplicates(boxes, np.array([0.9, 0.5, 0.4]), np.array([0, 0, 1])).tolist()
    [0]
    """
    if not len(boxes):
        return np.zeros(0, int)
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).astype(float)
    scores = scores.astype(np.float32)
    first: np.ndarray = np.asarray(
        cv2.dnn.NMSBoxesBatched(corners, scores, phrase, 0.0, SAME_PHRASE_IOU)  # type: ignore[arg-type]
    )
    first = first[np.argsort(-scores[first], kind="stable")]
    kept = cv2.dnn.NMSBoxes(corners[first], scores[first], 0.0, ANY_PHRASE_IOU)
    return first[np.asarray(kept, int)[:KEPT]]


def _with_area(boxes: np.ndarray) -> np.ndarray:
    """Boxes at least two pixels wide and high, so that a window has a size."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum((boxes[:, 2:] - boxes[:, :2]) / 2, 1.0)
    return np.concatenate([middle - half, middle + half], 1)


def _grow(boxes: np.ndarray | None, margin: float) -> np.ndarray:
    boxes = np.zeros((0, 4)) if boxes is None else boxes
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2] - margin * sides, boxes[:, 2:] + margin * sides], 1)


def _point_windows(embedding: Encoding, task: _Task, part: float) -> np.ndarray:
    """Square windows around each prompt's points, (N, 4), at least large enough to hold them."""
    windows = np.zeros((len(task), 4))
    points, labels = task.points, task.labels
    if points is None or labels is None:
        return windows
    height, width = embedding.encoded_size
    for i, (xy, label) in enumerate(zip(points, labels, strict=True)):
        inside = xy[label == 1]
        centre = inside.mean(0) if len(inside) else np.array([width, height]) / 2
        reach = np.abs(xy[label >= 0] - centre).max(initial=0.0)
        half = max(part * max(height, width) / 2, 1.05 * reach)
        windows[i] = [*(centre - half), *(centre + half)]
    return windows


def _logit_boxes(logits: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """The boxes of what is positive in logits (N, h, w) that fill windows (N, 4)."""
    boxes = windows.astype(float).copy()
    for i, (logit, window) in enumerate(zip(logits, windows, strict=True)):
        ys, xs = np.flatnonzero((logit > 0).any(1)), np.flatnonzero((logit > 0).any(0))
        if len(ys):
            cell = (window[2:] - window[:2]) / np.array(logit.shape[::-1])
            boxes[i, :2] = window[:2] + cell * [xs[0], ys[0]]
            boxes[i, 2:] = window[:2] + cell * [xs[-1] + 1, ys[-1] + 1]
    return boxes


def _look(masks: np.ndarray, windows: np.ndarray, embedding: Encoding) -> Tensor:
    """Earlier logits (N, s, s) over the image as probabilities in windows: (N, 28, 28)."""
    cells = WINDOW // 2
    height, width = embedding.encoded_size
    unit = torch.from_numpy(windows / np.array([width, height, width, height]) * 2 - 1).float()
    steps = (torch.arange(cells) + 0.5) / cells
    x = unit[:, 0:1] + (unit[:, 2:3] - unit[:, 0:1]) * steps
    y = unit[:, 1:2] + (unit[:, 3:4] - unit[:, 1:2]) * steps
    x, y = x[:, None, :].expand(-1, cells, -1), y[:, :, None].expand(-1, -1, cells)
    probability = torch.from_numpy(masks).float().sigmoid()[:, None]
    return functional.grid_sample(probability, torch.stack([x, y], -1), align_corners=False)[:, 0]


def _in_pixels(logits: np.ndarray, windows: np.ndarray, image_size: Size) -> sv.CompactMask:
    """Masks at image size of logits (N, M, 56, 56) in windows (N, M, 4), in pixels of the image."""
    height, width = image_size

    def crops() -> Iterator[tuple[np.ndarray, int, int]]:
        for logit, (x0, y0, x1, y1) in _each(logits, windows):
            rows, y = window_pixels(y0, y1, height)
            columns, x = window_pixels(x0, x1, width)
            yield positive(logit, y, x), columns.start, rows.start

    return pack_masks(crops(), image_size)


def _over_image(logits: np.ndarray, windows: np.ndarray, image_size: Size) -> np.ndarray:
    """As `_in_pixels`, but logits that are stretched over the image: (N, M, 128, 128) float32."""
    side = LOGITS_SIDE
    whole = np.full((*logits.shape[:2], side, side), NOWHERE, np.float32)
    planes = whole.reshape(-1, side, side)
    windows = windows * side / np.tile(image_size[::-1], 2)
    for plane, (logit, (x0, y0, x1, y1)) in zip(planes, _each(logits, windows), strict=True):
        rows, y = window_pixels(y0, y1, side)
        columns, x = window_pixels(x0, x1, side)
        plane[rows, columns] = interpolate(interpolate(logit, y).T, x).T
    return whole


def _each(logits: np.ndarray, windows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(logits.reshape(-1, WINDOW, WINDOW), windows.reshape(-1, 4), strict=True)


def window_pixels(start: float, stop: float, n_pixels: int) -> tuple[slice, np.ndarray]:
    """Which pixels of a side have their centre in a window, and where in its 56 cells they lie.

    >>> pixels, places = window_pixels(-28.0, 28.0, 100)
    >>> pixels, places[[0, -1]].tolist()
    (slice(0, 28, None), [28.0, 55.0])
    """
    first = min(max(math.ceil(start - 0.5), 0), n_pixels)
    last = min(max(math.floor(stop - 0.5) + 1, first), n_pixels)
    centres = np.arange(first, last) + 0.5
    return slice(first, last), (centres - start) / max(stop - start, 1e-9) * WINDOW - 0.5


def interpolate(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Linear interpolation along the first axis: (cells, m) at (n,) places gives (n, m).

    >>> interpolate(np.array([[0.0], [4.0]]), np.array([-1.0, 0.25, 9.0])).ravel().tolist()
    [0.0, 1.0, 4.0]
    """
    places = places.clip(0, len(values) - 1)
    low = np.minimum(places.astype(int), len(values) - 2)
    part = (places - low)[:, None].astype(values.dtype)
    return values[low] * (1 - part) + values[low + 1] * part


def positive(logit: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Where a logit plane interpolated at rows `y` and columns `x` is above 0: (n, m) bool."""
    across = np.ascontiguousarray(interpolate(logit.T, x).T)
    out = np.empty((len(y), len(x)), bool)
    for top in range(0, len(y), STRIP):  # a large mask is never held as floats
        out[top : top + STRIP] = interpolate(across, y[top : top + STRIP]) > 0
    return out
