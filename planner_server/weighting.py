"""w(h): how much a reward counts given the uncertainty of the region that earns it (paper 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor


def confidence_weight(h: Tensor, doubt: float) -> Tensor:
    """w(h) = exp(-doubt * h): 1 where the model is sure, strictly decreasing, never zero, smooth for gradients.

    Args:
        h: Normalised uncertainty in [0, 1], any shape.
        doubt: kappa > 0; w(1) = exp(-kappa).
    """
    return torch.exp(-doubt * h)


def apply_weight(weight: Tensor, reward: Tensor) -> Tensor:
    """Weighted reward that doubt can only lower: ``w r`` for r >= 0 and ``(2 - w) r`` for r < 0.

    The paper's plain product would *raise* a negative reward (a distant object) towards zero where the model is
    unsure, which is exactly the hallucination the weight must not reward.
    """
    return torch.where(reward >= 0, weight * reward, (2 - weight) * reward)
