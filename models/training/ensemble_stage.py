"""Stages ``ensemble-...``: members of a deep ensemble, each the finished flow map gone on with from other data.

Three world models from nothing would cost three times the training of a bundle. Members start from the finished flow
map instead and part from there: each sees its own bootstrap of the training episodes, in its own order, at a high rate.
They learn the expected future only, with which planners look ahead; at other numbers of steps they are no good.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from torch import Tensor

from models.denoiser import FramesAsChannelsUNet
from models.training.clips import Clips
from models.training.config import LoopConfig
from models.training.loop import Draw
from models.training.workshop import Workshop
from models.training.world_model_stage import condition_of, relative_errors, training_clips

MEMBERS = 3
LOOP = LoopConfig(batch=16, rate=1e-3, steps=150, average=0.02)


class EnsembleStage:
    """One member."""

    def __init__(self, workshop: Workshop, member: int) -> None:
        self.name, self.member = f"ensemble-{member}", member
        self.clips = bootstrap(workshop.clips(workshop.training), np.random.default_rng([7, member]))
        self.held_out = workshop.clips(workshop.held_out)
        denoiser = FramesAsChannelsUNet(workshop.preset.denoiser)
        workshop.load("flow-map", denoiser)
        self.module = denoiser.requires_grad_(True)
        denoiser.second_time.requires_grad_(False)  # the expected future has one time
        self.model = workshop.wrap(denoiser, workshop.report("world-model")["notes"]["change_scale"])

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`: squared error of the expected future, in the diffusion model's unit."""
        clips = training_clips(self.clips, self.model, batch, draw, steps=0)
        clean = self.model.to_changes(clips.future, clips.history)
        condition = condition_of(self.model, clips, batch, draw)
        noise = self.model.initial_noise(clips.history, draw.noise)
        return (self.model.flow_map.sample(noise, condition, 0) - clean).square().mean(), {}

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        return {"member": self.member, "clips": len(self.clips), "distinct clips": len(np.unique(self.clips.starts))}

    def metrics(self) -> dict[str, Any]:
        """Held-out error of the expected future relative to repeating the newest frame."""
        return relative_errors(self.model, self.held_out.spread(96), steps=0)


def bootstrap(clips: Clips, rng: np.random.Generator) -> Clips:
    """The clips of as many episodes as there are, drawn with replacement."""
    ends = np.array([episode.start + episode.length for episode in clips.data.episodes])
    episode_of = np.searchsorted(ends, clips.starts, side="right")
    drawn = np.bincount(rng.integers(len(ends), size=len(ends)), minlength=len(ends))
    some = copy.copy(clips)
    some.starts = np.repeat(clips.starts, drawn[episode_of])
    return some
