"""The randomness of one step, and which part of it belongs to this process.

A draw is a function of (seed, stage, step) alone and always comes from CPU generators: data and noise are the same on
every device, across interruptions, and however many processes share the work. Each process draws for the **global**
batch and keeps its own rows.
"""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

CPU = torch.device("cpu")
T = TypeVar("T")
_PER_ROW = TypeVar("_PER_ROW", np.ndarray, Tensor)


@dataclass(frozen=True)
class Share:
    """What one of several processes works on.

    Attributes:
        index: Of this process.
        count: Processes that share every global batch.
        device: Where this one computes.
    """

    index: int = 0
    count: int = 1
    device: torch.device = CPU


WHOLE = Share()


@dataclass(frozen=True)
class Draw:
    """The randomness of one step.

    Attributes:
        rows: For choices among the data, on the CPU.
        noise: For noise, on the CPU.
        share: This process's part of the batch.
    """

    rows: np.random.Generator
    noise: torch.Generator
    share: Share = WHOLE

    def mine(self, values: _PER_ROW) -> _PER_ROW:
        """This process's rows of values drawn for the global batch, on its device.

        Args:
            values: ``(B, ...)``, one entry per row of the global batch. Every process must draw all of it, so that the
                generators stay in step.

        Returns:
            Rows ``index, index + count, ...``: ``(B / count, ...)``. Taking every count-th row keeps the proportions of
            a batch whose parts are treated differently, where `count` divides each part.
        """
        return self.place(values[self.share.index :: self.share.count])

    def place(self, values: T) -> T:
        """A tensor, or a dataclass of tensors, on this process's device; anything else as it is."""
        return place(values, self.share.device)


def draw_for(seed: int, stage: str, step: int, share: Share = WHOLE) -> Draw:
    """The randomness of step ``step``."""
    words = _words(seed, stage, step)
    return Draw(np.random.default_rng(words[0]), torch.Generator().manual_seed(int(words[1])), share)


def tie_global_generator(seed: int, stage: str, step: int, share: Share = WHOLE) -> None:
    """Seed PyTorch's global generator for this step, for modules that draw from it themselves (dropout)."""
    torch.manual_seed(int(_words(seed, stage, step)[2]) + share.index)


def place(values: T, device: torch.device) -> T:
    """See `Draw.place`."""
    if device.type == "cpu":
        return values
    if isinstance(values, Tensor):
        return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)  # type: ignore[return-value]
    if dataclasses.is_dataclass(values) and not isinstance(values, type):
        fields = {field.name: getattr(values, field.name) for field in dataclasses.fields(values)}
        return dataclasses.replace(values, **{name: place(value, device) for name, value in fields.items()})
    return values


def _words(seed: int, stage: str, step: int) -> np.ndarray:
    return np.random.SeedSequence([seed, zlib.crc32(stage.encode()), step]).generate_state(3)
