"""Distributions over bins of a bounded quantity: errors (uncertainty head) and returns (value head)."""

from __future__ import annotations

import torch
from torch import Tensor


def bin_centres(count: int, highest: float) -> Tensor:
    """Centres ``(count,)`` of equal bins over [0, highest]."""
    return (torch.arange(count) + 0.5) * (highest / count)


def bin_index(values: Tensor, count: int, highest: float) -> Tensor:
    """Bin of each value; what lies outside goes to the first or last bin."""
    return (values * (count / highest)).long().clamp(0, count - 1)
