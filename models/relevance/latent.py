"""R_u behind `interfaces.SemanticReward`: imagined latents are decoded and judged as pictures, all on their device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.relevance.dense import DenseRelevance

Decode = Callable[[Tensor], Tensor]
"""Latents (B, H, C, V*h, w) -> RGB (B, H, V, 3, rows, columns), about [0, 1]."""


class LatentRelevance(nn.Module):
    """No gradient goes through it: where an object seems to be is looked at, never talked into moving."""

    def __init__(self, relevance: DenseRelevance, decode: Decode, size: tuple[int, int]) -> None:
        """Put it together.

        Args:
            relevance: CLIP or SigLIP.
            decode: The world model's decoder.
            size: Rows and columns of the answer for one view.
        """
        super().__init__()
        self.dense = relevance
        self.size = size
        self._decode = decode
        self._seen: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def relevance(self, latents: Tensor, phrase: str) -> Tensor:
        """Relevance in [0, 1] of each region of ``(B, H, C, V*h, w)`` latents, as ``(B, H, V, rows, columns)``.

        The features of the latents that were judged last are kept: a plan asks for several phrases of one video.
        """
        seen = self._seen
        if seen is None or seen[0] is not latents:
            seen = (latents, torch.cat([self._regions(clip) for clip in latents.split(1)]))
            self._seen = seen
        score = self.dense.score(seen[1], phrase)
        maps = functional.interpolate(score.flatten(0, 1), size=self.size, mode="bilinear", align_corners=False)
        return maps.unflatten(0, latents.shape[:2])

    def _regions(self, clip: Tensor) -> Tensor:
        pixels = self._decode(clip)
        return self.dense.regions(pixels.flatten(0, 2)).unflatten(0, pixels.shape[:3])
