"""Clips of latents: history frames, commands and what followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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
        self.can_start = np.zeros(len(data), bool)
        self.can_start[self.starts] = True
        self.poses, self.commands = data.per_frame("poses"), data.per_frame("commands")

    def __len__(self) -> int:
        return len(self.starts)

    def choose(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random rows ``(count,)`` of newest history frames."""
        return self.starts[rng.integers(len(self.starts), size=count)]

    def choose_back(self, rows: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        """How many frames before its clip each imagined history begins ``(B,)``; 0 where the history stays as it was.

        Args:
            rows: Newest history frames of the clips.
            share: Of the rows to give an imagined history, where the episode goes back far enough.
            rng: Chooses.
        """
        back = rng.integers(1 - self.offsets.min(), len(self.ahead) + 1, size=len(rows))
        origins = rows - back
        return np.where((rng.random(len(rows)) < share) & (origins >= 0) & self.can_start[origins], back, 0)

    def live_on(self, batch: Batch, back: np.ndarray, imagine: Callable[[Batch, np.ndarray], Tensor]) -> Batch:
        """The same clips, some with a history that was imagined from earlier frames.

        A planner that thinks while the robot moves starts from the end of what it imagined for the chunk under way, and
        a rollout from its own last frames: models that never saw such a history fall apart there.

        Args:
            batch: Clips of this split.
            back: See `choose_back`.
            imagine: Latents ``(b, H, C, V*h, w)`` of some earlier clips, given them and their indices in the batch.
        """
        chosen = np.flatnonzero(back)
        if not len(chosen):
            return batch
        history = batch.history.clone()
        imagined = imagine(self.at(batch.rows[chosen] - back[chosen]), chosen)
        frames = torch.from_numpy(back[chosen, None] - 1 + self.offsets)
        history[torch.from_numpy(chosen)] = imagined[torch.arange(len(chosen))[:, None], frames]
        return replace(batch, history=history)

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
