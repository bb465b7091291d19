"""Stages ``probe-...``: one of C3's probes on what the finished flow map imagines, on the same clips as the heads."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.denoiser import FramesAsChannelsUNet
from models.metrics import calibration
from models.self_distillation import JumpTimes, PsdDraws, psd_loss
from models.training.clips import Batch
from models.training.disturbances import disturb
from models.training.heads_stage import DISTURBED_SHARE, STEPS
from models.training.loop import Draw
from models.training.names import PROBE_SCALES, ProbeKind
from models.training.workshop import Workshop
from models.training.world_model_stage import condition_of, relative_errors, training_clips
from models.uncertainty.c3 import Featured, FeaturedVideoModel, Probe, ProbeConfig, make_probe
from models.uncertainty.c3.probe import draw_eps

CLIPS = 96
"""Held-out clips measured when a probe is finished."""


class ProbeStage:
    """See the module's docstring; the flow map stays as it is, unless the kind is end to end."""

    def __init__(self, workshop: Workshop, kind: ProbeKind) -> None:
        preset = workshop.preset
        self.name, self.kind = kind.stage, kind
        self.clips, self.held_out = workshop.clips(workshop.training), workshop.clips(workshop.held_out)
        denoiser = FramesAsChannelsUNet(preset.denoiser)
        workshop.load("flow-map", denoiser)
        self.model = FeaturedVideoModel(
            workshop.autoencoder(),
            denoiser,
            preset.edm,
            workshop.cameras,
            preset.image_size,
            workshop.report("world-model")["notes"]["change_scale"],
        ).eval()
        torch.manual_seed(preset.loops[self.name].seed)
        self.probe: Probe = make_probe(
            ProbeConfig(
                variant=kind.variant,
                score=kind.score,
                eps=kind.eps,
                scale=workshop.report("heads")["notes"]["error_range"],
                features=preset.widths[0],
                latent_channels=preset.denoiser.latent_channels,
                rows=preset.denoiser.rows,
                columns=preset.denoiser.columns,
                views=len(preset.views),
                horizon=preset.horizon,
            )
        )
        self.module = nn.ModuleDict({"probe": self.probe})
        if kind.end_to_end:
            self.module["denoiser"] = denoiser.requires_grad_(True)

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        steps = int(draw.rows.choice(STEPS))
        clips = training_clips(self.clips, self.model, batch, draw, steps=min(steps, 1))
        flow = self._flow_loss(clips, batch, draw) if self.kind.end_to_end else torch.zeros(())
        per_row = [np.random.default_rng(seed) for seed in draw.mine(draw.rows.integers(2**62, size=batch))]
        maps_of = self.model.conditioner.heat_maps
        clips = disturb(self.clips, clips, DISTURBED_SHARE, self.model.autoencoder, maps_of, per_row)
        noise = draw.mine(torch.randn(batch, *clips.future.shape[1:], generator=draw.noise))
        with torch.set_grad_enabled(self.kind.end_to_end):
            imagined = self._imagine(clips, steps, noise)
        eps = draw.mine(draw_eps(batch, draw.noise))
        score = self.probe.loss(imagined, clips.future, eps, detached=not self.kind.end_to_end)
        return flow + score, {self.kind.score: score.item()}

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        return {"probe": dataclasses.asdict(self.probe.config), "end_to_end": self.kind.end_to_end}

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """Calibration of the expected future at every scale the probe knows, and what is left of the video."""
        batch = self.held_out.spread(CLIPS)
        noise = self.model.initial_noise(batch.history, torch.Generator().manual_seed(3))
        imagined = self._imagine(batch, 0, noise)
        error = self.probe.split((imagined.latents - batch.future).abs().flatten(0, 1)) / self.probe.config.scale
        scales = (self.kind.eps,) if self.kind.variant == "fixed" else PROBE_SCALES
        figures: dict[str, Any] = {}
        for eps in scales:
            parts = torch.arange(len(error)).split(8)
            confidence = torch.cat([self.probe.confidence(imagined.rows(rows), eps) for rows in parts])
            ece, mce = calibration(confidence.clamp(0, 1).numpy(), (error <= eps).numpy())
            figures[f"eps {eps:g}"] = {"ece": round(ece, 4), "mce": round(mce, 4)}
        if self.kind.end_to_end:
            figures["video"] = relative_errors(self.model, batch, 0)
        return figures

    def _imagine(self, clips: Batch, steps: int, noise: Tensor) -> Featured:
        return self.model.imagine(clips.history, clips.history_poses, clips.actions, steps=steps, noise=noise)

    def _flow_loss(self, clips: Batch, batch: int, draw: Draw) -> Tensor:
        """Algorithm 2's loss, as in `FlowMapStage`."""
        clean = self.model.to_changes(clips.future, clips.history)
        condition = condition_of(self.model, clips, batch, draw)
        draws = PsdDraws.sample((batch, *clean.shape[1:]), JumpTimes(), draw.noise).map(draw.mine)
        flow, distill = psd_loss(self.model.flow_map, clean, condition, draws)
        return flow + distill
