"""The benchmark: reference path and ours in turns, on the same pictures, stage by stage.

Each round has a picture of its own, so that nothing is known from the round before. The machine's
slow phases meet both paths alike, which is why ratios are taken within a round and only then their
median. `second_query` is a second query on the picture of the round: ours asks for the picture's
embedding again; the reference keeps nothing, so that what its first query took stands for it.
"""

from __future__ import annotations

import gc
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch

from grounding_sdk.benchmark.random_models import save_random
from grounding_sdk.benchmark.reference import (
    Found,
    Masks,
    ReferenceDetector,
    ReferenceSegmenter,
    reference_detector,
    reference_segmenter,
)
from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image
from grounding_sdk.models import catalog, store
from grounding_sdk.models.cache import EmbeddingCache
from grounding_sdk.models.catalog import DETECTOR, EMBEDDED, SEGMENTER
from grounding_sdk.models.ports import Detector, MaskPrediction, Segmenter
from grounding_sdk.models.registry import load_detector, load_segmenter
from grounding_sdk.stages import Detect

WORDS = (
    "dog cat person car tree chair table cup book bottle bird horse boat shoe hat lamp door clock "
    "phone plate"
).split()
# What can be measured, and the stages it gives; the last is the end of it.
STAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "all": ("detect", "encode", "decode", "segment", "second_query", "total"),
        "detect": ("detect",),
        "segment": ("encode", "decode", "second_query", "segment"),
        "decode": ("decode",),
    }
)
OURS, REFERENCE = "ours", "reference"
Progress = Callable[[str], object]


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        detector: A name or a folder.
        segmenter: A name, a folder or a checkpoint.
        phrases: How many phrases are asked for.
        boxes: How many boxes are segmented.
        size: (width, height) of the pictures; None takes the given picture's.
        rounds: How many rounds are measured, after one that is not.
        stages: What is measured, of `STAGES`: "all", or one part of it alone.
        precision: For models that can be set to "exact" or "fast".
        engine: For models whose image encoder other engines can run; see `models.engines`.
        random_weights: Whether to make random weights where there is no checkpoint.
        tiny: Whether these are of models hundreds of times smaller.
        picture: What to look at; None draws one.
        device: As torch calls it.
        offline: Whether to keep off the hub.
    """

    detector: str = "mini"
    segmenter: str = "mini"
    phrases: int = 5
    boxes: int = 20
    size: tuple[int, int] | None = (1280, 960)
    rounds: int = 3
    stages: str = "all"
    precision: str = "exact"
    engine: str = "torch"
    random_weights: bool = False
    tiny: bool = False
    picture: Path | None = None
    device: str = "cpu"
    offline: bool | None = None

    def __post_init__(self) -> None:
        for what in ("phrases", "boxes", "rounds"):
            if getattr(self, what) < 1:
                raise ConfigError(f"expected {what} from 1, got {getattr(self, what)}")
        if self.stages not in STAGES:
            raise ConfigError(f"expected one of {', '.join(STAGES)} as stages, got {self.stages!r}")
        if self.size is not None and min(self.size) < 2:
            raise ConfigError(f"expected a size of 2 x 2 pixels or more, got {self.size}")


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        work: What was done.
        weights: For detector and segmenter, "checkpoint" or "random".
        applied_precision: For both, the precision that was set; None where there is no such thing.
        applied_engine: For both, the engine that was set, likewise.
        reference: For both, what they are compared with.
        milliseconds: For each stage, of both paths, the median.
        stages: For each stage, the median ratio of the reference's time to ours.
        peak_mb: For both paths, the most memory above the loaded models, in 10^6 bytes; None where
            it cannot be measured.
        parity: How far the outputs are apart.
        rounds: How many rounds were done: fewer than wanted if it was interrupted.
        threads: That torch uses.
    """

    work: Work
    weights: dict[str, str]
    applied_precision: dict[str, str | None]
    applied_engine: dict[str, str | None]
    reference: dict[str, str]
    milliseconds: dict[str, dict[str, float]]
    stages: dict[str, float]
    peak_mb: dict[str, float | None]
    parity: dict[str, float | int | None]
    rounds: int
    threads: int

    @property
    def speedup(self) -> float:
        """The ratio from end to end of what was measured."""
        return self.stages[STAGES[self.work.stages][-1]]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON types."""
        numbers = asdict(self) | {"speedup": self.speedup}
        work = numbers.pop("work") | {"picture": self.work.picture and str(self.work.picture)}
        return {"speedup": self.speedup, **numbers, "work": work}


@dataclass(frozen=True)
class _Pair:
    """Both paths, ready to run."""

    detector: Detector
    segmenter: Segmenter
    reference_detector: ReferenceDetector
    reference_segmenter: ReferenceSegmenter


def run_benchmark(work: Work, progress: Progress = lambda text: None) -> Report:
    """Measures. Interrupted (Ctrl-C) after a round or more, it reports the rounds that were done.

    Args:
        work: What to do.
        progress: Called with a line of text whenever a path has done a round.

    Raises:
        GroundingError: If a model cannot be had.
    """
    with ExitStack() as stack, torch.no_grad():
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        progress("making the models ready")
        sources = {
            DETECTOR: _source(work, work.detector, DETECTOR, scratch),
            SEGMENTER: _source(work, work.segmenter, SEGMENTER, scratch),
        }
        (d_from, d_path, d_weights), (s_from, s_path, s_weights) = sources.values()
        options: dict[str, Any] = {"device": work.device, "offline": work.offline}
        detector = load_detector(d_from, **options)
        segmenter = load_segmenter(s_from, **options)
        models = {DETECTOR: detector, SEGMENTER: segmenter}
        precision, engine = (
            {kind: _set(model, what, value) for kind, model in models.items()}
            for what, value in (("precision", work.precision), ("engine", work.engine))
        )
        pair = _Pair(
            detector,
            segmenter,
            reference_detector(detector, d_path, work.device),
            reference_segmenter(segmenter, s_path, work.device),
        )
        measured = _measure(work, pair, d_weights == "random", progress)
    return Report(
        work,
        weights={DETECTOR: d_weights, SEGMENTER: s_weights},
        applied_precision=precision,
        applied_engine=engine,
        reference={
            DETECTOR: pair.reference_detector.says,
            SEGMENTER: pair.reference_segmenter.says,
        },
        threads=torch.get_num_threads(),
        **measured,
    )


def _measure(work: Work, pair: _Pair, random_detector: bool, progress: Progress) -> dict[str, Any]:
    picture = _picture(work)
    phrases = [WORDS[i] if i < len(WORDS) else f"thing {i}" for i in range(work.phrases)]
    boxes = _boxes(work.boxes, (picture.shape[1], picture.shape[0]))
    ours, theirs = _Ours(pair, phrases, boxes), _Reference(pair, phrases, boxes)
    paths: dict[str, _Path] = {OURS: ours, REFERENCE: theirs}

    warm = _variant(picture, 0)
    if random_detector and work.stages in ("all", "detect"):
        ours.threshold = 0.0  # all boxes, to find the threshold below
    peaks, encoded, runs = {}, {}, {}
    for name, path in paths.items():
        if work.stages == "decode":
            encoded[name] = path.encode(Image(warm.pixels))

        def warm_up(name: str = name, path: _Path = path) -> None:
            runs[name] = _run(path, warm, work.stages, encoded.get(name), warm_up=True)

        peaks[name] = _peak_megabytes(warm_up)
        progress(f"warm-up, {name}: {runs[name]}")
        found = runs[name].found
        if name == OURS and ours.threshold == 0 and found is not None:
            ours.threshold = _threshold_for(found.scores, work.boxes)
        theirs.threshold = ours.threshold

    rounds: list[dict[str, _Run]] = []
    try:
        for number in range(work.rounds):
            image, runs = _variant(picture, number + 1), {}
            for name in list(paths)[:: 1 if number % 2 else -1]:  # who comes first takes turns
                pixels = image.pixels
                runs[name] = _run(paths[name], Image(pixels), work.stages, encoded.get(name))
                progress(f"round {number + 1} of {work.rounds}, {name}: {runs[name]}")
            rounds.append(runs)
    except KeyboardInterrupt:
        if not rounds:
            raise
    last = rounds[-1]
    return {
        "milliseconds": {
            stage: {
                name: round(1e3 * statistics.median(run[name].seconds[stage] for run in rounds), 3)
                for name in paths
            }
            for stage in STAGES[work.stages]
        },
        "stages": {
            stage: round(
                statistics.median(
                    run[REFERENCE].seconds[stage] / run[OURS].seconds[stage] for run in rounds
                ),
                3,
            )
            for stage in STAGES[work.stages]
        },
        "peak_mb": peaks,
        "parity": {
            **_detection_parity(last[OURS].found, last[REFERENCE].found, picture.shape),
            **_mask_parity(
                last[OURS].masks, last[REFERENCE].masks, ours.logits(last[OURS].encoded)
            ),
        },
        "rounds": len(rounds),
    }


class _Path(Protocol):
    """One of the two ways to the result."""

    def detect(self, image: Image, *, warm_up: bool) -> Found:
        """Finds boxes; to warm up, perhaps of fewer phrases where this is the same work again."""
        ...

    def encode(self, image: Image) -> Any:
        """Reads an image."""
        ...

    def decode(self, encoded: Any) -> Any:
        """Makes the masks of the benchmark's boxes."""
        ...

    def second_query(self, image: Image) -> Any:
        """Encodes and decodes what was encoded and decoded before; None if nothing is kept."""
        ...


@dataclass
class _Ours:
    pair: _Pair
    phrases: Sequence[str]
    boxes: np.ndarray
    threshold: float = field(init=False)
    cache: EmbeddingCache = field(default_factory=EmbeddingCache)

    def __post_init__(self) -> None:
        self.threshold = self.pair.detector.default_threshold

    def detect(self, image: Image, *, warm_up: bool) -> Found:
        stage = Detect(self.pair.detector, self.threshold, cache=self.cache)
        found = stage([Grounding.ask(image, list(self.phrases))])[0].detections
        labels = [str(phrase) for phrase in found.data["phrase"]]
        return Found(found.xyxy, np.asarray(found.confidence), labels)

    def encode(self, image: Image) -> Any:
        return self.cache.encode(self.pair.segmenter, [image])[0]

    def decode(self, encoded: Any) -> MaskPrediction:
        return self.pair.segmenter.decode(encoded, self.boxes, logits=False)  # as `Segment` does

    def logits(self, encoded: Any) -> np.ndarray | None:
        """What the masks are made from; given when asked for."""
        return None if encoded is None else self.pair.segmenter.decode(encoded, self.boxes).logits

    def second_query(self, image: Image) -> MaskPrediction:
        return self.decode(self.encode(Image(image.pixels)))  # whose digest is not yet known


@dataclass
class _Reference:
    pair: _Pair
    phrases: Sequence[str]
    boxes: np.ndarray
    threshold: float = 0.0

    def detect(self, image: Image, *, warm_up: bool) -> Found:
        detector = self.pair.reference_detector
        phrases = self.phrases[:1] if warm_up and detector.one_at_a_time else self.phrases
        return detector.detect(image, phrases, self.threshold)

    def encode(self, image: Image) -> Any:
        return self.pair.reference_segmenter.encode(image)

    def decode(self, encoded: Any) -> Masks:
        return self.pair.reference_segmenter.decode(encoded, self.boxes)

    def second_query(self, image: Image) -> None:
        return None


@dataclass(frozen=True)
class _Run:
    """What a path took and gave for an image."""

    seconds: dict[str, float]
    found: Found | None
    masks: Any  # MaskPrediction of ours, Masks of theirs
    encoded: Any  # from which they were made

    def __str__(self) -> str:
        return ", ".join(f"{stage} {seconds:.3g} s" for stage, seconds in self.seconds.items())


def _run(path: _Path, image: Image, stages: str, encoded: Any, *, warm_up: bool = False) -> _Run:
    seconds: dict[str, float] = {}

    def clock(name: str, step: Callable[[], Any]) -> Any:
        _synchronize()
        start = time.perf_counter()
        result = step()
        _synchronize()
        seconds[name] = time.perf_counter() - start
        return result

    found = masks = None
    if stages in ("all", "detect"):
        found = clock("detect", lambda: path.detect(image, warm_up=warm_up))
    if stages in ("all", "segment"):
        encoded = clock("encode", lambda: path.encode(image))
    if stages != "detect":
        masks = clock("decode", lambda: path.decode(encoded))
    if stages in ("all", "segment"):
        seconds["segment"] = seconds["encode"] + seconds["decode"]
        if warm_up:  # when memory is measured: that of one result, not of two
            masks = None
        if clock("second_query", lambda: path.second_query(image)) is None:
            seconds["second_query"] = seconds["segment"]
    if stages == "all":
        seconds["total"] = seconds["detect"] + seconds["segment"]
    return _Run(seconds, found, masks, encoded)


def _detection_parity(
    ours: Found | None, theirs: Found | None, shape: tuple[int, ...]
) -> dict[str, float | int | None]:
    """Finds for each of our boxes the nearest of the reference that has its label.

    Scores are compared only where the reference gives a phrase's score.
    """
    if ours is None or theirs is None:
        return {}
    scores, shifts, lone = [], [], 0
    boxes = theirs.boxes.clip(0, [shape[1], shape[0]] * 2)  # which the reference does not do
    for box, score, label in zip(ours.boxes, ours.scores, ours.labels, strict=True):
        same = [i for i, other in enumerate(theirs.labels) if other in ("", label)]
        if not same:
            lone += 1
            continue
        shift = np.abs(boxes[same] - box).max(axis=1)
        apart = np.abs(theirs.scores[same] - score)
        comparable = theirs.labels[same[0]] != ""
        best = int(np.argmin(shift + 100 * apart * comparable))
        shifts.append(float(shift[best]))
        if comparable:
            scores.append(float(apart[best]))
    return {
        "detections": len(ours.boxes),
        "reference_detections": len(theirs.boxes),
        "without_counterpart": lone,
        "score_max_difference": max(scores, default=None),
        "box_max_difference_pixels": max(shifts, default=None),
    }


def _mask_parity(
    ours: MaskPrediction | None, theirs: Masks, logits: np.ndarray | None
) -> dict[str, float | int | None]:
    if ours is None:
        return {}
    ious, different = [], 0
    for index, other in enumerate(theirs.dense):
        mask = ours.masks[[index]].to_dense()[0]
        union = np.count_nonzero(mask | other)
        ious.append(np.count_nonzero(mask & other) / union if union else 1.0)
        different += int(np.count_nonzero(mask != other))
    difference = None
    if theirs.logits is not None and logits is not None:
        difference = float(np.abs(logits[:, 0] - theirs.logits).max())
    return {
        "mask_iou_mean": float(np.mean(ious)),
        "mask_iou_min": float(np.min(ious)),
        "mask_pixels_different": different,
        "mask_pixels": int(theirs.dense.size),
        "logit_max_difference": difference,
    }


def _source(work: Work, name: str, kind: str, scratch: Path) -> tuple[str | Path, Path | None, str]:
    """Returns what to load, where its weights are, and whether they are a checkpoint's."""
    if Path(name).exists() and catalog.lookup(name, kind) is None:
        return Path(name), Path(name).resolve(), "checkpoint"
    info = catalog.lookup(name, kind)
    if info is None:  # registered by the user, or on the hub
        return name, None, "checkpoint"
    missing = store.find(info).path is None
    if work.random_weights and (missing or (work.tiny and info.source != EMBEDDED)):
        path = save_random(info.name, kind, scratch / kind, tiny=work.tiny)
        return path, path, "random"
    path = store.resolve(info, work.offline)
    return name, _checkpoint(path).resolve(), "checkpoint"


def _checkpoint(path: Path) -> Path:
    files = sorted(path.glob("*.pth")) if path.is_dir() else []
    return files[0] if len(files) == 1 and not (path / "config.json").exists() else path


def _set(model: Any, what: str, value: str) -> str | None:
    """Sets what can be set; None where there is no such thing."""
    if not isinstance(getattr(model, what, None), str):
        return None
    setattr(model, what, value)
    return str(getattr(model, what))  # "fastest" has become the name of an engine


def _threshold_for(scores: np.ndarray, count: int) -> float:
    """The threshold that `count` boxes pass: random weights know none."""
    scores = np.sort(scores.astype(float))[::-1]
    if len(scores) <= count:
        return 0.0
    return float((scores[count - 1] + scores[count]) / 2)


def _picture(work: Work) -> np.ndarray:
    """The given picture at the wanted size, or smooth blobs with a little noise."""
    if work.picture is not None:
        from PIL import Image as PILImage

        image = Image.load(work.picture)
        if work.size is None:
            return image.pixels
        return np.asarray(PILImage.fromarray(image.pixels).resize(work.size))
    import cv2

    width, height = work.size or (1280, 960)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (-(-height // 40), -(-width // 40), 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return (smooth + rng.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8)


def _variant(picture: np.ndarray, number: int) -> Image:
    """The picture, told from others by its first pixel."""
    pixels = picture.copy()
    pixels[0, 0] = number % 256, number // 256 % 256, 77
    return Image(pixels)


def _boxes(count: int, size: tuple[int, int]) -> np.ndarray:
    """Boxes (N, 4) with sides of 5 to 40% of the picture's, always the same."""
    rng = np.random.default_rng(1)
    sides = rng.uniform(0.05, 0.4, (count, 2)) * size
    corners = rng.uniform(0, 1, (count, 2)) * (np.array(size) - sides)
    return np.hstack([corners, corners + sides])


def _synchronize() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _peak_megabytes(step: Callable[[], None]) -> float | None:
    """Runs a step; how far the process's own memory rose meanwhile (Linux only).

    Looked at 200 times a second. Pages of files are not counted: weights are read in when they are
    first used, and libraries too.
    """
    gc.collect()
    if sys.platform != "linux":
        step()
        return None
    _give_back_freed_memory()  # which would hide a rise
    before = highest = _anonymous_bytes()
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.005):
            highest = max(highest, _anonymous_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        step()
    finally:
        done.set()
        watcher.join()
    return round((highest - before) / 1e6, 1)


def _give_back_freed_memory() -> None:
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _anonymous_bytes() -> int:
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(found[1]) * 1024 if found else 0
