"""The training recipe: fill a pool with encoded pictures, train both heads on it.

    python -m grounding_sdk.models.mini.train CONFIG.yaml fill|detector|masker|export

`fill`, `detector` and `masker` are separate processes that may run side by side; each can be
stopped at any time and goes on from its last checkpoint. `export` writes the weight files.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from grounding_sdk.models.mini.data import Pictures, Source
from grounding_sdk.models.mini.losses import detection_loss, mask_loss
from grounding_sdk.models.mini.network import (
    BOX_MARGIN,
    WINDOW,
    Mini,
    boxes_from_sides,
    positions,
    prompt_planes,
    sample_windows,
)
from grounding_sdk.models.mini.pool import MASK_MARGIN, FeaturePool, grow
from grounding_sdk.models.mini.synonyms import variants
from grounding_sdk.models.mini.text import PhraseEncoder
from grounding_sdk.models.mini.weights import (
    TEXT,
    TOKENIZER,
    VISION,
    load_text,
    load_vision,
    save_vision,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on; read from YAML.

    Attributes:
        start: Directory of weights to start from.
        out: Directory of the pool and the checkpoints.
        sources: Where pictures come from.
        size: Side of the training pictures in pixels.
        slots: Pictures in the pool.
        rest: Seconds the filler sleeps after each picture once the pool is full.
        minutes: Length of the learning-rate schedule of each head.
        batch: Pictures a step.
        rate: Peak learning rate.
        negatives: Absent names compared in a step.
        save_every: Seconds between checkpoints.
        seed: Of pictures and prompts.
        threads: CPU threads of a process.
    """

    start: str
    out: str
    sources: tuple[Source, ...]
    size: int = 416
    slots: int = 3000
    rest: float = 0.2
    minutes: float = 60.0
    batch: int = 8
    rate: float = 1.5e-3
    negatives: int = 60
    save_every: float = 120.0
    seed: int = 0
    threads: int = 1

    @classmethod
    def read(cls, path: str | Path) -> TrainConfig:
        """Read a YAML file.

        Raises:
            ValueError: If it names a field that does not exist.
        """
        given = yaml.safe_load(Path(path).read_text())
        unknown = set(given) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"expected fields of TrainConfig, got also {sorted(unknown)}")
        sources = []
        for source in given.pop("sources"):
            pairs: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in source.items()
            }
            sources.append(Source(**pairs))
        return cls(sources=tuple(sources), **given)


# --- filling the pool ------------------------------------------------------------------------


def fill(config: TrainConfig, pictures_to_make: int | None = None) -> None:
    """Encode new pictures into the pool, oldest slots first, until stopped."""
    pool = FeaturePool(Path(config.out) / "pool", config.slots, config.size)
    seed = config.seed + int(time.time()) % 10_000 if len(pool.ready()) else config.seed
    pictures = Pictures(config.sources, config.size, seed)
    name_ids = {name: i for i, name in enumerate(all_names(pictures))}
    encoder = load_vision(Path(config.start) / VISION).encoder.to(memory_format=torch.channels_last)
    made = 0
    while pictures_to_make is None or made < pictures_to_make:
        picture = pictures.draw()
        if not picture.names:
            continue
        pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            features = encoder(pixels.contiguous(memory_format=torch.channels_last))
        pool.write(made % config.slots, picture, features, name_ids, pictures.random)
        made += 1
        if made % 200 == 0:
            log.info("%d pictures encoded", made)
        if made >= config.slots:
            time.sleep(config.rest)


def all_names(pictures: Pictures) -> list[str]:
    """All names of all sources; a name's place is its id in the pool."""
    return sorted({name for names in pictures.names for name in names})


# --- a loop that can stop and go on ----------------------------------------------------------


class Loop:
    """Optimiser, schedule by time, moving average and checkpoints of one head."""

    def __init__(self, head: nn.Module, config: TrainConfig, name: str) -> None:
        self.head, self.config = head, config
        self.path = Path(config.out) / f"{name}.pt"
        self.optimiser = torch.optim.AdamW(head.parameters(), config.rate, weight_decay=0.02)
        self.average = {k: v.detach().clone() for k, v in head.state_dict().items()}
        self.seconds, self.step, self.history = 0.0, 0, []
        if self.path.exists():
            saved = torch.load(self.path, weights_only=True)
            head.load_state_dict(saved["head"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.average, self.seconds = saved["average"], saved["seconds"]
            self.step, self.history = saved["step"], saved["history"]

    def run(self, losses: Iterator[tuple[Tensor, dict[str, float]]]) -> None:
        """Take steps until the schedule ends; `losses` gives one batch after another."""
        last, saved, window = time.monotonic(), self.seconds, []
        for loss, parts in losses:
            progress = self.seconds / 60 / self.config.minutes
            if progress >= 1:
                break
            rate = 0.5 * (1 + math.cos(math.pi * progress)) + 0.01
            rate *= min(1.0, (self.step + 1) / 60)
            for group in self.optimiser.param_groups:
                group["lr"] = self.config.rate * rate
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.head.parameters(), 2.0)
            self.optimiser.step()
            self.step += 1
            self._follow()
            now = time.monotonic()
            self.seconds += now - last
            last = now
            window.append({"loss": float(loss.detach()), **parts})
            if self.step % 25 == 0:
                mean = {k: sum(w[k] for w in window) / len(window) for k in window[0]}
                self.history.append({"step": self.step, "seconds": self.seconds, **mean})
                shown = " ".join(f"{k} {v:.3f}" for k, v in mean.items())
                log.info("step %d, %.0f s: %s", self.step, self.seconds, shown)
                window = []
            if self.seconds - saved > self.config.save_every:
                self.save()
                saved = self.seconds
        self.save()

    def save(self) -> None:
        """Write the checkpoint, never leaving half a file."""
        state = {
            "head": self.head.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "seconds": self.seconds,
            "step": self.step,
            "history": self.history,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.path)

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        for name, value in self.head.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - decay)


# --- the detector ----------------------------------------------------------------------------


def detector_losses(
    config: TrainConfig, model: Mini, phrases: PhraseEncoder
) -> Iterator[tuple[Tensor, dict[str, float]]]:
    """The detection loss of one random batch of the pool after another."""
    pictures = Pictures(config.sources, config.size)
    names = all_names(pictures)
    own = torch.tensor([[n in set(s) for n in names] for s in map(set, pictures.names)])
    exhaustive = torch.tensor([s.exhaustive for s in config.sources])
    texts = [variants(name) for name in names]
    vectors = [phrases(list(forms)) for forms in texts]
    first = torch.stack([v[0] for v in vectors])
    alike = first @ first.T > 0.8
    pool = FeaturePool(Path(config.out) / "pool", config.slots, config.size)
    random = np.random.default_rng(config.seed + 1)
    centres, strides = positions(config.size, config.size)
    while True:
        slots = pool.ready()
        slots = slots[(pool.names[slots, 0] > 0)]
        slots = draw_slots(pool, slots, config, random)
        sources = torch.from_numpy(pool.info[slots, 1].astype(np.int64))
        ids = torch.from_numpy(pool.names[slots].astype(np.int64)) - 1
        present = torch.unique(ids[ids >= 0])
        candidates = own[sources].any(0)
        candidates[present] = False
        absent = candidates.nonzero()[:, 0]
        absent = absent[torch.randperm(len(absent))[: config.negatives]]
        columns = torch.cat([present, absent])
        back = torch.full((len(names),), -1)
        back[columns] = torch.arange(len(columns))
        asked = torch.stack(
            [
                v[random.choice(len(v), p=chances(len(v)))]
                for v in (vectors[c] for c in columns.tolist())
            ]
        )
        features = pool.load(slots)
        with torch.no_grad():
            top = model.encoder.top(features[3])
            classes = model.encoder.classifier(top)
        logits, sides, objects = model.detector(features, top, classes, asked)
        truths = []
        for row, slot in zip(ids, slots, strict=True):
            count = int((row >= 0).sum())
            truths.append(
                (
                    torch.from_numpy(pool.boxes[slot, :count].copy()),
                    back[row[:count]],
                    torch.from_numpy(pool.weak[slot, :count].astype(bool)),
                )
            )
        yield detection_loss(
            (logits, boxes_from_sides(centres, sides), objects),
            centres,
            strides,
            truths,
            own[sources][:, columns],
            alike[columns][:, columns],
            exhaustive[sources],
        )


def draw_slots(
    pool: FeaturePool, slots: np.ndarray, config: TrainConfig, random: np.random.Generator
) -> np.ndarray:
    """A batch of slots, each source in its share, however the pool was filled."""
    sources = pool.info[slots, 1]
    there = np.bincount(sources, minlength=len(config.sources))
    share = np.array([s.weight for s in config.sources]) / np.maximum(there, 1)
    chance = share[sources] / share[sources].sum()
    return random.choice(slots, config.batch, replace=len(slots) < config.batch, p=chance)


def chances(forms: int) -> np.ndarray:
    """The name itself half of the time, its other forms share the rest.

    >>> chances(3).tolist()
    [0.5, 0.25, 0.25]
    """
    if forms == 1:
        return np.ones(1)
    return np.array([0.5] + [0.5 / (forms - 1)] * (forms - 1))


# --- the mask decoder ------------------------------------------------------------------------


def mask_losses(config: TrainConfig, model: Mini) -> Iterator[tuple[Tensor, dict[str, float]]]:
    """The mask loss of one random batch after another, prompted by boxes, points or both."""
    pool = FeaturePool(Path(config.out) / "pool", config.slots, config.size)
    random = np.random.default_rng(config.seed + 2)
    while True:
        slots = pool.ready()
        slots = slots[pool.info[slots, 2] > 0]
        slots = random.choice(slots, config.batch, replace=len(slots) < config.batch)
        owner, boxes, crops = [], [], []
        for i, slot in enumerate(slots):
            for row in random.permutation(pool.info[slot, 2])[:5]:
                owner.append(i)
                boxes.append(pool.mask_boxes[slot, row])
                crops.append(pool.masks[slot, row])
        truth = torch.from_numpy(np.stack(crops)).float()[:, None] / 255
        prompts = [
            mask_prompt(box, crop > 127, config.size, random)
            for box, crop in zip(boxes, crops, strict=True)
        ]
        windows, given, points, labels = (
            torch.from_numpy(np.stack(x)).float() for x in zip(*prompts, strict=True)
        )
        target = in_windows(truth, torch.from_numpy(np.stack(boxes)), windows)
        outside = cells_outside(truth, torch.from_numpy(np.stack(boxes)), windows, target)
        planes = prompt_planes(windows, given, points, labels)
        planes[:, 3] = earlier_mask(target, random)
        embedding = model.masker.embed(pool.load(slots))
        logits, quality = model.masker(embedding, torch.tensor(owner), windows, planes)
        yield mask_loss(logits, quality, target, outside)


def mask_prompt(
    box: np.ndarray, crop: np.ndarray, size: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A random prompt for an object.

    Args:
        box: (4,) xyxy.
        crop: (S, S) bool mask in the box grown by `MASK_MARGIN`.
        size: Side of the picture.
        random: Source of chance.

    Returns:
        Window (4,), box (4,) or NaN, points (4, 2), labels (4,) with -1 for "none".
    """
    sides = box[2:] - box[:2]
    points, labels = np.zeros((4, 2)), np.full(4, -1)
    stored = grow(box, MASK_MARGIN)
    kind = random.random()
    if kind > 0.55:  # points, alone or beside the box
        for i in range(random.integers(1, 5)):
            wanted = 1 if i == 0 or random.random() < 0.5 else 0
            cells = np.argwhere(crop == bool(wanted))
            if len(cells):
                cell = cells[random.integers(len(cells))][::-1] + random.random(2)
                points[i] = stored[:2] + (stored[2:] - stored[:2]) * cell / len(crop)
                labels[i] = wanted
    if kind < 0.75 or labels[0] != 1:
        spread = np.tile(sides, 2) * 0.06
        given = box + random.normal(0, 1, 4).clip(-2, 2) * spread
        given[2:] = np.maximum(given[2:], given[:2] + 2)
        return grow(given, BOX_MARGIN), given, points, labels
    side = min(max(sides.max() * np.exp(random.uniform(0.1, 1.6)), size / 8), 1.1 * size)
    shown = points[labels >= 0]
    centre = points[labels == 1].mean(0)
    side = max(side, 2.1 * np.abs(shown - centre).max())
    window = np.concatenate([centre - side / 2, centre + side / 2])
    return window, np.full(4, np.nan), points, labels


def in_windows(crops: Tensor, boxes: Tensor, windows: Tensor) -> Tensor:
    """Stored masks (N, 1, S, S) seen in other windows: (N, 56, 56), zero outside of the crop."""
    stored = torch.from_numpy(grow(boxes.numpy(), MASK_MARGIN))
    span = (stored[:, 2:] - stored[:, :2]).repeat(1, 2)
    unit = (windows - stored[:, :2].repeat(1, 2)) / span  # 0..1 across the stored crop
    side = crops.shape[-1] * 4.0  # sample_windows counts four pixels a cell
    seen = [
        sample_windows(c[None], torch.zeros(1, dtype=torch.long), u[None] * side, WINDOW)
        for c, u in zip(crops, unit, strict=True)
    ]
    return torch.cat(seen)[:, 0]


def cells_outside(crops: Tensor, boxes: Tensor, windows: Tensor, target: Tensor) -> Tensor:
    """How much of each object its window misses, in window cells."""
    stored = torch.from_numpy(grow(boxes.numpy(), MASK_MARGIN))
    whole = crops.mean((1, 2, 3)) * (stored[:, 2:] - stored[:, :2]).prod(1)
    cell = (windows[:, 2:] - windows[:, :2]).prod(1) / WINDOW**2
    return (whole / cell - target.sum((1, 2))).clamp(min=0)


def earlier_mask(target: Tensor, random: np.random.Generator) -> Tensor:
    """A rough mask for the prompt plane, for one row in seven; zeros for the others."""
    rough = nn.functional.avg_pool2d(target[:, None], 6, 2, padding=2)[:, 0]
    rough = rough.roll(tuple(random.integers(-2, 3, 2).tolist()), (1, 2))
    chosen = torch.from_numpy(random.random(len(target)) < 0.15)
    return rough * chosen[:, None, None]


# --- from the command line -------------------------------------------------------------------


def train_detector(config: TrainConfig) -> None:
    """Train the detector's head on the pool."""
    model, phrases = load_start(config)
    head = model.detector.requires_grad_(True).train().to(memory_format=torch.channels_last)
    Loop(head, config, "detector").run(detector_losses(config, model, phrases))


def train_masker(config: TrainConfig) -> None:
    """Train the mask decoder on the pool."""
    model, _ = load_start(config)
    head = model.masker.requires_grad_(True).train().to(memory_format=torch.channels_last)
    Loop(head, config, "masker").run(mask_losses(config, model))


def export(config: TrainConfig) -> None:
    """Write the vision file with the averaged heads into `out`."""
    model, _ = load_start(config)
    for name, head in (("detector", model.detector), ("masker", model.masker)):
        path = Path(config.out) / f"{name}.pt"
        if path.exists():
            saved = torch.load(path, weights_only=True)
            head.load_state_dict(saved["average"])
            log.info("%s after %d steps, %.0f s", name, saved["step"], saved["seconds"])
    save_vision(model, Path(config.out) / VISION)


def load_start(config: TrainConfig) -> tuple[Mini, PhraseEncoder]:
    """Load the weights to start from."""
    start = Path(config.start)
    return load_vision(start / VISION), PhraseEncoder(load_text(start / TEXT), start / TOKENIZER)


PARTS: dict[str, Callable[[TrainConfig], None]] = {
    "fill": fill,
    "detector": train_detector,
    "masker": train_masker,
    "export": export,
}


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description="Train the embedded model.")
    parser.add_argument("config", type=Path)
    parser.add_argument("part", choices=PARTS)
    arguments = parser.parse_args()
    config = TrainConfig.read(arguments.config)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(config.threads)
    cv2_threads()
    torch.manual_seed(config.seed)
    PARTS[arguments.part](config)


def cv2_threads() -> None:
    """One thread for OpenCV: three processes already share the cores."""
    import cv2

    cv2.setNumThreads(1)


if __name__ == "__main__":
    main()
