"""The ways to imagine that an evaluation compares: the flow map in k steps, and the diffusion model, its teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.bundle import Bundle
from models.evaluation.footage import CHUNK
from models.evaluation.options import Options
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
        guidance: Strength of the teacher's classifier-free guidance at the first and the last frame.
    """

    name: str
    steps: int
    teacher: bool = False
    guidance: tuple[float, float] | None = None

    @torch.no_grad()
    def __call__(self, model: VideoModel, history: Tensor, poses: Tensor, actions: Tensor, noise: Tensor) -> Tensor:
        """Imagined latents ``(B, H, C, V*h, w)``; shapes as in `interfaces.WorldModel.imagine`."""
        return model.imagine(
            history, poses, actions, steps=self.steps, noise=noise, teacher=self.teacher, guidance=self.guidance
        ).latents

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
    """The flow map in ``steps`` steps; 0 is the expected future."""
    return Walk(str(steps), steps)


def teacher(options: Options) -> Walk:
    """What the flow map was distilled from: the diffusion model as it is trained, without guidance."""
    return Walk(str(options.teacher_steps), options.teacher_steps, teacher=True)


def guided_teacher(options: Options) -> Walk:
    """The same with guidance, which costs two passes per step."""
    return Walk(f"{options.teacher_steps}, guidance", options.teacher_steps, True, options.guidance)
