"""The training recipe: encode pictures into a pool, train both heads on it, in rounds.

The image encoder is frozen, so a picture is encoded once and drawn many times. A round encodes a
few fresh pictures in place of the oldest and takes a step with each head. A run may be stopped at
any time: it goes on from its last checkpoint.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from grounding_sdk.errors import ConfigError
from grounding_sdk.models import registry, store
from grounding_sdk.models.mini.config import Batches, TrainConfig
from grounding_sdk.models.mini.curves import draw_curves
from grounding_sdk.models.mini.network import Mini
from grounding_sdk.models.mini.pictures import Pictures, all_names
from grounding_sdk.models.mini.pool import FeaturePool
from grounding_sdk.models.mini.text import PhraseEncoder
from grounding_sdk.models.mini.train_detector import detector_losses
from grounding_sdk.models.mini.train_looks import looks_losses
from grounding_sdk.models.mini.train_masker import mask_losses
from grounding_sdk.models.mini.weights import (
    CONFIG,
    LOOKS,
    TEXT,
    TOKENIZER,
    VISION,
    load_text,
    load_vision,
    save_vision,
)

log = logging.getLogger(__name__)

CHECKPOINT, CURVES = "checkpoint.pt", "curves.png"
NOTE_EVERY = 25  # rounds
WARM_UP = 60  # rounds


def train(config: TrainConfig, report: Callable[[str], None] = log.info) -> Path:
    """Train until the schedule ends, going on from the last checkpoint if there is one.

    Args:
        config: The run.
        report: Gets a line of progress now and then.

    Returns:
        The folder of the trained weights, `config.out`, which loads as a model.

    Raises:
        ConfigError: If the run cannot work, or its checkpoint or pool is that of another.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = torch.device(config.device)
    start = start_folder(config)
    model = load_vision(start / VISION).to(device)
    phrases = PhraseEncoder(load_text(start / TEXT).to(device), start / TOKENIZER)
    run = Run(config, model)
    random = np.random.default_rng([config.seed, run.rounds])
    pictures = Pictures(config.sources, config.size, random, config.leave_out)
    pool = FeaturePool(config.pool_directory, config.slots, config.size)
    pool.claim(pictures.names)
    filler = Filler(model, pictures, pool)
    first = min(config.first, config.slots) - len(pool.ready()) if config.fresh else 0
    if first > 0:
        report(f"encoding {first} pictures")
    filler.make(first)
    batches: dict[str, Batches] = {}
    if "detector" in config.heads:
        batches["detector"] = detector_losses(config, model, phrases, pictures, pool, random)
    if "looks" in config.heads:
        batches["looks"] = looks_losses(config, model, phrases, pictures, pool, random)
    if "masker" in config.heads:
        batches["masker"] = mask_losses(config, model, pool, random)
    try:
        while run.progress < 1:
            began = time.monotonic()
            filler.make(config.fresh)
            for name, losses in batches.items():
                run.step(name, losses)
            run.end_round(time.monotonic() - began, report)
    finally:
        run.save()  # also where Ctrl-C ends it
    run.export(start)
    return run.out


def start_folder(config: TrainConfig) -> Path:
    """The folder of the weights to start from; "mini" is the embedded ones."""
    embedded = config.start == "mini"
    return store.resolve(registry.model_info("mini")) if embedded else Path(config.start)


class Filler:
    """Encodes pictures into the pool, in empty slots first, then in place of the oldest."""

    def __init__(self, model: Mini, pictures: Pictures, pool: FeaturePool) -> None:
        self.encoder, self.pictures, self.pool = model.encoder, pictures, pool
        self.name_ids = {name: i for i, name in enumerate(all_names(pictures))}
        self.device = next(model.parameters()).device
        self.next = len(pool.ready())  # of a full pool, the first slot

    @torch.no_grad()
    def make(self, count: int) -> None:
        """Encode `count` new pictures."""
        for _ in range(count):
            picture = self.pictures.draw()
            while not picture.names:
                picture = self.pictures.draw()
            pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].to(self.device)
            pixels = pixels.float().contiguous(memory_format=torch.channels_last)
            features = self.encoder(pixels)
            slot = self.next % self.pool.slots
            self.pool.write(slot, picture, features, self.name_ids, self.pictures.random)
            self.next += 1


def parameters_of(model: Mini, head: str) -> dict[str, nn.Parameter]:
    """The parameters of a head, by their names in the model; "looks" is no part of "detector"."""
    prefix = {"detector": "detector.", "looks": LOOKS, "masker": "masker."}[head]
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.startswith(prefix) and (head == "looks" or not name.startswith(LOOKS))
    }


class Run:
    """The heads in training: optimisers, schedule, moving averages, history and checkpoints."""

    def __init__(self, config: TrainConfig, model: Mini) -> None:
        self.config, self.model = config, model
        self.out = Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        model.to(memory_format=torch.channels_last)
        self.heads = {name: parameters_of(model, name) for name in config.heads}
        for head in self.heads.values():
            for parameter in head.values():
                parameter.requires_grad_(True)
        model.detector.train()
        model.masker.train()
        self.optimisers = {
            name: torch.optim.AdamW(head.values(), config.rate, weight_decay=0.02)
            for name, head in self.heads.items()
        }
        self.averages = {
            name: {k: v.detach().clone() for k, v in head.items()}
            for name, head in self.heads.items()
        }
        self.seconds, self.saved, self.rounds = 0.0, 0.0, 0
        self.history: list[dict[str, float]] = []
        self.window: dict[str, list[float]] = {}
        if (self.out / CHECKPOINT).exists():
            self._load()

    @property
    def progress(self) -> float:
        """How much of the schedule is done, from 0 to 1."""
        by_time = self.seconds / 60 / self.config.minutes
        return max(by_time, self.rounds / self.config.rounds if self.config.rounds else 0.0)

    def step(self, name: str, batches: Batches) -> None:
        """Take one step with a head."""
        optimiser, head = self.optimisers[name], self.heads[name].values()
        rate = 0.5 * (1 + math.cos(math.pi * min(self.progress, 1.0))) + 0.01
        for group in optimiser.param_groups:
            group["lr"] = self.config.rate * rate * min(1.0, (self.rounds + 1) / WARM_UP)
        batch = next(batches)
        if batch is None:
            return
        loss, parts = batch
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head, 2.0)
        optimiser.step()
        self._follow(name)
        for key, value in {"loss": float(loss.detach()), **parts}.items():
            self.window.setdefault(f"{name} {key}", []).append(value)

    def end_round(self, seconds: float, report: Callable[[str], None]) -> None:
        """Count the round; note the losses and save when it is time."""
        self.rounds += 1
        self.seconds += seconds
        if self.rounds % NOTE_EVERY == 0:
            mean = {k: float(np.mean(values)) for k, values in self.window.items()}
            self.window = {}
            self.history.append({"round": self.rounds, "seconds": self.seconds, **mean})
            shown = ", ".join(f"{k} {v:.3f}" for k, v in mean.items())
            report(f"round {self.rounds}, {min(self.progress, 1.0):.0%}: {shown}")
        if self.seconds - self.saved > self.config.save_every:
            self.save()

    def save(self) -> None:
        """Write the checkpoint and the curves, never leaving half a file."""
        state = {
            "heads": {
                name: {k: v.detach() for k, v in head.items()} for name, head in self.heads.items()
            },
            "optimisers": {k: v.state_dict() for k, v in self.optimisers.items()},
            "averages": self.averages,
            "seconds": self.seconds,
            "rounds": self.rounds,
            "history": self.history,
        }
        part = self.out / (CHECKPOINT + ".part")
        torch.save(state, part)
        os.replace(part, self.out / CHECKPOINT)
        self.saved = self.seconds
        draw_curves(self.history, self.out / CURVES)

    def export(self, start: Path) -> None:
        """Write weights with the averaged heads, the rest as at the start."""
        state = self.model.state_dict()
        for average in self.averages.values():
            state |= average
        save_vision(state, self.out / VISION)
        for name in (TEXT, TOKENIZER, CONFIG):
            if (start / name).exists():
                shutil.copyfile(start / name, self.out / name)

    @torch.no_grad()
    def _load(self) -> None:
        device = self.config.device
        saved = torch.load(self.out / CHECKPOINT, weights_only=True, map_location=device)
        if set(saved["heads"]) != set(self.heads):
            raise ConfigError(
                f"the checkpoint in {self.out} trains {sorted(saved['heads'])}, the configuration "
                f"{sorted(self.heads)}: delete it, or name another `out`"
            )
        for name, head in self.heads.items():
            for key, parameter in head.items():
                parameter.copy_(saved["heads"][name][key])
            self.optimisers[name].load_state_dict(saved["optimisers"][name])
        self.averages, self.history = saved["averages"], saved["history"]
        self.seconds = self.saved = saved["seconds"]
        self.rounds = saved["rounds"]

    @torch.no_grad()
    def _follow(self, name: str) -> None:
        decay = min(0.998, (1 + self.rounds) / (10 + self.rounds))
        for key, value in self.heads[name].items():
            self.averages[name][key].lerp_(value, 1 - decay)
