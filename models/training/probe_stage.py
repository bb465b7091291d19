"""Stages ``probe-...``: C3's probes on what the finished flow map imagines, on the same clips as the heads."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

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
    """One or several probes on the same clips; the flow map stays as it is, unless a single kind is end to end.

    Probes that train together share nothing but the clips (and the clipping of their common gradient's norm), so their
    scores can be compared clip by clip; imagining the clips, most of the work, is done once.
    """

    def __init__(self, workshop: Workshop, *kinds: ProbeKind, name: str = "") -> None:
        """Begin.

        Args:
            workshop: With a finished flow map and heads, whose error scale the probes take.
            kinds: What to train.
            name: Of the stage; that of the kind by default.
        """
        preset = workshop.preset
        self.name, self.kinds = name or kinds[0].stage, kinds
        self.end_to_end = any(kind.end_to_end for kind in kinds)
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
        self.probes = nn.ModuleList([_fresh_probe(workshop, kind, preset.loops[kind.stage].seed) for kind in kinds])
        self.module = nn.ModuleDict({"probe": self.probes[0]} if len(kinds) == 1 else {"probes": self.probes})
        if self.end_to_end:
            self.module["denoiser"] = denoiser.requires_grad_(True)

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        steps = int(draw.rows.choice(STEPS))
        clips = training_clips(self.clips, self.model, batch, draw, steps=min(steps, 1))
        total = self._flow_loss(clips, batch, draw) if self.end_to_end else torch.zeros(())
        clips = self._disturbed(clips, batch, draw)
        noise = draw.mine(torch.randn(batch, *clips.future.shape[1:], generator=draw.noise))
        with torch.set_grad_enabled(self.end_to_end):
            imagined = self._imagine(clips, steps, noise)
        eps = draw.mine(draw_eps(batch, draw.noise))
        figures = {}
        for kind, probe in self._pairs():
            score = probe.loss(imagined, clips.future, eps, detached=not self.end_to_end)
            total = total + score
            figures[kind.score if len(self.kinds) == 1 else kind.stage] = score.item()
        return total, figures

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        configs = {kind.stage: dataclasses.asdict(probe.config) for kind, probe in self._pairs()}
        if len(configs) > 1:
            return {"probes": configs}
        return {"probe": configs[self.kinds[0].stage], "end_to_end": self.end_to_end}

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """Calibration of the expected future at every scale a probe knows, and what is left of the video."""
        batch = self.held_out.spread(CLIPS)
        noise = self.model.initial_noise(batch.history, torch.Generator().manual_seed(3))
        imagined = self._imagine(batch, 0, noise)
        found = {kind.stage: _calibration(kind, probe, imagined, batch.future) for kind, probe in self._pairs()}
        figures: dict[str, Any] = found if len(found) > 1 else found[self.kinds[0].stage]
        if self.end_to_end:
            figures["video"] = relative_errors(self.model, batch, 0)
        return figures

    @torch.no_grad()
    def judged_clips(self, batch: int, draw: Draw) -> tuple[Featured, Tensor]:
        """Clips as they are trained on, of the expected future only, and what really followed."""
        clips = self._disturbed(training_clips(self.clips, self.model, batch, draw, steps=0), batch, draw)
        noise = draw.mine(torch.randn(batch, *clips.future.shape[1:], generator=draw.noise))
        return self._imagine(clips, 0, noise), clips.future

    def _pairs(self) -> list[tuple[ProbeKind, Probe]]:
        return list(zip(self.kinds, cast("list[Probe]", list(self.probes)), strict=True))

    def _disturbed(self, clips: Batch, batch: int, draw: Draw) -> Batch:
        per_row = [np.random.default_rng(seed) for seed in draw.mine(draw.rows.integers(2**62, size=batch))]
        maps_of = self.model.conditioner.heat_maps
        return disturb(self.clips, clips, DISTURBED_SHARE, self.model.autoencoder, maps_of, per_row)

    def _imagine(self, clips: Batch, steps: int, noise: Tensor) -> Featured:
        return self.model.imagine(clips.history, clips.history_poses, clips.actions, steps=steps, noise=noise)

    def _flow_loss(self, clips: Batch, batch: int, draw: Draw) -> Tensor:
        """Algorithm 2's loss, as in `FlowMapStage`."""
        clean = self.model.to_changes(clips.future, clips.history)
        condition = condition_of(self.model, clips, batch, draw)
        draws = PsdDraws.sample((batch, *clean.shape[1:]), JumpTimes(), draw.noise).map(draw.mine)
        flow, distill = psd_loss(self.model.flow_map, clean, condition, draws)
        return flow + distill


def _fresh_probe(workshop: Workshop, kind: ProbeKind, seed: int) -> Probe:
    preset = workshop.preset
    torch.manual_seed(seed)
    return make_probe(
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


def _calibration(kind: ProbeKind, probe: Probe, imagined: Featured, future: Tensor) -> dict[str, Any]:
    error = probe.split((imagined.latents - future).abs().flatten(0, 1)) / probe.config.scale
    figures = {}
    for eps in (kind.eps,) if kind.variant == "fixed" else PROBE_SCALES:
        parts = torch.arange(len(error)).split(8)
        confidence = torch.cat([probe.confidence(imagined.rows(rows), eps) for rows in parts])
        ece, mce = calibration(confidence.clamp(0, 1).numpy(), (error <= eps).numpy())
        figures[f"eps {eps:g}"] = {"ece": round(ece, 4), "mce": round(mce, 4)}
    return figures
