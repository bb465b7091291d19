"""R_u: dense relevance of image regions to an object phrase, read from latents (a small stand-in for CLIP/SigLIP).

Works on real and on imagined latents alike. The score of a region is the dot product of its features with the phrase's
vector, plus a bias that the phrase brings along, so that an absent object can score low everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.head_unet import per_view
from models.text import TextEncoder


@dataclass(frozen=True)
class SemanticConfig:
    """Size of the semantic reward.

    Attributes:
        latent_channels: C.
        views: V.
        width: Hidden channels.
        features: Features per region.
        upscale: Regions per latent cell and axis: a 6x10 latent view becomes 24x40 regions.
    """

    latent_channels: int = 48
    views: int = 3
    width: int = 96
    features: int = 24
    upscale: int = 4


class SemanticHead(nn.Module):
    """See the module's docstring."""

    def __init__(self, config: SemanticConfig) -> None:
        super().__init__()
        self.config = config
        self.image = nn.Sequential(
            nn.Conv2d(config.latent_channels, config.width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(config.width, config.width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(config.width, config.features * config.upscale**2, 1),
            nn.PixelShuffle(config.upscale),
        )
        self.text = TextEncoder(config.features + 1)

    def features(self, latents: Tensor) -> Tensor:
        """Region features ``(B, H, V, features, a, b)`` of latents ``(B, H, C, V*h, w)``."""
        views = per_view(latents, self.config.views)
        return self.image(views.flatten(0, 2)).unflatten(0, views.shape[:3])

    def logits(self, latents: Tensor, phrases: Sequence[str]) -> Tensor:
        """Relevance logits ``(B, len(phrases), H, V, a, b)`` of every phrase in every row."""
        return self.score(self.features(latents), phrases)

    def score(self, features: Tensor, phrases: Sequence[str]) -> Tensor:
        """Relevance logits ``(B, len(phrases), H, V, a, b)`` of region features."""
        query = self.text(phrases)
        dots = (features.movedim(3, -1) @ query[:, :-1].T).movedim(-1, 1)
        return dots + query[:, -1].reshape(1, -1, 1, 1, 1, 1)

    def relevance(self, latents: Tensor, phrase: str) -> Tensor:
        """Relevance in [0, 1] of each region of ``(B, H, C, V*h, w)`` latents, as ``(B, H, V, a, b)``.

        One phrase's vector is multiplied into the last convolution, which is linear: no region's features are made.
        """
        *hidden, last, shuffle = self.image
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        query, groups = self.text([phrase])[0], (self.config.features, -1)
        weight = torch.tensordot(query[:-1], last.weight.unflatten(0, groups), dims=1)
        bias = query[:-1] @ last.bias.unflatten(0, groups) + query[-1]
        views = per_view(latents, self.config.views)
        x = views.flatten(0, 2)
        for layer in hidden:
            x = layer(x)
        return shuffle(functional.conv2d(x, weight, bias))[:, 0].unflatten(0, views.shape[:3]).sigmoid()


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy plus a soft Dice term, which keeps objects of a few regions.

    Args:
        logits: ``(..., a, b)``.
        target: The same shape, 0 or 1.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=logits.new_tensor(2.0))
    probability = logits.sigmoid()
    overlap = 2 * (probability * target).sum((-2, -1)) + 1
    dice = 1 - overlap / (probability.sum((-2, -1)) + target.sum((-2, -1)) + 1)
    return cross_entropy * 5 + dice.mean()
