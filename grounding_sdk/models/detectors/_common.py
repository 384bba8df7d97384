"""What the detector families share: loading a saved directory, pixels in, boxes out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Generic, Self, TypeVar

import cv2
import numpy as np
import supervision as sv
import torch
from transformers import AutoImageProcessor, AutoTokenizer

from grounding_sdk.errors import ConfigError, MissingWeightsError
from grounding_sdk.image import Image
from grounding_sdk.models.cache import CacheStats, tensor_bytes
from grounding_sdk.models.ports import Embedding
from grounding_sdk.models.precision import DEFAULT_PRECISION, HasPrecision, Precision
from grounding_sdk.models.pretrained import load_model, model_type, reading
from grounding_sdk.models.processors import as_tensor, scaled_if_large
from grounding_sdk.query import Query

Text = TypeVar("Text")

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt")


@dataclass(frozen=True)
class Saved:
    """What `save_pretrained` left in a directory, ready to run.

    Attributes:
        model: In eval mode, float32, without gradients, on its device.
        image_processor: Of transformers.
        tokenizer: Of transformers.
        device: Where the model is.
    """

    model: Any
    image_processor: Any
    tokenizer: Any
    device: torch.device
    # A tokenizer keeps how to pad and cut as settings, which calls of other threads would change.
    _tokenizing: Lock = field(default_factory=Lock, init=False, compare=False)

    def token_ids(self, texts: Sequence[str], *, ends: bool = True) -> list[list[int]]:
        """Tokenizes texts, each at its own length; with `ends` as a text encoder begins and ends.

        Threads may call it, and `padded_tokens`, at the same time.
        """
        with self._tokenizing:
            ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=ends)["input_ids"]
        return ids

    def padded_tokens(self, texts: Sequence[str], length: int) -> dict[str, torch.Tensor]:
        """Tokenizes N texts as (N, length) `input_ids` and `attention_mask`, padded or cut."""
        with self._tokenizing:
            tokens = self.tokenizer(
                list(texts),
                padding="max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            )
        return {name: value.to(self.device) for name, value in tokens.items()}

    def pixel_values(self, pixels: Sequence[np.ndarray]) -> torch.Tensor:
        """Prepares pictures of any sizes for a model whose input has one fixed size.

        Args:
            pixels: N arrays (H, W, 3) uint8.

        Returns:
            (N, 3, h, w) float32 on the device.
        """
        return torch.cat([self.preprocess(array)["pixel_values"] for array in pixels])

    def preprocess(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
        """Prepares one picture (H, W, 3) uint8; one at a time, so that no batch mate pads it."""
        # Where the channels are must be said: it cannot be seen on a picture 1 or 3 pixels high.
        inputs = self.image_processor(
            images=[as_tensor(scaled_if_large(self.image_processor, pixels))],
            return_tensors="pt",
            input_data_format="channels_first",
        )
        return {
            name: value.to(self.device)
            for name, value in inputs.items()
            if name in ("pixel_values", "pixel_mask")
        }


def load_saved(path: Path, classes: Mapping[str, type], device: str) -> Saved:
    """Loads a directory that `save_pretrained` of model, tokenizer and image processor wrote.

    Nothing is downloaded, no code from the directory is run, no pickle is read.

    Args:
        path: The directory.
        classes: For each `model_type` of the family the class of transformers.
        device: Any torch device string.

    Raises:
        ConfigError: If the directory holds another kind of model, or there is no such device.
        MissingWeightsError: If a file that is needed is not there.
        CorruptWeightsError: If the weights do not fit the configuration or cannot be read.
        MissingExtraError: If the model needs a package that is not installed.
    """
    path = Path(path)
    model = load_model(path, classes[model_type(path, tuple(classes))], device)
    if not any((path / name).is_file() for name in TOKENIZER_FILES):
        # Asked for it, transformers would make one that knows no word.
        raise MissingWeightsError(
            f"no tokenizer in {path}: expected one of {', '.join(TOKENIZER_FILES)}, as "
            f"save_pretrained of the tokenizer or processor writes"
        )
    options = {"local_files_only": True, "trust_remote_code": False}
    with reading(path, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
    with reading(path, "the image processor"):
        image_processor = AutoImageProcessor.from_pretrained(path, **options)
    return Saved(model, image_processor, tokenizer, torch.device(device))


class SavedDetector(HasPrecision):
    """What the detectors of `save_pretrained` directories have in common.

    Attributes:
        models: For each `model_type` of the family the class of transformers.
        name: Under which it was loaded.
    """

    models: ClassVar[Mapping[str, type]]

    def __init__(self, saved: Saved, name: str) -> None:
        self.name = name
        self._saved = saved
        self._model = saved.model
        self.precision = DEFAULT_PRECISION

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        name: str,
        device: str = "cpu",
        precision: Precision = DEFAULT_PRECISION,
    ) -> Self:
        """Loads a directory written by save_pretrained.

        Args:
            path: The directory.
            name: What to call it.
            device: Any torch device string.
            precision: "exact" or "fast".

        Raises:
            GroundingError: As `load_saved` does.
            ConfigError: If there is no such precision.
        """
        detector = cls(load_saved(path, cls.models, device), name)
        detector.precision = precision
        return detector

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._saved.device

    def detect(self, images: Sequence[Image], queries: Sequence[Query]) -> list[sv.Detections]:
        """Detects each query's phrases in its image, as `Detector.detect` says."""
        return self.detect_encoded(self.encode(images), images, queries)

    def encode(self, images: Sequence[Image]) -> list[Embedding]:
        """Makes of each image what depends on no question."""
        raise NotImplementedError

    def detect_encoded(
        self, embeddings: Sequence[Embedding], images: Sequence[Image], queries: Sequence[Query]
    ) -> list[sv.Detections]:
        """As `detect`, with what `encode` gave for the images."""
        raise NotImplementedError

    def _multiply_in(self, dtype: torch.dtype) -> None:
        """Sets the type of the large products."""
        raise NotImplementedError


class TextMemory(Generic[Text]):
    """Encodes texts, a few at a time, and remembers the last ones: the same come with each image.

    Safe to share among threads.

    Args:
        encode: Gives an encoding for each of some texts.
        size: How many to remember.
    """

    def __init__(self, encode: Callable[[list[Text]], Iterable[Any]], size: int) -> None:
        self._encode = encode
        self._size = size
        self._known: OrderedDict[Text, Any] = OrderedDict()
        self._hits = self._misses = 0
        self._lock = Lock()

    def __call__(self, texts: Sequence[Text], at_once: int) -> list[Any]:
        """Returns the encoding of each text; `at_once` new ones are encoded together."""
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._known]
            for start in range(0, len(new), at_once):
                part = new[start : start + at_once]
                self._known.update(zip(part, self._encode(part), strict=True))
            self._misses += len(new)
            self._hits += len(texts) - len(new)
            for text in texts:
                self._known.move_to_end(text)
            found = [self._known[text] for text in texts]
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return found

    def stats(self) -> CacheStats:
        """Says what it did so far and what it holds; nothing of it is on disk."""
        with self._lock:
            known = list(self._known.values())
            held = tensor_bytes(known) if known else 0
            return CacheStats(self._hits, 0, self._misses, len(known), held, 0)

    def clear(self) -> None:
        """Forgets all texts, and what was counted."""
        with self._lock:
            self._known.clear()
            self._hits = self._misses = 0


def check_per_pass(value: int) -> int:
    """Returns how many phrases a pass may take.

    Raises:
        ConfigError: If it is no whole number of 1 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"expected phrases_per_pass as a whole number from 1, got {value!r}")
    return value


def to_pixels(boxes: torch.Tensor, width: float, height: float) -> np.ndarray:
    """Turns relative boxes (M, 4) cx, cy, w, h into xyxy pixels, float32.

    >>> to_pixels(torch.tensor([[0.5, 0.5, 0.5, 1.0]]), 200, 100).tolist()
    [[50.0, 0.0, 150.0, 100.0]]
    """
    center, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = torch.cat([center - half, center + half], dim=1)
    scale = corners.new_tensor([width, height, width, height])
    return np.asarray((corners * scale).float().cpu().numpy())


def lowest_threshold(query: Query, default_threshold: float) -> float:
    """Returns the score below which no phrase of a query is kept.

    >>> lowest_threshold(Query.of("cat . dog"), 0.3)
    0.3
    """
    return min(default_threshold if p.threshold is None else p.threshold for p in query)


def keep_and_widen(
    scores: torch.Tensor, phrases: Sequence[int], query: Query, default_threshold: float
) -> tuple[torch.Tensor, np.ndarray]:
    """Drops what no threshold can keep, and gives scores of some phrases a column for each.

    Args:
        scores: (M, k) of k of the query's K phrases.
        phrases: Which k.
        query: The K phrases.
        default_threshold: For phrases without a threshold of their own.

    Returns:
        Which of the M rows are left, (M,) bool, and their scores, (L, K) float32: 0 for the
        phrases that were not asked.

    >>> kept, scores = keep_and_widen(torch.tensor([[0.5], [0.1]]), [1], Query.of("cat.dog"), 0.3)
    >>> kept.tolist(), scores.tolist()
    ([True, False], [[0.0, 0.5]])
    """
    kept = scores.amax(dim=1) >= lowest_threshold(query, default_threshold)
    wide = np.zeros((int(kept.sum()), len(query)), np.float32)
    wide[:, list(phrases)] = scores[kept].cpu().numpy()
    return kept, wide


def shrink(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Scales a picture down until its longer side has `longest` pixels; never up, never to 0.

    >>> shrink(np.zeros((2, 900, 3), np.uint8), 90).shape
    (1, 90, 3)
    """
    height, width = pixels.shape[:2]
    if max(height, width) <= longest:
        return pixels
    ratio = longest / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
