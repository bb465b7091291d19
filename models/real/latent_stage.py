"""Training of the latent denoiser: from scratch, or on from weights that exist (which is what fine-tuning is)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.edm import NoiseLevels, diffusion_loss
from models.errors import DatasetError, TrainingError
from models.real.clips import ObservedClips
from models.real.held_out import CLIPS, history_blend, latent_figures
from models.real.latent_model import HISTORY_OFFSETS, HORIZON, LatentConfig, LatentModel
from models.real.latents import LatentEpisodes
from models.training.loop import Draw

SHORTEST = 1 - min(HISTORY_OFFSETS) + HORIZON
"""Frames of the shortest episode that holds a clip."""
SCALE_CLIPS = 1000


class LatentStage:
    """Eq. 2 on clips of latents; see `training.loop.Stage`."""

    name = "latent-denoiser"

    def __init__(self, data: Path, seed: int = 0, init: Path | None = None, config: LatentConfig | None = None) -> None:
        """Read both splits and make the model.

        Args:
            data: Folder of a dataset whose annotations name latents.
            seed: Seed of fresh weights.
            init: Weights to go on from; None: fresh ones.
            config: Size of the model.

        Raises:
            DatasetError: The data cannot be used.
            TrainingError: ``init`` cannot be used.
        """
        self.training, self.held_out = (LatentEpisodes(data, split, SHORTEST) for split in ("train", "val"))
        self.clips, self.held_out_clips = (
            ObservedClips(split.spans, split.poses, split.latents, HISTORY_OFFSETS, HORIZON)
            for split in (self.training, self.held_out)
        )
        torch.manual_seed(seed)
        self.module = LatentModel(config)
        if init is None:
            self.module.change_scale.copy_(change_scale(self.clips))
            self._scale_poses(data / "stat.json")
        else:
            load_weights(self.module, init)

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `training.loop.Stage`."""
        model = self.module
        clips = draw.place(self.clips.at(draw.mine(self.clips.draw(batch, draw.rows))))
        shape = (batch, *clips.future.shape[1:])
        noise = draw.mine(torch.randn(shape, generator=draw.noise))
        sigma = draw.mine(NoiseLevels().sample(batch, model.edm, draw.noise))
        poses = torch.cat([clips.history_poses, clips.actions], dim=1)
        network = lambda x, c_noise: model(x, c_noise, clips.history, poses)  # noqa: E731
        clean = model.to_changes(clips.future, clips.history)
        return diffusion_loss(model.edm, network, clean, noise, sigma).mean(), {}

    def notes(self) -> dict[str, Any]:
        """See `training.loop.Stage`."""
        return {
            "history_offsets": HISTORY_OFFSETS,
            "horizon": HORIZON,
            "change_scale": [round(value, 4) for value in self.module.change_scale.tolist()],
            "parameters": sum(p.numel() for p in self.module.parameters()),
            "clips": len(self.clips),
        }

    def metrics(self) -> dict[str, Any]:
        """Held-out figures of one step from pure noise, and the same of training clips."""
        return {"val": self.figures(self.held_out_clips), "train": self.figures(self.clips)}

    def figures(self, clips: ObservedClips) -> dict[str, Any]:
        """Figures of up to 256 clips; true and swapped actions see the same noise."""
        self.module.eval()

        def predict(history: Tensor, poses: Tensor, actions: Tensor) -> Tensor:
            shape = (len(history), HORIZON, *history.shape[2:])
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
            return self.module.predict(history, poses, actions, noise)

        return latent_figures(predict, clips, clips.spread(CLIPS))[0]

    def baseline(self) -> dict[str, Any]:
        """Held-out figures of the blend of the history frames that fits the training clips best."""
        blend = history_blend(self.clips.spread(SCALE_CLIPS))
        clips = self.held_out_clips
        return latent_figures(blend, clips, clips.spread(CLIPS))[0]

    def _scale_poses(self, statistics: Path) -> None:
        if not statistics.is_file():
            return
        try:
            values = json.loads(statistics.read_text())
            bounds = [torch.tensor(np.array(values[key], np.float32)) for key in ("state_01", "state_99")]
            lowest, highest = bounds
            if lowest.shape != (7,) or highest.shape != (7,) or not (highest > lowest).all():
                raise ValueError("need seven values each, the second higher")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{statistics}: no usable state_01 and state_99: {error}") from error
        self.module.lowest.copy_(lowest)
        self.module.highest.copy_(highest)


def change_scale(clips: ObservedClips) -> Tensor:
    """Standard deviation ``(H,)`` of the latent change after 1..H frames."""
    batch = clips.spread(SCALE_CLIPS)
    return (batch.future - batch.history[:, -1:]).square().mean(dim=(0, 2, 3, 4)).sqrt()


def load_weights(module: torch.nn.Module, file: Path) -> None:
    """Put saved weights into a module.

    Raises:
        TrainingError: The file is missing, damaged, or of another model.
    """
    try:
        weights = load_file(file)
    except Exception as error:  # safetensors has its own error type besides OSError
        raise TrainingError(f"{file} is not a safetensors file that can be read: {error}") from error
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise TrainingError(f"{file} holds the weights of another model: {error}") from error
