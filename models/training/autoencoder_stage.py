"""Stage ``autoencoder``: reconstruct single views, also where the latents were moved on the way.

Half of the rows are shifted and scaled a little in latent space and compared with the moved picture (EQ-VAE, Kouzelis
et al. 2025): latents that move as pictures do are what advection needs, and are easier to predict.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.autoencoder import Autoencoder, reconstruction_loss, warp
from models.metrics import psnr
from models.training.loop import Draw
from models.training.workshop import Workshop

SCALES = (0.8, 1.2)
SHIFT = 0.25
"""Half views that a row is moved by at most."""


class AutoencoderStage:
    """Random views of the training frames; the figures are PSNR by what the pixel shows."""

    name = "autoencoder"

    def __init__(self, workshop: Workshop) -> None:
        self.data, self.held_out = workshop.training, workshop.held_out
        torch.manual_seed(workshop.preset.loops[self.name].seed)
        self.module = Autoencoder(workshop.preset.autoencoder)

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        rows = draw.mine(draw.rows.integers(len(self.data), size=batch))
        views = draw.mine(draw.rows.integers(len(self.data.views), size=batch))
        places = draw.mine(random_places(batch, draw.rows))
        pixels = draw.place(torch.from_numpy(self.data.frames[rows, views])).permute(0, 3, 1, 2).float() / 255
        return reconstruction_loss(warp(pixels, places), self.module(pixels, places)), {}

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        return {"frames": len(self.data)}

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """PSNR [dB] on held-out views: over all pixels, and over the pixels of each class."""
        rows = torch.arange(0, len(self.held_out), max(1, len(self.held_out) // 150))
        images = torch.from_numpy(self.held_out.frames[rows.numpy()])
        latents = self.module.encode_frames(images[None])
        again = self.module.decode_frames(latents, len(self.held_out.views))[0]
        error = ((again.float() - images.float()) / 255).square().mean(-1)
        classes = torch.from_numpy(self.held_out.segmentation[rows.numpy()])
        figures: dict[str, Any] = {"psnr": psnr(error.mean().item())}
        for index, name in enumerate(self.held_out.classes):
            if (classes == index).any():
                figures[f"psnr {name}"] = psnr(error[classes == index].mean().item())
        figures["latent mean"] = round(latents.mean().item(), 3)
        figures["latent std"] = round(latents.std().item(), 3)
        return figures


def random_places(count: int, rng: np.random.Generator) -> Tensor:
    """Affine maps ``(count, 2, 3)``; the first half leave everything where it is, so that nothing is interpolated."""
    places = np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1))
    moved = places[count // 2 :]
    moved[:, [0, 1], [0, 1]] = rng.uniform(*SCALES, size=(len(moved), 1))
    moved[:, :, 2] = rng.uniform(-SHIFT, SHIFT, size=(len(moved), 2))
    return torch.from_numpy(places)
