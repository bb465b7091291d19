"""Stable Video Diffusion's autoencoder: views to stacked latents, and back through its temporal decoder."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor, nn

from models.autoencoder import split_views, stack_views
from models.ctrl_world.config import VaeConfig
from models.errors import ShapeError

ENCODE_CHUNK = 24
"""Images encoded at once."""


class VideoAutoencoder(nn.Module):
    """Encodes single views, decodes the frames of one view together. Latents are multiplied by the scaling factor."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.scaling = config.scaling
        self.vae: Any = AutoencoderKLTemporalDecoder(**vae_arguments(config))

    def encode_frames(self, images: Tensor) -> Tensor:
        """Latent frames ``(B, T, 4, V*h, w)`` of uint8 RGB images ``(B, T, V, H, W, 3)``: the mean of the posterior.

        The images may be on the host.

        Published latents are one draw from it.
        """
        if images.ndim != 6 or images.shape[-1] != 3 or images.dtype != torch.uint8:
            raise ShapeError(f"need uint8 images (B, T, V, H, W, 3), got {images.dtype} {tuple(images.shape)}")
        images = images.to(self.vae.device)
        pixels = images.flatten(0, 2).permute(0, 3, 1, 2).float() / 127.5 - 1
        parts = [self._encode(part) for part in pixels.to(self.vae.dtype).split(ENCODE_CHUNK)]
        return stack_views(torch.cat(parts).unflatten(0, images.shape[:3]))

    def decode_pixels(self, latents: Tensor, views: int) -> Tensor:
        """Images ``(B, T, V, 3, H, W)``, about [0, 1], of latent frames ``(B, T, 4, V*h, w)``.

        The temporal layers of the decoder mix the frames of one view, never different views.
        """
        batch, frames = latents.shape[:2]
        clips = split_views(latents, views).transpose(1, 2).flatten(0, 2) / self.scaling
        decoded = self.vae.decode(clips.to(self.vae.dtype), num_frames=frames).sample
        return (decoded.float() / 2 + 0.5).unflatten(0, (batch, views, frames)).transpose(1, 2)

    def decode_frames(self, latents: Tensor, views: int) -> Tensor:
        """Uint8 RGB images ``(B, T, V, H, W, 3)`` of latent frames ``(B, T, 4, V*h, w)``, clip by clip."""
        clips = [self.decode_pixels(clip, views) for clip in latents.split(1)]
        return (torch.cat(clips).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 1, 2, 4, 5, 3)

    def _encode(self, pixels: Tensor) -> Tensor:
        return self.vae.encode(pixels).latent_dist.mode().float() * self.scaling


def vae_arguments(config: VaeConfig) -> dict[str, Any]:
    """Arguments of diffusers' class."""
    return {
        "down_block_types": ("DownEncoderBlock2D",) * len(config.widths),
        "block_out_channels": config.widths,
        "layers_per_block": config.layers,
        "scaling_factor": config.scaling,
    }
