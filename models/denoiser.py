"""The network F of the video model: a 2-D U-Net that sees all frames of the clip as channels.

On two cores this beats a factorised space-time network at equal time (docs/models.md). The full-size Stable Video
Diffusion is another class with the same `forward`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.conditioning import POSE_FEATURES, Condition
from models.layers import GROUPS, Conv2d, Linear, ResidualBlock, SpatialAttention, sinusoids, zeroed

TIME_WIDTH = 128
DISTANCE_FREQUENCIES = 16


class Denoiser(Protocol):
    """F of eq. 2, with the second time of a flow map."""

    def __call__(self, noisy: Tensor, c_noise: Tensor, condition: Condition, distance: Tensor | None) -> Tensor:
        """Raw output for scaled noisy clips.

        Args:
            noisy: ``(B, H, C, V*h, w)`` at unit variance.
            c_noise: ``(B,)``.
            condition: History and actions.
            distance: ``(B,)`` t - s of a flow-map jump; None for the plain diffusion model.
        """
        ...


@dataclass(frozen=True)
class DenoiserConfig:
    """Size of the tabletop denoiser.

    Attributes:
        latent_channels: C.
        rows: V*h.
        columns: w.
        history: T.
        horizon: H.
        widths: Channels at full and at half resolution.
        blocks: Residual blocks per stage.
        embedding: Width of the conditioning vector.
    """

    latent_channels: int = 48
    rows: int = 18
    columns: int = 10
    history: int = 2
    horizon: int = 5
    widths: tuple[int, int] = (128, 256)
    blocks: int = 2
    embedding: int = 256


class SecondTime(nn.Module):
    """Embedding of the distance t - s of a flow-map jump.

    Its inputs vanish at t = s and it has no biases, so at t = s the network is the diffusion model exactly, at any
    stage of training. Only the last layer starts at zero: were two in a row zero, neither would ever get a gradient.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.linspace(0.5, 8.0, DISTANCE_FREQUENCIES), persistent=False)
        self.first = Linear(2 * DISTANCE_FREQUENCIES, width, bias=False)
        self.last = zeroed(Linear(width, width, bias=False))

    def forward(self, distance: Tensor) -> Tensor:
        """Embed ``(B,)`` distances in [0, 1] as ``(B, width)``."""
        angles = distance[:, None] * self.frequencies
        return self.last(functional.silu(self.first(torch.cat([angles.sin(), 1 - angles.cos()], dim=1))))


class FramesAsChannelsUNet(nn.Module):
    """See the module's docstring."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        wide, deep = config.widths
        frames, width = config.horizon + config.history, config.embedding
        self.embed = nn.Sequential(Linear(frames * POSE_FEATURES + TIME_WIDTH, width), nn.SiLU(), Linear(width, width))
        self.second_time = SecondTime(width)
        outputs = config.horizon * config.latent_channels
        inputs = frames * config.latent_channels + outputs + 4 * (config.horizon + 1)
        self.input = Conv2d(inputs, wide, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(1, wide, config.rows, config.columns))
        self.down = nn.ModuleList([ResidualBlock(wide, wide, width) for _ in range(config.blocks)])
        self.shrink = Conv2d(wide, deep, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([ResidualBlock(deep, deep, width) for _ in range(config.blocks)])
        self.attention = nn.ModuleList([SpatialAttention(deep) for _ in range(config.blocks)])
        self.grow = Conv2d(deep, wide, 1)
        widths = [2 * wide] + [wide] * (config.blocks - 1)
        self.up = nn.ModuleList([ResidualBlock(inner, wide, width) for inner in widths])
        self.last = nn.Sequential(nn.GroupNorm(GROUPS, wide), nn.SiLU())
        self.output = zeroed(Conv2d(wide, outputs, 3, padding=1))
        self.gates = zeroed(Conv2d(wide, 2 * outputs, 1))

    def forward(self, noisy: Tensor, c_noise: Tensor, condition: Condition, distance: Tensor | None = None) -> Tensor:
        """See `Denoiser`."""
        current, earlier = condition.history[:, -1:], condition.history[:, :-1]
        stack = [noisy, current - earlier, current, condition.advected, condition.maps, condition.hand]
        x = torch.cat([part.flatten(1, 2) for part in stack], dim=1)
        embedding = self.embed(torch.cat([condition.features.flatten(1), sinusoids(c_noise, TIME_WIDTH)], dim=1))
        if distance is not None:
            embedding = embedding + self.second_time(distance)
        embedding = functional.silu(embedding)

        x = self.input(x) + self.position
        for block in self.down:
            x = block(x, embedding)
        skip = x
        x = self.shrink(x)
        for block, attention in zip(self.middle, self.attention, strict=True):
            x = attention(block(x, embedding))
        x = functional.interpolate(self.grow(x), size=skip.shape[2:], mode="nearest")
        x = torch.cat([x, skip], dim=1)
        for block in self.up:
            x = block(x, embedding)
        x = self.last(x)
        shape = (self.config.horizon, self.config.latent_channels)
        keep, take = (part.unflatten(1, shape) for part in self.gates(x).chunk(2, dim=1))
        return self.output(x).unflatten(1, shape) + keep * noisy + take * condition.advected
