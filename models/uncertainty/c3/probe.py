"""A C3 probe: spatial and temporal attention over the denoiser's penultimate features, then a linear output.

One answer per latent element: how probable is it that its absolute error is at most eps, a share of the bundle's error
scale (the upper end of the 30-bin head's range). C3 trains on errors of the velocity. For a video made in one jump
these are the errors of the latents, up to the constant `change_scale` of each frame; training and evaluation both use
those of the latents here, which planners and the 30-bin head speak of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.conditioning import POSE_FEATURES
from models.errors import ModelsError
from models.head_unet import per_view
from models.interfaces import Imagined, Uncertainty
from models.layers import ResidualBlock, SpaceTimeAttention, SpatialAttention, sinusoids
from models.uncertainty.c3.features import Featured

TIME_WIDTH = 32
LOWEST = 0.01
"""Smallest eps a probe resolves; the largest is 1."""


@dataclass(frozen=True)
class ProbeConfig:
    """Kind and size of a probe.

    Attributes:
        variant: ``fixed``, ``multi`` or ``continuous`` (see `variants`).
        score: What it is trained with, ``bce`` or ``brier``.
        eps: Share of the error scale. A fixed-scale probe knows this one only; for the others it is the one that
            a planner is told of, and may be changed at any time.
        scale: The bundle's error scale in latent units.
        features: K, channels of the denoiser's features.
        latent_channels: C.
        rows: V*h.
        columns: w.
        views: V.
        horizon: H.
        classes: Equal error classes over [0, scale] (``multi`` only).
        width: Channels of the probe, per frame.
        embedding: Width of the vector made from time and action.
        unsure: Mean h of an imagined video beyond which planners call it uncertain, None for their own bound: that is
            made for the h of the 30-bin head, which is another quantity.
    """

    variant: str
    score: str = "bce"
    eps: float = 0.1
    scale: float = 4.0
    features: int = 128
    latent_channels: int = 48
    rows: int = 18
    columns: int = 10
    views: int = 3
    horizon: int = 5
    classes: int = 10
    width: int = 48
    embedding: int = 64
    unsure: float | None = None


class Probe(nn.Module, ABC):
    """What the variants share; callable like any `interfaces.UncertaintyModel`."""

    def __init__(self, config: ProbeConfig) -> None:
        super().__init__()
        self.config = config
        width, embedding, horizon = config.width, config.embedding, config.horizon
        self.input = nn.Conv2d(config.features, horizon * width, 1)
        self.position = nn.Parameter(torch.zeros(1, width, config.rows, config.columns))
        self.embed = nn.Sequential(
            nn.Linear(2 * POSE_FEATURES + TIME_WIDTH, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.slot = nn.Parameter(torch.randn(1, horizon, embedding) * 0.02)
        self.block = ResidualBlock(width, width, embedding)
        self.space = SpatialAttention(width)
        self.time = SpaceTimeAttention(width, horizon)

    def trunk(self, imagined: Imagined) -> Tensor:
        """Features ``(B*H, width, V*h, w)`` of every imagined frame.

        Raises:
            ModelsError: The video came without its features.
        """
        if not isinstance(imagined, Featured):
            raise ModelsError("a C3 probe needs the features of the video model: imagine with FeaturedVideoModel")
        horizon = self.config.horizon
        x = self.input(imagined.features).unflatten(1, (horizon, -1)).flatten(0, 1) + self.position
        current = imagined.poses[:, -horizon - 1 : -horizon].expand(-1, horizon, -1)
        time = sinusoids(imagined.start, TIME_WIDTH)[:, None].expand(-1, horizon, -1)
        told = self.embed(torch.cat([imagined.poses[:, -horizon:], current, time], dim=-1)) + self.slot
        x = self.space(self.block(x, functional.silu(told).flatten(0, 1)))
        along = x.unflatten(0, (-1, horizon)).permute(0, 3, 4, 1, 2).flatten(0, 3)[:, :, None, None]
        along = self.time(along, horizon)[:, :, 0, 0]
        shape = (len(imagined.features), self.config.rows, self.config.columns, horizon, self.config.width)
        return along.reshape(shape).permute(0, 3, 4, 1, 2).flatten(0, 1)

    def confidence(self, imagined: Imagined, eps: float) -> Tensor:
        """Probability ``(B, H, V, C, h, w)`` that the error of each latent element is at most ``eps`` of the scale.

        Raises:
            ModelsError: This probe does not know that scale.
        """
        return self.confidences(imagined, (eps,))[0]

    def confidences(self, imagined: Imagined, scales: Sequence[float]) -> list[Tensor]:
        """`confidence` at several scales, each ``(B, H, V, C, h, w)``; the work that they share is done once."""
        trunk = self.trunk(imagined)
        return [self.split(self.below(trunk, eps)) for eps in scales]

    def forward(self, imagined: Imagined) -> Uncertainty:
        """Judge an imagined video: h is the probability that an error exceeds ``config.eps``, channels averaged."""
        inside, expected, entropy = (self.split(maps).mean(dim=3) for maps in self.summary(self.trunk(imagined)))
        return Uncertainty(1 - inside, self.config.scale * expected, entropy)

    def loss(self, imagined: Featured, truth: Tensor, eps: Tensor, detached: bool = True) -> Tensor:
        """Score of what the probe says of the errors against the true latents ``(B, H, C, V*h, w)``.

        Args:
            imagined: The prediction.
            truth: What really followed.
            eps: ``(B,)`` scale to ask each clip about (``continuous`` only; see `draw_eps`).
            detached: Whether gradients stop before the video model, as they should.
        """
        error = (imagined.latents - truth).detach().abs().flatten(0, 1) / self.config.scale
        return self.score(self.trunk(imagined.detached() if detached else imagined), error, eps)

    def split(self, maps: Tensor) -> Tensor:
        """Maps ``(B*H, C, V*h, w)`` by clip and view: ``(B, H, V, C, h, w)``."""
        return per_view(maps.unflatten(0, (-1, self.config.horizon)), self.config.views)

    @abstractmethod
    def below(self, trunk: Tensor, eps: float) -> Tensor:
        """Probability ``(B*H, C, V*h, w)`` that errors are at most ``eps``."""

    @abstractmethod
    def summary(self, trunk: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a planner asks for, each ``(B*H, C, V*h, w)``.

        Returns:
            Probability of an error of at most ``config.eps``; the mean error as a share of the scale, as far as this
            probe can tell; entropy in nats of what it says.
        """

    @abstractmethod
    def score(self, trunk: Tensor, error: Tensor, eps: Tensor) -> Tensor:
        """Loss for errors ``(B*H, C, V*h, w)`` as shares of the scale; ``eps`` is ``(B,)``."""


def binary_entropy(probability: Tensor) -> Tensor:
    """Entropy in nats of events of a probability."""
    return torch.special.entr(probability) + torch.special.entr(1 - probability)


def draw_eps(count: int, generator: torch.Generator) -> Tensor:
    """Scales ``(count,)`` in [`LOWEST`, 1] to train with: half of them evenly, half evenly in their logarithm."""
    even = LOWEST + (1 - LOWEST) * torch.rand(count, generator=generator)
    fine = LOWEST ** torch.rand(count, generator=generator)
    return torch.where(torch.rand(count, generator=generator) < 0.5, even, fine)
