"""Stage ``autoencoder``: reconstruct single views."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.autoencoder import Autoencoder, reconstruction_loss
from models.metrics import psnr
from models.training.loop import Draw
from models.training.workshop import Workshop


class AutoencoderStage:
    """Random views of the training frames; the figures are PSNR by what the pixel shows."""

    name = "autoencoder"

    def __init__(self, workshop: Workshop) -> None:
        self.data, self.held_out = workshop.training, workshop.held_out
        torch.manual_seed(workshop.preset.loops[self.name].seed)
        self.module = Autoencoder(workshop.preset.autoencoder)

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        rows = draw.rows.integers(len(self.data), size=batch)
        views = draw.rows.integers(len(self.data.views), size=batch)
        pixels = torch.from_numpy(self.data.frames[rows, views]).permute(0, 3, 1, 2).float() / 255
        # The noise on the latents comes from the global generator: tie it to the step.
        torch.manual_seed(int(draw.rows.integers(2**62)))
        return reconstruction_loss(pixels, self.module(pixels)), {}

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
