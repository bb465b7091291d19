"""Clips of real footage, whose actions are the poses **observed** at the frames, as Ctrl-World has them.

DROID's arm trails its commands by about a quarter of a second (docs/real-footage.md), so the command due at a frame is
centimetres away from where the picture shows the hand; the observed pose is what the pixels follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.training.clips import Batch
from robot_model.conventions import matrix_to_pose, pose_to_matrix


class ObservedClips:
    """All clips of a split."""

    def __init__(
        self,
        spans: Sequence[tuple[int, int]],
        poses: np.ndarray,
        latents: np.ndarray,
        history_offsets: tuple[int, ...],
        horizon: int,
    ) -> None:
        """Take the frames of a split.

        Args:
            spans: First row and number of rows of each episode.
            poses: ``(N, 7)`` observed poses.
            latents: ``(N, C, V*h, w)``.
            history_offsets: History frames as offsets from the newest, oldest first.
            horizon: Frames to predict.
        """
        self.poses, self.latents = poses, latents
        self.offsets, self.ahead = np.array(history_offsets), np.arange(1, horizon + 1)
        before = -min(history_offsets)
        self.starts = np.concatenate([np.arange(first + before, first + count - horizon) for first, count in spans])
        self.episode_of = np.zeros(len(poses), np.int64)
        for episode, (first, count) in enumerate(spans):
            self.episode_of[first : first + count] = episode

    def __len__(self) -> int:
        return len(self.starts)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rows of ``count`` random clips: their newest history frames."""
        return self.starts[rng.integers(len(self.starts), size=count)]

    def spread(self, count: int) -> Batch:
        """``count`` clips spread evenly over the split."""
        return self.at(self.starts[np.linspace(0, len(self.starts) - 1, min(count, len(self.starts))).astype(int)])

    def at(self, rows: np.ndarray) -> Batch:
        """The clips whose newest history frames are ``rows``."""
        past, ahead = rows[:, None] + self.offsets, rows[:, None] + self.ahead
        return Batch(
            torch.from_numpy(self.latents[past].astype(np.float32)),
            torch.from_numpy(self.poses[past]),
            torch.from_numpy(self.poses[ahead]),
            torch.from_numpy(self.latents[ahead].astype(np.float32)),
            rows,
        )

    def swapped_actions(self, batch: Batch) -> Tensor | None:
        """Actions ``(B, H, 7)`` that move, from each clip's own pose, as a clip of another episode moves.

        None where the split has one episode only.
        """
        episodes = self.episode_of[batch.rows]
        if (episodes == episodes[0]).all():
            return None
        order = np.arange(len(episodes))
        first = [np.roll(order, -i - len(order) // 3) for i in order]
        partners = torch.tensor([int(near[episodes[near] != episodes[i]][0]) for i, near in enumerate(first)])
        return transplanted(batch.history_poses[:, -1], batch.history_poses[partners, -1], batch.actions[partners])


def transplanted(own: Tensor, other: Tensor, actions: Tensor) -> Tensor:
    """The motion ``actions`` (B, H, 7) away from poses ``other`` (B, 7), begun at poses ``own`` (B, 7) instead.

    Positions shift and orientations turn as they do in the base frame; the gripper is that of ``actions``.
    """
    start, there, path = (pose_to_matrix(poses.numpy()) for poses in (own, other, actions))
    moved = path.copy()
    moved[..., :3, 3] += (start - there)[:, None, :3, 3]
    turn = path[..., :3, :3] @ there[:, None, :3, :3].swapaxes(-1, -2)
    moved[..., :3, :3] = turn @ start[:, None, :3, :3]
    return torch.cat([torch.from_numpy(matrix_to_pose(moved)).float(), actions[..., 6:]], dim=-1)
