"""R_l: the spatio-temporal reward, a distribution over the discounted return of each imagined frame (paper 3.3).

It sees the imagined latents, where the instructed object is (the semantic relevance map) and where the tool will be,
and is trained with cross-entropy on 20 bins over V = gamma^(F - tau) * success.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.bins import bin_centres, bin_index
from models.conditioning import Conditioner
from models.head_unet import HeadConfig, HeadUNet, per_view
from models.interfaces import Imagined

RELEVANCE_FOLD = 4
"""Relevance cells per latent cell and axis."""


def discounted_return(success: Tensor, remaining: Tensor, gamma: float) -> Tensor:
    """V = gamma^(F - tau) * success for ``remaining`` = F - tau frames to the end of the episode."""
    return success * gamma**remaining


class ValueHead(nn.Module):
    """See the module's docstring."""

    centres: Tensor

    def __init__(self, config: HeadConfig, conditioner: Conditioner) -> None:
        super().__init__()
        self.config = config
        self.conditioner = conditioner
        self.unet = HeadUNet(config, config.latent_channels + RELEVANCE_FOLD**2 + 2)
        widths = config.widths[0] + config.widths[2]
        self.output = nn.Sequential(nn.Linear(config.views * widths, 128), nn.SiLU(), nn.Linear(128, config.bins))
        self.register_buffer("centres", bin_centres(config.bins, config.highest), persistent=False)

    def logits(self, imagined: Imagined, relevance: Tensor) -> Tensor:
        """Bin logits ``(B, H, bins)``; see `forward`."""
        views = self.config.views
        condition = self.conditioner(imagined.history, imagined.history_poses, imagined.actions)
        latents = per_view(imagined.latents, views)
        folded = functional.pixel_unshuffle(relevance, RELEVANCE_FOLD).unflatten(2, (views, -1))
        tool = per_view(condition.maps[:, 1:], views)
        full, deep = self.unet(torch.cat([latents, folded, tool], dim=3), condition)
        pooled = torch.cat([full.amax(dim=(2, 3)), deep.mean(dim=(2, 3))], dim=1)
        return self.output(pooled.unflatten(0, latents.shape[:3]).flatten(2))

    def forward(self, imagined: Imagined, relevance: Tensor) -> Tensor:
        """Bin probabilities ``(B, H, bins)``.

        Args:
            imagined: The imagined video.
            relevance: ``(B, H, V, 4h, 4w)`` relevance in [0, 1] of the instructed object in each imagined frame.
        """
        return self.logits(imagined, relevance).softmax(dim=-1)

    def expected(self, probabilities: Tensor) -> Tensor:
        """Expected return ``(B, H)`` of bin probabilities."""
        return (probabilities * self.centres).sum(dim=-1)

    def loss(self, imagined: Imagined, relevance: Tensor, returns: Tensor) -> Tensor:
        """Cross-entropy against the bins of the returns ``(B, H)``; the video model gets no gradient."""
        detached = Imagined(
            imagined.latents.detach(), imagined.history.detach(), imagined.history_poses, imagined.actions.detach()
        )
        target = bin_index(returns, self.config.bins, self.config.highest)
        return functional.cross_entropy(
            self.logits(detached, relevance.detach()).flatten(0, 1).float(), target.flatten()
        )
