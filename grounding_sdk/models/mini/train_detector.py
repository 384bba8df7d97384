"""The detector's lessons: names, and their absence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grounding_sdk.models.mini.config import Batches, TrainConfig
from grounding_sdk.models.mini.losses import (
    MATCH,
    OTHER,
    UNKNOWN,
    Truth,
    detection_loss,
)
from grounding_sdk.models.mini.network import Mini, boxes_from_sides, positions
from grounding_sdk.models.mini.pictures import Pictures, all_names
from grounding_sdk.models.mini.pool import FeaturePool, draw_slots
from grounding_sdk.models.mini.synonyms import variants
from grounding_sdk.models.mini.text import PhraseEncoder

ALIKE = 0.8  # cosine of names too near in meaning to be told apart


@dataclass(frozen=True, eq=False)
class Lexicon:
    """What is known of the names before any picture is seen.

    Attributes:
        names: All names of all sources; a name's place is its id.
        own: (S, N) in 0..1: what the absence of each name in a picture of each source proves.
        nearness: (N, N) cosine of the names.
    """

    names: list[str]
    own: Tensor
    nearness: Tensor

    @classmethod
    def of(cls, pictures: Pictures, phrases: PhraseEncoder) -> Lexicon:
        """Collect the names of the sources."""
        names = all_names(pictures)
        own = torch.tensor(
            [
                [source.absence * (name in own_names) for name in names]
                for source, own_names in zip(
                    pictures.sources, map(set, pictures.names), strict=True
                )
            ]
        )
        first = phrases(names).cpu()
        return cls(names, own, first @ first.T)


def detector_losses(
    config: TrainConfig,
    model: Mini,
    phrases: PhraseEncoder,
    pictures: Pictures,
    pool: FeaturePool,
    random: np.random.Generator,
) -> Batches:
    """The detection loss of one random batch after another; None where there are no names."""
    device = torch.device(config.device)
    lexicon = Lexicon.of(pictures, phrases)
    exhaustive = torch.tensor([s.exhaustive for s in config.sources])
    centres, strides = (x.to(device) for x in positions(config.size, config.size))
    while True:
        slots = pool.ready()
        slots = slots[(pool.names[slots, 0] > 0)]
        if not len(slots):
            yield None
            continue
        slots = draw_slots(pool, slots, config, random)
        sources = torch.from_numpy(pool.info[slots, 1].astype(np.int64))
        ids = torch.from_numpy(pool.names[slots].astype(np.int64)) - 1
        columns = choose_names(lexicon, ids, sources, config.negatives, random)
        asked = [random.choice(variants(lexicon.names[n]), p=chances(n, lexicon)) for n in columns]
        features = [x.to(device) for x in pool.load(slots)]
        vectors = phrases(asked).to(device)
        with config.narrowed():
            with torch.no_grad():
                sight = model.encoder.read(features)
            logits, sides, objects = model.detector.call(features, sight, vectors)
        truths = []
        for row, slot in zip(ids, slots, strict=True):
            count = int((row >= 0).sum())
            relation = relate(row[:count], columns, lexicon.nearness)
            truths.append(
                Truth(
                    torch.from_numpy(pool.boxes[slot, :count].copy()).to(device),
                    (row[:count, None] == columns).int().argmax(1).to(device),
                    torch.from_numpy(pool.weak[slot, :count].astype(bool)).to(device),
                    relation.to(device),
                )
            )
        yield detection_loss(
            (logits.float(), boxes_from_sides(centres, sides.float()), objects.float()),
            centres,
            strides,
            truths,
            lexicon.own[sources][:, columns].to(device),
            exhaustive[sources].to(device),
        )


def choose_names(
    lexicon: Lexicon, ids: Tensor, sources: Tensor, negatives: int, random: np.random.Generator
) -> Tensor:
    """The names to ask (K,): all that are present, and absent ones, half of them near."""
    present = torch.unique(ids[ids >= 0])
    candidates = lexicon.own[sources].any(0)
    candidates[present] = False
    absent = candidates.nonzero()[:, 0]
    nearness = lexicon.nearness[absent][:, present].masked_fill(
        lexicon.nearness[absent][:, present] > ALIKE, -1.0
    )
    lure = nearness.amax(1).numpy() + random.gumbel(0, 0.05, len(absent))
    near = absent[lure.argsort()[::-1][: negatives // 2].copy()]
    others = random.permutation(np.setdiff1d(absent.numpy(), near.numpy()))
    return torch.cat([present, near, torch.from_numpy(others[: negatives - len(near)])])


def relate(ids: Tensor, columns: Tensor, nearness: Tensor) -> Tensor:
    """What each object is to each phrase.

    Args:
        ids: (G,) names of the objects.
        columns: (K,) names of the phrases.
        nearness: (N, N) cosine of the names.

    Returns:
        (G, K) of `OTHER`, `MATCH`, `UNKNOWN`.
    """
    relation = torch.where(nearness[ids][:, columns] > ALIKE, UNKNOWN, OTHER)
    relation[ids[:, None] == columns] = MATCH
    return relation


def chances(name: int, lexicon: Lexicon) -> np.ndarray:
    """The name itself half of the time, its other forms share the rest."""
    forms = len(variants(lexicon.names[name]))
    if forms == 1:
        return np.ones(1)
    return np.array([0.5] + [0.5 / (forms - 1)] * (forms - 1))
