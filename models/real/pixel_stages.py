"""Fine-tuning of a bundle on real frames: first its autoencoder, then its diffusion model in the new latents.

Real episodes have no calibrated cameras, so the tool heat maps are drawn with the bundle's own. What this cannot carry
over are the flow map's jumps and the heads: they belong to the weights they were trained with.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.autoencoder import reconstruction_loss
from models.bundle import Bundle
from models.data import Dataset
from models.edm import NoiseLevels, diffusion_loss
from models.real.clips import ObservedClips
from models.real.pixel_figures import pixel_figures, reconstruction_psnr
from models.training.latents import cache_latents, open_latents
from models.training.loop import Draw

HISTORY_NOISE = 0.05
"""Largest noise on the history latents in training: imagined frames are history too, later."""


class PixelData:
    """Both splits of real footage, at a bundle's size and view order."""

    def __init__(self, data: Path, bundle: Bundle, cache: Path) -> None:
        """Read and decode both splits.

        Args:
            data: The dataset's folder; nothing is written there.
            bundle: Says size, views, history and horizon.
            cache: Folder for decoded frames and latents.

        Raises:
            DatasetError: The data cannot be used.
        """
        config = bundle.config
        self.bundle, self.cache = bundle, cache
        self._clips: dict[tuple[str, str], ObservedClips] = {}
        shortest = 1 - min(config.history_offsets) + config.horizon
        self.training, self.held_out = (
            Dataset(
                data, split, image_size=config.image_size, views=config.views, shortest=shortest, cache=cache / "frames"
            )
            for split in ("train", "val")
        )

    def clips(self, split: Dataset) -> ObservedClips:
        """Clips of a split, encoded by the autoencoder as it is now (kept in the cache under its weights)."""
        autoencoder, config = self.bundle.world_model.autoencoder.eval(), self.bundle.config
        digest = hashlib.sha256()
        for value in autoencoder.state_dict().values():
            digest.update(value.numpy().tobytes())
        key = (digest.hexdigest(), split.split)
        if key not in self._clips:
            folder = self.cache / f"latents-{key[0][:12]}"
            cache_latents(autoencoder, key[0], split, folder)
            self._clips[key] = ObservedClips(
                [(cached.start, cached.length) for cached in split.episodes],
                split.per_frame("poses"),
                open_latents(autoencoder, split, folder),
                config.history_offsets,
                config.horizon,
            )
        return self._clips[key]


class AutoencoderStage:
    """Reconstruct single views of real frames; see `training.loop.Stage`."""

    name = "real-autoencoder"

    def __init__(self, data: PixelData) -> None:
        self.data = data
        self.module = data.bundle.world_model.autoencoder.requires_grad_(True)

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `training.loop.Stage`."""
        frames = self.data.training.frames
        rows, views = (draw.rows.integers(count, size=batch) for count in frames.shape[:2])
        images = torch.from_numpy(frames[draw.mine(rows), draw.mine(views)])
        pixels = draw.place(images).permute(0, 3, 1, 2).float() / 255
        return reconstruction_loss(pixels, self.module(pixels)), {}

    def notes(self) -> dict[str, Any]:
        """See `training.loop.Stage`."""
        return {"frames": len(self.data.training)}

    def metrics(self) -> dict[str, Any]:
        """PSNR [dB] of reconstructed held-out frames."""
        return {"psnr": reconstruction_psnr(self.data.bundle, self.data.held_out)}


class WorldModelStage:
    """Eq. 2 on clips of encoded real frames, with the bundle's unit of changes; see `training.loop.Stage`."""

    name = "real-world-model"

    def __init__(self, data: PixelData) -> None:
        self.data = data
        self.model = data.bundle.world_model
        self.module = self.model.denoiser
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(not name.startswith("second_time"))  # a diffusion model has one time
        self.clips = data.clips(data.training)

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `training.loop.Stage`."""
        clips = draw.place(self.clips.at(draw.mine(self.clips.draw(batch, draw.rows))))
        strength = HISTORY_NOISE * torch.rand(batch, 1, 1, 1, 1, generator=draw.noise)
        grain = strength * torch.randn((batch, *clips.history.shape[1:]), generator=draw.noise)
        noise = draw.mine(torch.randn((batch, *clips.future.shape[1:]), generator=draw.noise))
        sigma = draw.mine(NoiseLevels().sample(batch, self.data.bundle.config.edm, draw.noise))
        clean = self.model.to_changes(clips.future, clips.history)
        condition = self.model.condition(clips.history + draw.mine(grain), clips.history_poses, clips.actions)
        network = lambda x, c_noise: self.module(x, c_noise, condition, None)  # noqa: E731
        return diffusion_loss(self.data.bundle.config.edm, network, clean, noise, sigma).mean(), {}

    def notes(self) -> dict[str, Any]:
        """See `training.loop.Stage`."""
        return {"clips": len(self.clips), "frames": len(self.data.training)}

    def metrics(self) -> dict[str, Any]:
        """Held-out figures, and the same of training clips."""
        held_out = self.data.clips(self.data.held_out)
        return {
            "val": pixel_figures(self.data.bundle, self.data.held_out, held_out),
            "train": pixel_figures(self.data.bundle, self.data.training, self.clips),
        }
