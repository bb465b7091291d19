"""Clips of latents: history frames, commands and what followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.data import Dataset


@dataclass(frozen=True)
class Batch:
    """B clips.

    Attributes:
        history: ``(B, T, C, V*h, w)``.
        history_poses: ``(B, T, 7)`` measured.
        actions: ``(B, H, 7)`` commanded.
        future: ``(B, H, C, V*h, w)`` latents that followed.
        rows: ``(B,)`` dataset rows of the newest history frames.
    """

    history: Tensor
    history_poses: Tensor
    actions: Tensor
    future: Tensor
    rows: np.ndarray


class Clips:
    """All clips of a split whose frames have been encoded."""

    def __init__(self, data: Dataset, latents: np.ndarray, history_offsets: tuple[int, ...], horizon: int) -> None:
        self.data, self.latents = data, latents
        self.offsets, self.ahead = np.array(history_offsets), np.arange(1, horizon + 1)
        starts = data.clips(-min(history_offsets), horizon)
        self.starts = starts[starts + horizon < len(latents)]
        self.poses, self.commands = data.per_frame("poses"), data.per_frame("commands")

    def __len__(self) -> int:
        return len(self.starts)

    def draw(self, batch: int, rng: np.random.Generator) -> Batch:
        """Random clips."""
        return self.at(self.starts[rng.integers(len(self.starts), size=batch)])

    def spread(self, count: int) -> Batch:
        """``count`` clips spread evenly over the split."""
        return self.at(self.starts[np.linspace(0, len(self.starts) - 1, min(count, len(self.starts))).astype(int)])

    def at(self, rows: np.ndarray) -> Batch:
        """The clips whose newest history frames are ``rows``."""
        past, ahead = rows[:, None] + self.offsets, rows[:, None] + self.ahead
        return Batch(
            torch.from_numpy(self.latents[past].astype(np.float32)),
            torch.from_numpy(self.poses[past]),
            torch.from_numpy(self.commands[ahead]),
            torch.from_numpy(self.latents[ahead].astype(np.float32)),
            rows,
        )


def swap_actions(batch: Batch) -> Tensor:
    """Actions ``(B, H, 7)`` with the translations and gripper of another clip, from this clip's own pose."""
    other = torch.roll(torch.arange(len(batch.rows)), max(1, len(batch.rows) // 3))
    swapped = batch.actions.clone()
    moves = batch.actions[other, :, :3] - batch.history_poses[other, -1:, :3]
    swapped[..., :3] = batch.history_poses[:, -1:, :3] + moves
    swapped[..., 6] = batch.actions[other, :, 6]
    return swapped
