"""What the sampling planners draw: offsets of whole chunks that bend a path instead of shaking it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

CORRELATION = 2.0
"""Frames over which the offsets of a path hang together (length of a squared-exponential kernel)."""


def smooth_noise(count: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise ``(count, H, 7)``, correlated along the chunk.

    Drawn on the CPU, so that every device gets the same.

    Args:
        count: How many.
        like: ``(H, 7)`` chunk whose device and type they get.
        generator: Source.
    """
    white = torch.randn((count, *like.shape), generator=generator, dtype=torch.float64)
    return (_root(len(like)) @ white).to(like)


def spread(like: Tensor, metres: float) -> Tensor:
    """Standard deviation ``(H, 7)`` of the first samples: of the position alone.

    Turns and half closed fingers are not drawn: see `fingers_and_turns.py`, which asks for them one by one.
    """
    return torch.cat([torch.full_like(like[:, :3], metres), torch.zeros_like(like[:, 3:])], -1)


@lru_cache
def _root(frames: int) -> Tensor:
    t = torch.arange(frames, dtype=torch.float64)
    kernel = torch.exp(-0.5 * ((t[:, None] - t) / CORRELATION) ** 2)
    return torch.linalg.cholesky(kernel + 1e-6 * torch.eye(frames, dtype=torch.float64))
