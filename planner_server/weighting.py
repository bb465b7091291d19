"""w(h): how much a reward counts given the uncertainty of the region that earns it (paper 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

SHAPES: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "exp": lambda h, kappa: torch.exp(-kappa * h),
    "linear": lambda h, kappa: (1 - kappa * h).clamp(min=0.0),
    "rational": lambda h, kappa: 1 / (1 + kappa * h),
    "power": lambda h, kappa: (1 - h).clamp(min=0.0) ** kappa,
}
"""Candidates for w: all are 1 where the model is sure and never increase. The paper leaves the choice open."""


def confidence_weight(h: Tensor, kappa: float, shape: str = "exp") -> Tensor:
    """w(h), 1 where the model is sure.

    Args:
        h: Normalised uncertainty in [0, 1], any shape.
        kappa: How fast it falls; 0 trusts everything alike (w = 1).
        shape: One of `SHAPES`.
    """
    return SHAPES[shape](h, kappa)


def apply_weight(weight: Tensor, reward: Tensor) -> Tensor:
    """Weighted reward that doubt can only lower: ``w r`` for r >= 0 and ``(2 - w) r`` for r < 0.

    The paper's plain product would *raise* a negative reward (a distant object) towards zero where the model is
    unsure, which is exactly the hallucination the weight must not reward.
    """
    return torch.where(reward >= 0, weight * reward, (2 - weight) * reward)
