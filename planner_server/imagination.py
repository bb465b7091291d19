"""What the planner imagines from: encoded history, the committed prefix, and one noise shared by all candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.interfaces import Imagined, WorldModel


@dataclass(frozen=True)
class Scene:
    """The present of a plan, on the model's device, batch 1.

    Attributes:
        history: ``(1, T, C, V*h, w)`` latents at the history offsets before the chunk.
        poses: ``(1, T, 7)`` poses at these frames: measured where observed, commanded where imagined.
        noise: Initial noise of every imagination of this plan, so that candidates differ by their actions alone; as
            the world model draws it, e.g. ``(1, H, C, V*h, w)``.
        instruction: What the robot was asked to do.
    """

    history: Tensor
    poses: Tensor
    noise: Tensor
    instruction: str = ""

    def imagine(self, world_model: WorldModel, actions: Tensor, steps: int) -> Imagined:
        """V_theta(o, a) for a batch of chunks ``(B, H, 7)``, differentiable with respect to them."""
        B = len(actions)
        return world_model.imagine(
            self.history.expand(B, *self.history.shape[1:]),
            self.poses.expand(B, *self.poses.shape[1:]),
            actions,
            steps=steps,
            noise=self.noise.expand(B, *self.noise.shape[1:]),
            instruction=self.instruction,
        )

    def after(
        self, world_model: WorldModel, committed: Tensor, offsets: Sequence[int], steps: int, horizon: int
    ) -> Scene:
        """The scene after the committed prefix was carried out, imagined: the prefix is frozen, plans come after it.

        Args:
            world_model: V_theta.
            committed: ``(P, 7)`` poses already promised to the arm, P >= 1; longer than the horizon is imagined in
                several rounds.
            offsets: History offsets in frames, oldest first, e.g. ``(-1, 0)``.
            steps: Flow map steps.
            horizon: H, frames per imagination.
        """
        scene, rest = self, committed
        while len(rest):
            part, rest = rest[:horizon], rest[horizon:]
            held = torch.cat([part, part[-1:].expand(horizon - len(part), -1)])
            imagined = scene.imagine(world_model, held[None], steps)
            scene = scene._advance(imagined.latents[:, : len(part)], part[None], offsets)
        return scene

    def _advance(self, latents: Tensor, poses: Tensor, offsets: Sequence[int]) -> Scene:
        """History at the same offsets, seen from the last of the new frames."""
        frames, path = torch.cat([self.history, latents], 1), torch.cat([self.poses, poses], 1)
        P, T = poses.shape[1], len(offsets)
        picked = []
        for offset in offsets:
            frame = P + offset  # 1..P imagined, 0 and below observed
            if frame >= 1:
                picked.append(T + frame - 1)
            else:
                # Observed frames exist only at the offsets: take the newest that is not newer than the one wanted.
                picked.append(max((i for i, known in enumerate(offsets) if known <= frame), default=0))
        return replace(self, history=frames[:, picked], poses=path[:, picked])


def shared_noise(world_model: WorldModel, history: Tensor, seed: int) -> Tensor:
    """Noise of a seed for a history of batch 1; drawn on the CPU so that every device gets the same."""
    return world_model.initial_noise(history, torch.Generator().manual_seed(seed % 2**63))
