"""U_beta: a distribution over the error of every latent channel and position of an imagined video (paper 3.1, A.6).

Trained with cross-entropy on the bin of |predicted - true|; its inputs are detached then, so that no gradient ever
reaches the video model from here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.bins import bin_centres, bin_index, entropy
from models.conditioning import Conditioner
from models.head_unet import HeadConfig, HeadUNet, per_view
from models.interfaces import Imagined, Uncertainty


class UncertaintyHead(nn.Module):
    """Looks at the predicted latents, how far they moved from the current frame, and where the tool goes."""

    def __init__(self, config: HeadConfig, conditioner: Conditioner) -> None:
        super().__init__()
        self.config = config
        self.conditioner = conditioner
        self.unet = HeadUNet(config, 3 * config.latent_channels + 4)
        self.output = nn.Conv2d(config.widths[0], config.latent_channels * config.bins, 1)
        self.register_buffer("centres", bin_centres(config.bins, config.highest), persistent=False)

    def logits(self, imagined: Imagined) -> Tensor:
        """Bin logits ``(B, H, V, C, bins, h, w)``."""
        config = self.config
        condition = self.conditioner(imagined.history, imagined.history_poses, imagined.actions)
        current = imagined.history[:, -1:].expand_as(imagined.latents)
        tool = torch.cat([condition.maps[:, 1:], condition.maps[:, :1].expand_as(condition.maps[:, 1:])], dim=2)
        stack = torch.cat([imagined.latents, imagined.latents - current, current, tool], dim=2)
        features, _ = self.unet(per_view(stack, config.views), condition)
        shape = (*imagined.latents.shape[:2], config.views)
        return self.output(features).unflatten(1, (config.latent_channels, config.bins)).unflatten(0, shape)

    def forward(self, imagined: Imagined) -> Uncertainty:
        """Judge an imagined video; h is the entropy over its largest possible value, ln(bins)."""
        probabilities = self.logits(imagined).softmax(dim=4)
        nats = entropy(probabilities, dim=4).mean(dim=3)
        expected = (probabilities.mean(dim=3) * self.centres[:, None, None]).sum(dim=3)
        return Uncertainty(
            h=nats / torch.log(torch.tensor(float(self.config.bins))), expected_error=expected, entropy=nats
        )

    def loss(self, imagined: Imagined, truth: Tensor) -> Tensor:
        """Cross-entropy of the bins of the absolute error against the true latents ``(B, H, C, V*h, w)``."""
        detached = Imagined(
            imagined.latents.detach(), imagined.history.detach(), imagined.history_poses, imagined.actions.detach()
        )
        error = per_view((detached.latents - truth).abs(), self.config.views)
        target = bin_index(error, self.config.bins, self.config.highest)
        return functional.cross_entropy(self.logits(detached).flatten(0, 3).float(), target.flatten(0, 3))
