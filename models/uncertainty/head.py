"""U_beta: a distribution over the error of every latent channel and position of an imagined video (paper 3.1, A.6).

Trained with cross-entropy on the bin of |predicted - true|; its inputs are detached then, so that no gradient ever
reaches the video model from here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.bins import bin_centres, bin_index
from models.conditioning import Conditioner
from models.head_unet import HeadConfig, HeadUNet, per_view
from models.interfaces import Imagined, Uncertainty

_CACHED = 180_000
"""Bins whose probabilities are held at once on a processor: with 1440 per position, more do not fit its cache."""


class UncertaintyHead(nn.Module):
    """Looks at the predicted latents, how far they moved from the current frame, and where the tool goes."""

    centres: Tensor

    def __init__(self, config: HeadConfig, conditioner: Conditioner) -> None:
        super().__init__()
        self.config = config
        self.conditioner = conditioner
        self.unet = HeadUNet(config, 3 * config.latent_channels + 4)
        self.output = nn.Conv2d(config.widths[0], config.latent_channels * config.bins, 1)
        self.register_buffer("centres", bin_centres(config.bins, config.highest), persistent=False)

    def features(self, imagined: Imagined) -> Tensor:
        """Features ``(B*H*V, widths[0], h, w)`` of every view of every imagined frame."""
        condition = self.conditioner(imagined.history, imagined.history_poses, imagined.actions)
        current = imagined.history[:, -1:].expand_as(imagined.latents)
        tool = torch.cat([condition.maps[:, 1:], condition.maps[:, :1].expand_as(condition.maps[:, 1:])], dim=2)
        stack = torch.cat([imagined.latents, imagined.latents - current, current, tool], dim=2)
        return self.unet(per_view(stack, self.config.views), condition)[0]

    def logits(self, features: Tensor) -> Tensor:
        """Bin logits ``(N, C, bins, h, w)`` of `features`."""
        return self.output(features).unflatten(1, (self.config.latent_channels, self.config.bins))

    def log_probabilities(self, imagined: Imagined) -> Tensor:
        """Log-probability ``(B, H, V, C, bins, h, w)`` of every bin."""
        shape = (*imagined.latents.shape[:2], self.config.views)
        return self.logits(self.features(imagined)).log_softmax(dim=2).unflatten(0, shape)

    def forward(self, imagined: Imagined) -> Uncertainty:
        """Judge an imagined video; h is the entropy over its largest possible value, ln(bins)."""
        features = self.features(imagined)
        shape = (*imagined.latents.shape[:2], self.config.views, *features.shape[2:])
        nats, expected = (values.reshape(shape) for values in self._summary(features.transpose(0, 1).flatten(1)))
        return Uncertainty(h=nats / math.log(self.config.bins), expected_error=expected, entropy=nats)

    def _summary(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Channel means ``(P,)`` of entropy and expected error at P positions, of their features ``(widths[0], P)``.

        The same as from `log_probabilities`, with the bins in front, where sums over them are over whole rows.
        """
        channels, bins = self.config.latent_channels, self.config.bins
        assert self.output.bias is not None
        weight = self.output.weight.reshape(channels, bins, -1).transpose(0, 1).flatten(0, 1)
        bias = self.output.bias.reshape(channels, bins).T.reshape(-1, 1)
        moments = torch.stack([torch.ones_like(self.centres), self.centres])
        size = max(1, _CACHED // len(weight)) if features.device.type == "cpu" else features.shape[1]
        parts = []
        for some in features.split(size, dim=1):
            logits = torch.addmm(bias, weight, some).float().reshape(bins, -1)
            logits = logits - logits.amax(0).detach()
            unnormalised = logits.exp()
            total, error = moments @ unnormalised
            nats = total.log() - (unnormalised * logits).sum(0) / total
            parts.append(torch.stack([nats, error / total]).unflatten(1, (channels, -1)).mean(1))
        nats, expected = torch.cat(parts, dim=1)
        return nats, expected

    def loss(self, imagined: Imagined, truth: Tensor, maps: Tensor | None = None) -> Tensor:
        """Cross-entropy of the bins of the absolute error against the true latents ``(B, H, C, V*h, w)``.

        Args:
            imagined: The prediction; detached here.
            truth: What really followed.
            maps: Indices of the B*H*V maps to judge, all when None (a third of them trains as well, and faster).
        """
        detached = Imagined(
            imagined.latents.detach(), imagined.history.detach(), imagined.history_poses, imagined.actions.detach()
        )
        error = per_view((detached.latents - truth).abs(), self.config.views).flatten(0, 2)
        features = self.features(detached)
        if maps is not None:
            error, features = error[maps], features[maps]
        target = bin_index(error, self.config.bins, self.config.highest)
        logits = self.logits(features).flatten(0, 1).float()
        return functional.cross_entropy(logits, target.flatten(0, 1))
