"""Stage ``flow-map``: the diffusion model becomes a flow map, Algorithm 2."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from models.denoiser import FramesAsChannelsUNet
from models.self_distillation import JumpTimes, PsdDraws, psd_loss
from models.training.loop import Draw
from models.training.samples import sample_videos
from models.training.workshop import Workshop
from models.training.world_model_stage import condition_of, relative_errors, training_clips


class FlowMapStage:
    """Starts from the weights of ``world-model``."""

    name = "flow-map"

    def __init__(self, workshop: Workshop) -> None:
        self.clips, self.held_out = workshop.clips(workshop.training), workshop.clips(workshop.held_out)
        denoiser = FramesAsChannelsUNet(workshop.preset.denoiser)
        workshop.load("world-model", denoiser)
        self.module = denoiser.requires_grad_(True)
        self.model = workshop.wrap(denoiser, workshop.report("world-model")["notes"]["change_scale"])

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        clips = training_clips(self.clips, self.model, batch, draw, steps=1)
        clean = self.model.to_changes(clips.future, clips.history)
        condition = condition_of(self.model, clips, batch, draw)
        draws = PsdDraws.sample((batch, *clean.shape[1:]), JumpTimes(), draw.noise).map(draw.mine)
        flow, distill = psd_loss(self.model.flow_map, clean, condition, draws)
        return flow + distill, {"flow": flow.item(), "distill": distill.item()}

    def samples(self) -> dict[str, np.ndarray]:
        """See `engine_run.ShowsSamples`: four steps of the flow map."""
        return sample_videos(self.model, self.held_out, 4)

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        return {"clips": len(self.clips), "frames": len(self.clips.latents)}

    def metrics(self) -> dict[str, Any]:
        """Held-out relative errors: expected future, 1, 2 and 4 steps, 20 steps of the diffusion model."""
        batch = self.held_out.spread(256)
        figures = {f"{steps} step(s)": relative_errors(self.model, batch, steps) for steps in (0, 1, 2, 4)}
        return {**figures, "diffusion, 20 steps": relative_errors(self.model, batch, 20, teacher=True)}
