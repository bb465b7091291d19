"""U_beta and R_l at full size, together (paper A.6); no gradient reaches the video model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.ctrl_world.bundle import fresh_heads, load_relevance, load_world_model
from models.ctrl_world.bundle_config import read_config
from models.ctrl_world.footage import Footage, condition_of
from models.interfaces import Imagined
from models.training.clips import Batch
from models.training.heads_stage import judged_maps
from models.training.loop import Draw

STEPS = (1, 2, 4)
"""Flow-map steps whose predictions are judged."""
REAL_SHARE = 0.5
"""Share of the steps in which the return head sees what really followed."""
JUDGED = 4
"""Held-out clips that the figures are of."""


class CtrlWorldHeadsStage:
    """See `training.loop.Stage`; starts from a bundle whose flow map is trained."""

    name = "ctrl-world-heads"

    def __init__(self, bundle: Path, data: Path, seed: int = 0, cache: Path | None = None) -> None:
        """Load the bundle and both splits, whose latents are cached in ``cache`` (`CachedLatents`).

        Raises:
            BundleError: The bundle cannot be loaded, or has no CLIP or SigLIP.
            DatasetError: The data cannot be used.
        """
        self.config = read_config(bundle)
        self.model = load_world_model(bundle)
        self.semantic = load_relevance(bundle, self.model)
        offsets, self.horizon = self.config.history_offsets, self.config.horizon
        self.training, self.held_out = (
            Footage(data, split, offsets, self.horizon, cache) for split in ("train", "val")
        )
        torch.manual_seed(seed)
        self.uncertainty, self.value = fresh_heads(self.model, self.config.cameras)
        self.module = nn.ModuleDict({"uncertainty": self.uncertainty, "value": self.value})

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `training.loop.Stage`."""
        rows = draw.mine(self.training.clips.draw(batch, draw.rows))
        clips = draw.place(self.training.clips.at(rows))
        steps, real = int(draw.rows.choice(STEPS)), draw.rows.random() < REAL_SHARE
        noise = draw.mine(torch.randn((batch, 1 + self.horizon, *clips.history.shape[2:]), generator=draw.noise))
        imagined = self._imagine(clips, self.training, noise, steps)
        per_row = [np.random.default_rng([int(row), steps]) for row in rows]
        some = torch.from_numpy(judged_maps(self.horizon * self.model.views, per_row))
        uncertainty = self.uncertainty.loss(imagined, clips.future, draw.place(some))
        if real:
            imagined = Imagined(clips.future, clips.history, clips.history_poses, clips.actions)
        returns = draw.place(self.training.returns(rows, self.horizon, self.config.gamma))
        value = self.value.loss(imagined, self._relevance(imagined.latents, self.training.phrases_of(rows)), returns)
        return uncertainty + value, {"uncertainty": uncertainty.item(), "value": value.item()}

    def notes(self) -> dict[str, Any]:
        """See `training.loop.Stage`."""
        return {"clips": len(self.training.clips), "gamma": self.config.gamma}

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """Held-out cross-entropies in nats, of one flow-map step."""
        batch = self.held_out.clips.spread(JUDGED)
        noise = self.model.initial_noise(batch.history, torch.Generator().manual_seed(1))
        imagined = self._imagine(batch, self.held_out, noise, 1)
        relevance = self._relevance(imagined.latents, self.held_out.phrases_of(batch.rows))
        returns = self.held_out.returns(batch.rows, self.horizon, self.config.gamma)
        return {
            "clips": len(batch.rows),
            "uncertainty": round(self.uncertainty.loss(imagined, batch.future).item(), 4),
            "value": round(self.value.loss(imagined, relevance, returns).item(), 4),
        }

    @torch.no_grad()
    def _imagine(self, clips: Batch, footage: Footage, noise: Tensor, steps: int) -> Imagined:
        video = self.model.flow_map.sample(noise, condition_of(self.model, clips, footage), steps)
        return Imagined(video[:, 1:].float(), clips.history, clips.history_poses, clips.actions)

    def _relevance(self, latents: Tensor, phrases: list[str]) -> Tensor:
        """``(B, H, V, 4h, 4w)``, one phrase per row; nothing is relevant to an empty one."""
        maps = [
            self.semantic.relevance(clip, phrase or "object") * bool(phrase)
            for clip, phrase in zip(latents.split(1), phrases, strict=True)
        ]
        return torch.cat(maps)
