"""The small U-Net under both heads (paper 3.1, 3.3, A.6).

Two down- and two up-sampling blocks with self-attention over space-time tokens in the bottleneck.

Every view of every frame is one map; rows of different cameras never share a convolution, only the attention.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.conditioning import POSE_FEATURES, Condition
from models.layers import ResidualBlock, SpaceTimeAttention


@dataclass(frozen=True)
class HeadConfig:
    """Size of a head.

    Attributes:
        latent_channels: C.
        latent_size: (h, w) of one view.
        views: V.
        horizon: H.
        bins: Bins of its distribution.
        highest: Upper end of the quantity's range; the lower is 0.
        widths: Channels at full, half and quarter resolution (512 in the bottleneck at full size).
        embedding: Width of the conditioning vector.
    """

    latent_channels: int = 48
    latent_size: tuple[int, int] = (6, 10)
    views: int = 3
    horizon: int = 5
    bins: int = 30
    highest: float = 4.0
    widths: tuple[int, int, int] = (32, 64, 128)
    embedding: int = 96


class HeadUNet(nn.Module):
    """Features of each view of each imagined frame."""

    def __init__(self, config: HeadConfig, inputs: int) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        height, width = config.latent_size
        tokens = config.horizon * config.views * -(-height // 4) * -(-width // 4)
        slots = config.horizon * config.views
        self.embed = nn.Sequential(
            nn.Linear(2 * POSE_FEATURES, config.embedding), nn.SiLU(), nn.Linear(config.embedding, config.embedding)
        )
        self.slot = nn.Parameter(torch.randn(1, slots, config.embedding) * 0.02)
        self.input = nn.Conv2d(inputs, first, 3, padding=1)
        self.down_first = ResidualBlock(first, first, config.embedding)
        self.shrink_first = nn.Conv2d(first, second, 3, stride=2, padding=1)
        self.down_second = ResidualBlock(second, second, config.embedding)
        self.shrink_second = nn.Conv2d(second, third, 3, stride=2, padding=1)
        self.attention = SpaceTimeAttention(third, tokens)
        self.bottleneck = ResidualBlock(third, third, config.embedding)
        self.up_second = ResidualBlock(third + second, second, config.embedding)
        self.up_first = ResidualBlock(second + first, first, config.embedding)

    def forward(self, maps: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Read per-view maps ``(B, H, V, inputs, h, w)``.

        Returns:
            Full-resolution features ``(B*H*V, first, h, w)`` and bottleneck features ``(B*H*V, third, h/4, w/4)``.
        """
        horizon, views = maps.shape[1:3]
        history = condition.history_poses.shape[1]
        features = condition.features
        current = features[:, history - 1 : history].expand(-1, horizon, -1)
        pose = self.embed(torch.cat([features[:, history:], current], dim=-1))
        embedding = functional.silu(pose.repeat_interleave(views, dim=1) + self.slot).flatten(0, 1)

        full = self.down_first(self.input(maps.flatten(0, 2)), embedding)
        half = self.down_second(self.shrink_first(full), embedding)
        deep = self.attention(self.shrink_second(half), horizon * views)
        deep = self.bottleneck(deep, embedding)
        x = functional.interpolate(deep, size=half.shape[2:], mode="nearest")
        x = self.up_second(torch.cat([x, half], dim=1), embedding)
        x = functional.interpolate(x, size=full.shape[2:], mode="nearest")
        return self.up_first(torch.cat([x, full], dim=1), embedding), deep


def per_view(stacked: Tensor, views: int) -> Tensor:
    """Views of row-stacked maps: ``(B, H, K, V*h, w)`` to ``(B, H, V, K, h, w)``."""
    return stacked.unflatten(3, (views, -1)).transpose(2, 3)
