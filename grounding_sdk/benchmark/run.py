"""The benchmark: reference path and ours in turns, on the same pictures, stage by stage.

Each round has a picture of its own, so that nothing is known from the round before; `again` is a
second query on the picture of the round. The machine's slow phases meet both paths alike, which is
why ratios are taken within a round and only then their median.
"""

from __future__ import annotations

import gc
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from grounding_sdk.query import Query
from grounding_sdk.stages import Detect

WORDS = (
    "dog cat person car tree chair table cup book bottle bird horse boat shoe hat lamp door clock "
    "phone plate"
).split()
STAGES = ("detect", "encode", "decode", "segment", "again", "total")
OURS, REFERENCE = "ours", "reference"


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
        precision: For models that can be set to "exact" or "fast".
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
    rounds: int = 5
    precision: str = "exact"
    random_weights: bool = False
    tiny: bool = False
    picture: Path | None = None
    device: str = "cpu"
    offline: bool | None = None

    def __post_init__(self) -> None:
        for what in ("phrases", "boxes", "rounds"):
            if getattr(self, what) < 1:
                raise ConfigError(f"expected {what} from 1, got {getattr(self, what)}")
        if self.size is not None and min(self.size) < 2:
            raise ConfigError(f"expected a size of 2 x 2 pixels or more, got {self.size}")


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        work: What was done.
        weights: For detector and segmenter, "checkpoint" or "random".
        applied_precision: For both, the precision that was set; None where there is no such thing.
        reference: For both, what they are compared with.
        milliseconds: For each stage, of both paths, the median.
        stages: For each stage, the median ratio of the reference's time to ours.
        peak_mb: For both paths, the most memory above the loaded models, in 10^6 bytes; None where
            it cannot be measured.
        parity: How far the outputs are apart.
        threads: That torch uses.
    """

    work: Work
    weights: dict[str, str]
    applied_precision: dict[str, str | None]
    reference: dict[str, str]
    milliseconds: dict[str, dict[str, float]]
    stages: dict[str, float]
    peak_mb: dict[str, float | None]
    parity: dict[str, float | int | None]
    threads: int

    @property
    def speedup(self) -> float:
        """The ratio end to end."""
        return self.stages["total"]

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


def run_benchmark(work: Work, progress: Callable[[], object] = lambda: None) -> Report:
    """Measures.

    Args:
        work: What to do.
        progress: Called after each round, the first, uncounted one included.

    Raises:
        GroundingError: If a model cannot be had.
    """
    with ExitStack() as stack, torch.no_grad():
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sources = {
            DETECTOR: _source(work, work.detector, DETECTOR, scratch),
            SEGMENTER: _source(work, work.segmenter, SEGMENTER, scratch),
        }
        (d_from, d_path, d_weights), (s_from, s_path, s_weights) = sources.values()
        options: dict[str, Any] = {"device": work.device, "offline": work.offline}
        detector = load_detector(d_from, **options)
        segmenter = load_segmenter(s_from, **options)
        precision = {
            DETECTOR: _set_precision(detector, work.precision),
            SEGMENTER: _set_precision(segmenter, work.precision),
        }
        pair = _Pair(
            detector,
            segmenter,
            reference_detector(detector, d_path, work.device),
            reference_segmenter(segmenter, s_path, work.device),
        )
        measured = _measure(work, pair, random_detector=d_weights == "random", progress=progress)
    return Report(
        work,
        weights={DETECTOR: d_weights, SEGMENTER: s_weights},
        applied_precision=precision,
        reference={
            DETECTOR: pair.reference_detector.says,
            SEGMENTER: pair.reference_segmenter.says,
        },
        threads=torch.get_num_threads(),
        **measured,
    )


def _measure(
    work: Work, pair: _Pair, *, random_detector: bool, progress: Callable[[], object]
) -> dict[str, Any]:
    picture = _picture(work)
    phrases = [WORDS[i] if i < len(WORDS) else f"thing {i}" for i in range(work.phrases)]
    boxes = _boxes(work.boxes, (picture.shape[1], picture.shape[0]))
    # Random weights know no threshold: take the one that as many boxes pass as are segmented.
    threshold = pair.detector.default_threshold
    if random_detector:
        threshold = _threshold_for(pair.detector, Image(picture), phrases, work.boxes)
    paths: dict[str, Callable[[Image], _Outcome]] = {
        OURS: lambda image: _ours(pair, image, phrases, threshold, boxes),
        REFERENCE: lambda image: _theirs(pair, image, phrases, threshold, boxes),
    }
    warm = _variant(picture, 0)
    peaks = {name: _peak_megabytes(partial(path, warm)) for name, path in paths.items()}
    progress()

    times: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in paths}
    outcomes: dict[str, _Outcome] = {}
    for number in range(work.rounds):
        image = _variant(picture, number + 1)
        for name in list(paths)[:: 1 if number % 2 else -1]:  # who comes first takes turns
            outcomes[name] = paths[name](Image(image.pixels))
            for stage, seconds in outcomes[name].seconds.items():
                times[name][stage].append(seconds)
        progress()
    ours, theirs = times[OURS], times[REFERENCE]
    return {
        "milliseconds": {
            stage: {name: round(1e3 * statistics.median(times[name][stage]), 3) for name in paths}
            for stage in STAGES
        },
        "stages": {
            stage: round(
                statistics.median(
                    b / a for a, b in zip(ours[stage], theirs[stage], strict=True) if a
                ),
                3,
            )
            for stage in STAGES
        },
        "peak_mb": peaks,
        "parity": {
            **_detection_parity(outcomes[OURS].found, outcomes[REFERENCE].found, picture.shape),
            **_mask_parity(outcomes[OURS].masks, outcomes[REFERENCE].masks),
        },
    }


@dataclass(frozen=True)
class _Outcome:
    seconds: dict[str, float]
    found: Found
    masks: Any  # MaskPrediction of ours, Masks of theirs


class _Clock:
    """Notes how long named steps take."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, step: Callable[[], Any]) -> Any:
        _synchronize()
        start = time.perf_counter()
        result = step()
        _synchronize()
        self.seconds[name] = time.perf_counter() - start
        return result

    def totals(self) -> dict[str, float]:
        segment = self.seconds["encode"] + self.seconds["decode"]
        total = self.seconds["detect"] + segment
        return self.seconds | {"segment": segment, "total": total}


def _ours(
    pair: _Pair, image: Image, phrases: Sequence[str], threshold: float, boxes: np.ndarray
) -> _Outcome:
    clock, cache = _Clock(), EmbeddingCache()
    stage = Detect(pair.detector, threshold)
    item = clock("detect", lambda: stage([Grounding.ask(image, list(phrases))])[0])
    embedding = clock("encode", lambda: cache.encode(pair.segmenter, [image])[0])
    masks = clock("decode", lambda: pair.segmenter.decode(embedding, boxes))
    copy = Image(image.pixels)  # as it comes again: its digest is not yet known

    def again() -> MaskPrediction:
        return pair.segmenter.decode(cache.encode(pair.segmenter, [copy])[0], boxes)

    clock("again", again)
    found = item.detections
    phrase_of = [str(phrase) for phrase in found.data["phrase"]]
    return _Outcome(clock.totals(), Found(found.xyxy, found.confidence, phrase_of), masks)


def _theirs(
    pair: _Pair, image: Image, phrases: Sequence[str], threshold: float, boxes: np.ndarray
) -> _Outcome:
    clock, segmenter = _Clock(), pair.reference_segmenter
    found = clock("detect", lambda: pair.reference_detector.detect(image, phrases, threshold))
    encoded = clock("encode", lambda: segmenter.encode(image))
    masks = clock("decode", lambda: segmenter.decode(encoded, boxes))
    clock("again", lambda: segmenter.decode(segmenter.encode(image), boxes))
    return _Outcome(clock.totals(), found, masks)


def _detection_parity(
    ours: Found, theirs: Found, shape: tuple[int, ...]
) -> dict[str, float | int | None]:
    """Finds for each of our boxes the nearest of the reference that has its label.

    Scores are compared only where the reference gives a phrase's score.
    """
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


def _mask_parity(ours: MaskPrediction, theirs: Masks) -> dict[str, float | int | None]:
    ious, different = [], 0
    for index, other in enumerate(theirs.dense):
        mask = ours.masks[[index]].to_dense()[0]
        union = np.count_nonzero(mask | other)
        ious.append(np.count_nonzero(mask & other) / union if union else 1.0)
        different += int(np.count_nonzero(mask != other))
    logits = None
    if theirs.logits is not None and ours.logits is not None:
        logits = float(np.abs(ours.logits[:, 0] - theirs.logits).max())
    return {
        "mask_iou_mean": float(np.mean(ious)),
        "mask_iou_min": float(np.min(ious)),
        "mask_pixels_different": different,
        "mask_pixels": int(theirs.dense.size),
        "logit_max_difference": logits,
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


def _set_precision(model: Any, precision: str) -> str | None:
    if not hasattr(model, "precision"):
        return None
    model.precision = precision
    return precision


def _threshold_for(detector: Detector, image: Image, phrases: Sequence[str], count: int) -> float:
    found = Detect(detector, 0.0)([Grounding.ask(image, Query.of(phrases))])[0].detections
    scores = np.sort(np.asarray(found.confidence, float))[::-1]
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


def _peak_megabytes(step: Callable[[], object]) -> float | None:
    """Runs a step; how far the process's resident memory rose meanwhile (Linux only)."""
    gc.collect()
    if sys.platform != "linux" or not _reset_peak():
        step()
        return None
    before = _status_kilobytes("VmRSS")
    step()
    return round((_status_kilobytes("VmHWM") - before) * 1024 / 1e6, 1)


def _reset_peak() -> bool:
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # freed pages would hide a rise
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status_kilobytes(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(found[1]) if found else 0
