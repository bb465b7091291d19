"""Image autoencoder: camera views to the stacked latent frames the video model works on.

Each view is encoded on its own: 4x smaller, 12 channels, batch-normalised (so every latent channel has mean 0 and
standard deviation 1), then folded by `pixel_unshuffle` (2) to 48 channels at an eighth of the image size. The views are
stacked on the rows in the bundle's view order, as Ctrl-World stacks them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import ShapeError
from models.layers import zeroed

FOLD = 2
"""Latent rows and columns folded into channels."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """Size of the autoencoder.

    Attributes:
        channels: Latent channels before folding.
        widths: Feature channels at half and at a quarter of the image size.
        noise: Standard deviation of the noise added to latents in training, so that the decoder bears imagined ones.
    """

    channels: int = 12
    widths: tuple[int, int] = (48, 96)
    noise: float = 0.08

    @property
    def latent_channels(self) -> int:
        """Channels of a latent frame."""
        return self.channels * FOLD * FOLD


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = zeroed(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.silu(self.first(functional.silu(x))))


class Autoencoder(nn.Module):
    """Encodes and decodes single views; `encode_frames` / `decode_frames` do the stacking of views."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter = config.widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, half, 3, padding=1),
            _Block(half),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1),
            _Block(quarter),
            _Block(quarter),
            nn.Conv2d(quarter, config.channels, 1),
        )
        self.normalise = nn.BatchNorm2d(config.channels, affine=False, momentum=0.02)
        self.decoder = nn.Sequential(
            nn.Conv2d(config.channels, quarter, 3, padding=1),
            _Block(quarter),
            _Block(quarter),
            nn.Conv2d(quarter, half * 4, 1),
            nn.PixelShuffle(2),
            _Block(half),
            nn.SiLU(),
            nn.Conv2d(half, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def encode_view(self, images: Tensor) -> Tensor:
        """Latents ``(N, channels, H/4, W/4)`` of images ``(N, 3, H, W)`` in [0, 1]."""
        return self.normalise(self.encoder(images * 2 - 1).float())

    def decode_view(self, latents: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)``, about [0, 1], of latents ``(N, channels, H/4, W/4)``."""
        return self.decoder(latents).float() * 0.5 + 0.5

    def forward(self, images: Tensor, places: Tensor | None = None) -> Tensor:
        """Reconstruction of images ``(N, 3, H, W)`` in [0, 1]; noisy latents while training.

        Args:
            images: What to encode.
            places: ``(N, 2, 3)`` affine maps (see `warp`) that move the latents before they are decoded.
        """
        latents = self.encode_view(images)
        if places is not None:
            latents = warp(latents, places)
        if self.training:
            latents = latents + self.config.noise * torch.randn_like(latents)
        return self.decode_view(latents)

    def encode_frames(self, images: Tensor) -> Tensor:
        """Latent frames ``(B, T, C, V*h, w)`` of uint8 RGB images ``(B, T, V, H, W, 3)``."""
        if images.ndim != 6 or images.shape[-1] != 3 or images.dtype != torch.uint8:
            raise ShapeError(f"need uint8 images (B, T, V, H, W, 3), got {images.dtype} {tuple(images.shape)}")
        batch, frames, views = images.shape[:3]
        pixels = images.flatten(0, 2).permute(0, 3, 1, 2).float() / 255
        folded = functional.pixel_unshuffle(self.encode_view(pixels), FOLD)
        return stack_views(folded.unflatten(0, (batch, frames, views)))

    def decode_frames(self, latents: Tensor, views: int) -> Tensor:
        """Uint8 RGB images ``(B, T, V, H, W, 3)`` of latent frames ``(B, T, C, V*h, w)``."""
        pixels = self.decode_view(functional.pixel_shuffle(split_views(latents, views).flatten(0, 2), FOLD))
        shape = (*latents.shape[:2], views)
        return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).unflatten(0, shape)


def warp(maps: Tensor, places: Tensor) -> Tensor:
    """Move maps ``(N, K, h, w)`` by affine maps ``(N, 2, 3)`` of normalised coordinates (output -> input)."""
    grid = functional.affine_grid(places, list(maps.shape), align_corners=False)
    return functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)


def stack_views(latents: Tensor) -> Tensor:
    """Stack the views of ``(B, T, V, C, h, w)`` on the rows: ``(B, T, C, V*h, w)``."""
    return latents.transpose(2, 3).flatten(3, 4)


def split_views(latents: Tensor, views: int) -> Tensor:
    """Undo `stack_views`: ``(B, T, C, V*h, w)`` to ``(B, T, V, C, h, w)``."""
    return latents.unflatten(3, (views, -1)).transpose(2, 3)


def reconstruction_loss(images: Tensor, reconstruction: Tensor) -> Tensor:
    """Absolute and squared error, plus the mean of the hardest sixteenth of the pixels, which keeps small objects.

    Args:
        images: ``(N, 3, H, W)`` in [0, 1].
        reconstruction: The same shape.
    """
    difference = reconstruction - images
    absolute = difference.abs().mean(1).flatten(1)
    hardest = absolute.topk(absolute.shape[1] // 16, dim=1).values.mean()
    return absolute.mean() + 0.3 * hardest + 2 * difference.square().mean()
