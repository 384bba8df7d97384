"""Lessons in looks: of four things that could be said of an annotated object, which is true?

Only the two finest maps and the annotated boxes are needed, so that these lessons cost a third of
the detector's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from grounding_sdk.models.mini.attributes import ATTRIBUTES, FORMS, KINDS
from grounding_sdk.models.mini.config import Batches, TrainConfig
from grounding_sdk.models.mini.network import Mini
from grounding_sdk.models.mini.pictures import Pictures, all_names
from grounding_sdk.models.mini.pool import FeaturePool
from grounding_sdk.models.mini.synonyms import variants
from grounding_sdk.models.mini.text import PhraseEncoder

OBJECTS = 24  # of a round
CHOICES = 4  # phrases for an object: the true attribute, and others of its kind
JITTER = 0.05  # of a box's sides, as predicted boxes are off
SILENCE = 1.0  # weight of plain names saying nothing


def looks_losses(
    config: TrainConfig,
    model: Mini,
    phrases: PhraseEncoder,
    pictures: Pictures,
    pool: FeaturePool,
    random: np.random.Generator,
) -> Batches:
    """The loss of one random batch after another; None where no attribute is known."""
    device = torch.device(config.device)
    names = all_names(pictures)
    looks = model.detector.looks
    while True:
        slots = pool.ready()
        slots = slots[(pool.attributes[slots] > 0).any(1)]
        if not len(slots):
            yield None
            continue
        slots = random.choice(slots, config.batch, replace=len(slots) < config.batch)
        owner, row = np.nonzero(pool.attributes[slots])
        chosen = random.permutation(len(owner))[:OBJECTS]
        owner, row = owner[chosen], row[chosen]
        objects = slots[owner]
        ids, stated = pool.names[objects, row] - 1, pool.attributes[objects, row] - 1
        options = np.stack([choices(int(attribute), random) for attribute in stated])
        plain = [names[name] for name in ids]
        asked = [
            phrase_of(name, int(option), random) if option >= 0 else name
            for name, row_of_options in zip(plain, options, strict=True)
            for option in row_of_options
        ]
        boxes = jitter(pool.boxes[objects, row], random)
        features = [x.to(device) for x in pool.load(slots, maps=2)]
        everywhere = torch.from_numpy(boxes).to(device).expand(len(slots), -1, -1)
        vectors, named = phrases(asked).to(device), phrases(plain).to(device)
        with config.narrowed():
            seen = looks.see(features, everywhere)
            said, of_names = looks.read(vectors).float(), looks.phrase(10.0 * named).float()
        seen = seen[torch.from_numpy(owner), torch.arange(len(owner))].float()
        said = said.view(len(owner), -1, seen.shape[1])
        evidence = (said * seen[:, None]).sum(-1)
        spoken = of_names.square().sum(-1)
        yield choice_loss(evidence, spoken, torch.from_numpy(options >= 0).to(device))


def phrase_of(name: str, attribute: int, random: np.random.Generator) -> str:
    """A name with an attribute, said in one of several ways."""
    word = ATTRIBUTES[attribute]
    forms = variants(name)
    form = forms[random.integers(len(forms))] if random.random() < 0.3 else name
    return str(random.choice(FORMS[word])).format(a=word, n=form)


def choices(attribute: int, random: np.random.Generator) -> np.ndarray:
    """The attribute, then others of its kind, and -1 where there are not four.

    >>> choices(14, np.random.default_rng(0)).tolist()  # small, against large
    [14, 15, -1, -1]
    """
    others = [i for i, kind in enumerate(KINDS) if kind == KINDS[attribute] and i != attribute]
    picked = random.permutation(others)[: CHOICES - 1]
    return np.concatenate([[attribute], picked, np.full(CHOICES - 1 - len(picked), -1)]).astype(int)


def choice_loss(evidence: Tensor, spoken: Tensor, known: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Evidence above zero for the true choice and below for the others; silence of plain names.

    Args:
        evidence: (N, C), the true choice first.
        spoken: (N,) what the plain names say of looks, as squared lengths.
        known: (N, C) bool, false where there is no such choice.
    """
    truth = torch.zeros_like(evidence)
    truth[:, 0] = 1
    # The true choice weighs as much as the others together.
    weights = torch.where(truth > 0, 0.5, 0.5 * known / (known.sum(1, keepdim=True) - 1))
    choice = nn.functional.binary_cross_entropy_with_logits(
        evidence, truth, weights, reduction="none"
    )
    right = (evidence.masked_fill(~known, float("-inf")).argmax(1) == 0).float().mean()
    loss = choice.sum(1).mean() + SILENCE * spoken.mean()
    return loss, {"right": float(right), "spoken": float(spoken.detach().mean())}


def jitter(boxes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Boxes (N, 4) moved and resized a little."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return (boxes + sides * random.normal(0, JITTER, boxes.shape)).astype(np.float32)
