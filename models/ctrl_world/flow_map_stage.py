"""Algorithm 2 at full size: an imported Ctrl-World becomes a flow map, on precomputed latents of DROID's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.ctrl_world.bundle import load_world_model
from models.ctrl_world.conditioning import ConditionNoise
from models.ctrl_world.footage import Footage, condition_of
from models.self_distillation import JumpTimes, PsdDraws, psd_loss
from models.training.loop import Draw, place

JUDGED = 4
"""Held-out clips that the figures are of: a forward pass of the whole network takes seconds on a processor."""


class CtrlWorldFlowMapStage:
    """See `training.loop.Stage`; starts from the weights of a bundle."""

    name = "ctrl-world-flow-map"

    def __init__(self, bundle: Path, data: Path, cache: Path | None = None) -> None:
        """Load the bundle and both splits, whose latents are cached in ``cache`` (`CachedLatents`).

        Raises:
            BundleError: The bundle cannot be loaded.
            DatasetError: The data cannot be used.
        """
        self.model = load_world_model(bundle)
        config = self.model.config
        self.training, self.held_out = (
            Footage(data, split, config.history_offsets, config.horizon, cache) for split in ("train", "val")
        )
        self.module = self.model.denoiser.requires_grad_(True)
        self.module.checkpoint_activations()

    def shards(self) -> list[nn.Module]:
        """See `training.engine_run.CanBeSharded`: the blocks of the U-Net."""
        unet = self.module.unet
        return [*unet.down_blocks, unet.mid_block, *unet.up_blocks]

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `training.loop.Stage`."""
        footage, config = self.training, self.model.config
        rows = draw.mine(footage.clips.draw(batch, draw.rows))
        clips = draw.place(footage.clips.at(rows))
        clean = torch.cat([clips.history[:, -1:], clips.future], dim=1)
        noise = ConditionNoise.sample(config, batch, draw.noise).map(draw.mine)
        condition = condition_of(self.model, clips, footage).noised(noise)
        draws = PsdDraws.sample((batch, *clean.shape[1:]), JumpTimes(), draw.noise).map(draw.mine)
        flow, distill = psd_loss(self.model.flow_map, clean, condition, draws)
        return flow + distill, {"flow": flow.item(), "distill": distill.item()}

    def notes(self) -> dict[str, Any]:
        """See `training.loop.Stage`."""
        return {
            "clips": len(self.training.clips),
            "frames": len(self.training.episodes.latents),
            "parameters": sum(parameter.numel() for parameter in self.module.parameters()),
        }

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """Held-out squared error of one and four steps, over that of repeating the current frame."""
        batch = place(self.held_out.clips.spread(JUDGED), next(self.module.parameters()).device)
        condition = condition_of(self.model, batch, self.held_out)
        noise = self.model.initial_noise(batch.history, torch.Generator().manual_seed(1))
        still = (batch.history[:, -1:] - batch.future).square().mean()
        figures: dict[str, Any] = {"clips": len(batch.rows)}
        for steps in (1, 4):
            video = self.model.flow_map.sample(noise, condition, steps)[:, 1:]
            figures[f"{steps} step(s)"] = round(((video - batch.future).square().mean() / still).item(), 4)
        return figures
