"""The ways to imagine that an evaluation compares: the flow map in k steps, and the diffusion model, its teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.bundle import Bundle
from models.evaluation.footage import CHUNK
from models.interfaces import Imagined
from models.training.clips import Batch
from models.video_model import VideoModel


@dataclass(frozen=True)
class Walk:
    """One way from noise to a video.

    Attributes:
        name: How the report calls it.
        steps: Flow map steps, or Euler steps of the teacher.
        teacher: Walk with the diffusion model.
        guided: The teacher with its classifier-free guidance, where the model has one.
    """

    name: str
    steps: int
    teacher: bool = False
    guided: bool = True

    @torch.no_grad()
    def __call__(self, model: VideoModel, history: Tensor, poses: Tensor, actions: Tensor, noise: Tensor) -> Tensor:
        """Imagined latents ``(B, H, C, V*h, w)``; shapes as in `interfaces.WorldModel.imagine`."""
        extra: dict[str, Any] = {"teacher": True} if self.teacher else {}
        if self.teacher and not self.guided:
            extra["guidance"] = 1.0
        return model.imagine(history, poses, actions, steps=self.steps, noise=noise, **extra).latents

    def clips(
        self,
        bundle: Bundle,
        batch: Batch,
        noise: Tensor,
        actions: Tensor | None = None,
        tick: Callable[[float], None] | None = None,
    ) -> Imagined:
        """Imagine every clip of a batch, some at a time; ``tick`` is told the share that is done."""
        actions = batch.actions if actions is None else actions
        parts = []
        for rows in torch.arange(len(noise)).split(CHUNK):
            parts.append(
                self(bundle.world_model, batch.history[rows], batch.history_poses[rows], actions[rows], noise[rows])
            )
            if tick:
                tick((int(rows[-1]) + 1) / len(noise))
        return Imagined(torch.cat(parts), batch.history, batch.history_poses, actions)


def flow_map(steps: int) -> Walk:
    """The flow map in ``steps`` steps."""
    return Walk(str(steps), steps)


def teachers(model: VideoModel, steps: int) -> list[Walk]:
    """The teacher, and where it has guidance, the same without."""
    guided = Walk(str(steps), steps, teacher=True)
    return [guided] if guidance_of(model) is None else [guided, Walk(f"{steps}, no guidance", steps, True, False)]


def guidance_of(model: VideoModel) -> float | None:
    """Strength of the teacher's guidance, None for a model without."""
    strength = getattr(model, "guidance", None)
    return None if strength in (None, 1.0) else float(strength)
