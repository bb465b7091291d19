"""Words to vectors: a small text encoder over hashed words, so that any phrase can be asked about.

Words never seen in training have the zero vector, which was trained to mean "nothing here" (see training/phrases.py).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

BUCKETS = 4096
MAX_WORDS = 12
_FILLERS = frozenset(
    ("the", "a", "an", "that", "this", "some", "your", "my", "of", "please", "object", "thing", "one", "it", "s")
)


def word_buckets(phrase: str) -> list[int]:
    """Hash buckets 1..BUCKETS-1 of the words of a phrase, articles left out; at most `MAX_WORDS`."""
    words = re.findall(r"[a-z0-9]+", phrase.lower())
    kept = [word for word in words if word not in _FILLERS] or words
    return [1 + zlib.crc32(word.encode()) % (BUCKETS - 1) for word in kept[:MAX_WORDS]]


class TextEncoder(nn.Module):
    """Mean and maximum of word vectors, through two layers."""

    def __init__(self, width: int, words: int = 48) -> None:
        super().__init__()
        self.words = nn.Embedding(BUCKETS, words, padding_idx=0)
        nn.init.zeros_(self.words.weight)  # a word never seen in training says nothing
        self.mix = nn.Sequential(nn.Linear(2 * words, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, phrases: Sequence[str]) -> Tensor:
        """Vectors ``(len(phrases), width)``."""
        rows = [word_buckets(phrase) for phrase in phrases]
        ids = torch.zeros(len(rows), MAX_WORDS, dtype=torch.long, device=self.words.weight.device)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
        present = (ids > 0)[..., None]
        vectors = self.words(ids)
        mean = (vectors * present).sum(1) / present.sum(1).clamp(min=1)
        highest = vectors.masked_fill(~present, -1e4).amax(1).clamp(min=-10)
        return self.mix(torch.cat([mean, highest], dim=1))
