"""Phrases to vectors: tokens, MiniLM, and a cache, since the same phrases come again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import torch
from tokenizers import Tokenizer
from torch import Tensor

from grounding_sdk.models.mini.network import TextEncoder

MAX_TOKENS = 64
CACHED_PHRASES = 20_000
BATCH = 64
TEMPLATE = "a photo of a {}"


class PhraseEncoder:
    """Turns phrases into unit vectors, remembering the last ones. Safe to share among threads.

    Args:
        encoder: Of tokens.
        tokenizer: Path of `tokenizer.json`.
    """

    def __init__(self, encoder: TextEncoder, tokenizer: str | Path) -> None:
        self.encoder = encoder
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.no_padding()
        self.cache: OrderedDict[str, Tensor] = OrderedDict()
        self.lock = Lock()

    def __call__(self, phrases: Sequence[str]) -> Tensor:
        """Encode K phrases as "a photo of a ...": (K, 384) float32 unit vectors."""
        with self.lock:
            new = [p for p in dict.fromkeys(phrases) if p not in self.cache]
            texts = [TEMPLATE.format(phrase) for phrase in new]
            self.cache.update(zip(new, self.encode(texts), strict=True))
            for phrase in phrases:
                self.cache.move_to_end(phrase)
            vectors = torch.stack([self.cache[phrase] for phrase in phrases])
            while len(self.cache) > CACHED_PHRASES:
                self.cache.popitem(last=False)
        return vectors

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode N texts as they are: (N, 384) unit vectors, in order. Not cached."""
        rows = [e.ids for e in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # little padding
        device = self.encoder.tokens.weight.device
        out = torch.empty(len(rows), self.encoder.tokens.embedding_dim, device=device)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            length = len(rows[chosen[-1]])
            tokens = torch.zeros(len(chosen), length, dtype=torch.long)
            mask = torch.zeros(len(chosen), length, dtype=torch.bool)
            for i, row in enumerate(chosen):
                tokens[i, : len(rows[row])] = torch.tensor(rows[row])
                mask[i, : len(rows[row])] = True
            out[chosen] = self.encoder(tokens.to(device), mask.to(device)).float()
        return out
