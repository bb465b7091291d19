"""C3's three variants: fixed scale (FSC), multi-class (MCC), continuous scale (CS-BC)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.bins import bin_centres, bin_index
from models.errors import ModelsError
from models.layers import sinusoids
from models.uncertainty.c3.probe import LOWEST, Probe, ProbeConfig, binary_entropy
from models.uncertainty.c3.scores import BINARY, MULTI

EPS_WIDTH = 32
HIGHEST_FREQUENCY = 30.0
"""Radians over the whole logarithmic range of eps: neighbours a tenth apart differ clearly."""
GRID = (0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Scales at which a continuous probe is asked for its expected error."""


class FixedScale(Probe):
    """Sigmoid confidence that errors are at most one eps."""

    def __init__(self, config: ProbeConfig) -> None:
        super().__init__(config)
        self.output = nn.Conv2d(config.width, config.latent_channels, 1)

    def below(self, trunk: Tensor, eps: float) -> Tensor:
        """See `Probe`."""
        if not math.isclose(eps, self.config.eps, rel_tol=1e-6):
            raise ModelsError(f"this fixed-scale probe was trained for eps = {self.config.eps:g}, not {eps:g}")
        return self.output(trunk).float().sigmoid()

    def summary(self, trunk: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Probe`; the mean error is the middle of [0, eps] or of [eps, 1], as often as the probe says."""
        inside, eps = self.below(trunk, self.config.eps), self.config.eps
        return inside, inside * eps / 2 + (1 - inside) * (1 + eps) / 2, binary_entropy(inside)

    def score(self, trunk: Tensor, error: Tensor, eps: Tensor) -> Tensor:
        """See `Probe`."""
        return BINARY[self.config.score](self.output(trunk).float(), (error <= self.config.eps).float())


class MultiClass(Probe):
    """Softmax over equal classes of error; what lies beyond the scale belongs to the last."""

    centres: Tensor

    def __init__(self, config: ProbeConfig) -> None:
        super().__init__(config)
        self.output = nn.Conv2d(config.width, config.latent_channels * config.classes, 1)
        self.register_buffer("centres", bin_centres(config.classes, 1.0), persistent=False)

    def below(self, trunk: Tensor, eps: float) -> Tensor:
        """See `Probe`; linear inside a class."""
        return self._up_to(self._probabilities(trunk), eps)

    def summary(self, trunk: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Probe`."""
        probabilities = self._probabilities(trunk)
        expected = torch.einsum("nckhw,k->nchw", probabilities, self.centres)
        return self._up_to(probabilities, self.config.eps), expected, torch.special.entr(probabilities).sum(dim=2)

    def score(self, trunk: Tensor, error: Tensor, eps: Tensor) -> Tensor:
        """See `Probe`."""
        classes = bin_index(error, self.config.classes, 1.0).flatten(0, 1)
        return MULTI[self.config.score](self._logits(trunk).flatten(0, 1), classes)

    def _logits(self, trunk: Tensor) -> Tensor:
        return self.output(trunk).float().unflatten(1, (self.config.latent_channels, self.config.classes))

    def _probabilities(self, trunk: Tensor) -> Tensor:
        return self._logits(trunk).softmax(dim=2)

    def _up_to(self, probabilities: Tensor, eps: float) -> Tensor:
        classes = self.config.classes
        share = (eps * classes - torch.arange(classes, device=probabilities.device)).clamp(0, 1)
        return torch.einsum("nckhw,k->nchw", probabilities, share)


class ContinuousScale(Probe):
    """Sigmoid confidence for any eps, which joins late: one trunk serves any number of scales."""

    def __init__(self, config: ProbeConfig) -> None:
        super().__init__(config)
        width = config.width
        self.film = nn.Sequential(
            nn.Linear(EPS_WIDTH, config.embedding), nn.SiLU(), nn.Linear(config.embedding, 2 * width)
        )
        self.mix = nn.Conv2d(width, width, 1)
        self.output = nn.Conv2d(width, config.latent_channels, 1)

    def below(self, trunk: Tensor, eps: float) -> Tensor:
        """See `Probe`."""
        if not LOWEST <= eps <= 1:
            raise ModelsError(f"eps must be in [{LOWEST:g}, 1], shares of the error scale; got {eps:g}")
        return self._logits(trunk, trunk.new_full((1,), eps)).sigmoid()

    def summary(self, trunk: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Probe`; the mean error is the integral of P(error > eps), by the trapezoidal rule."""
        inside = self.below(trunk, self.config.eps)
        total, before, last = torch.zeros_like(inside), torch.ones_like(inside), 0.0
        for eps in GRID:
            beyond = 1 - (inside if eps == self.config.eps else self.below(trunk, eps))
            total, before, last = total + (before + beyond) / 2 * (eps - last), beyond, eps
        return inside, total, binary_entropy(inside)

    def score(self, trunk: Tensor, error: Tensor, eps: Tensor) -> Tensor:
        """See `Probe`."""
        eps = eps.to(trunk.device).repeat_interleave(self.config.horizon)
        return BINARY[self.config.score](self._logits(trunk, eps), (error <= eps[:, None, None, None]).float())

    def _logits(self, trunk: Tensor, eps: Tensor) -> Tensor:
        """Logits ``(N, C, V*h, w)`` of a trunk ``(N, width, V*h, w)`` for scales ``(N,)`` or ``(1,)``."""
        place = 1 - eps.log() / math.log(LOWEST)  # 0 at LOWEST, 1 at 1
        gain, shift = self.film(sinusoids(place, EPS_WIDTH, HIGHEST_FREQUENCY))[:, :, None, None].chunk(2, dim=1)
        return self.output(functional.silu(self.mix(trunk) * (1 + gain) + shift)).float()


VARIANTS: Mapping[str, type[Probe]] = {"fixed": FixedScale, "multi": MultiClass, "continuous": ContinuousScale}


def make_probe(config: ProbeConfig) -> Probe:
    """A probe with fresh weights.

    Raises:
        ModelsError: There is no such variant or score, or eps is outside of what probes resolve.
    """
    if config.variant not in VARIANTS or config.score not in BINARY:
        raise ModelsError(
            f"no probe {config.variant!r} with score {config.score!r}; there are {', '.join(VARIANTS)} with "
            f"{', '.join(BINARY)}"
        )
    if not LOWEST <= config.eps <= 1:
        raise ModelsError(f"eps must be in [{LOWEST:g}, 1], shares of the error scale; got {config.eps:g}")
    return VARIANTS[config.variant](config)
