"""EDM diffusion (Karras et al. 2022): preconditioning and the loss of the paper's eq. 2, with sigma_data = 1.

The network F is wrapped as a denoiser D(x; sigma) = c_skip x + c_out F(c_in x; c_noise), whose answer is the expected
clean sample. Ctrl-World's Stable Video Diffusion uses the same constants with the opposite sign of c_out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Network = Callable[[Tensor, Tensor], Tensor]
"""F: scaled noisy video (B, ...), c_noise (B,) -> raw output of the video's shape."""


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """Reshape ``(B,)`` to broadcast over ``like`` (B, ...)."""
    return values.reshape(-1, *([1] * (like.ndim - 1)))


@dataclass(frozen=True)
class Edm:
    """Constants of one diffusion model.

    Attributes:
        sigma_min: Smallest noise level the network is asked at.
        sigma_max: Largest; a flow time of 0 is read as 1 / (1 + sigma_max).
        output_sign: Sign of c_out: 1 here, -1 for Stable Video Diffusion.
    """

    sigma_min: float = 0.002
    sigma_max: float = 700.0
    output_sign: float = 1.0

    def c_skip(self, sigma: Tensor) -> Tensor:
        """Weight of the noisy input in the denoised output."""
        return 1 / (sigma.square() + 1)

    def c_out(self, sigma: Tensor) -> Tensor:
        """Weight of the network's output in the denoised output."""
        return self.output_sign * sigma / (sigma.square() + 1).sqrt()

    def c_in(self, sigma: Tensor) -> Tensor:
        """Scale that gives the network inputs of unit variance."""
        return 1 / (sigma.square() + 1).sqrt()

    def c_noise(self, sigma: Tensor) -> Tensor:
        """What the network is told of the noise level."""
        return sigma.log() / 4

    def denoise(self, network: Network, noisy: Tensor, sigma: Tensor) -> Tensor:
        """D(x; sigma): expected clean video of ``noisy`` (B, ...) at noise levels ``sigma`` (B,)."""
        raw = network(per_row(self.c_in(sigma), noisy) * noisy, self.c_noise(sigma)).float()
        return per_row(self.c_skip(sigma), noisy) * noisy + per_row(self.c_out(sigma), noisy) * raw


@dataclass(frozen=True)
class NoiseLevels:
    """Distribution p_d of the noise levels in training.

    ln(sigma) is logistic, which is a uniform flow time t in sigma = (1 - t) / t; a share of pure noise is added because
    the one-step sampler lives there.

    Attributes:
        pure_share: Share of samples at sigma_max.
    """

    pure_share: float = 0.25

    def sample(self, count: int, edm: Edm, generator: torch.Generator) -> Tensor:
        """Draw ``(count,)`` noise levels."""
        time = torch.rand(count, generator=generator)
        sigma = ((1 - time) / time.clamp(min=1e-6)).clamp(edm.sigma_min, edm.sigma_max)
        pure = torch.rand(count, generator=generator) < self.pure_share
        return torch.where(pure, torch.tensor(edm.sigma_max), sigma)


def diffusion_loss(edm: Edm, network: Network, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Eq. 2 with w(sigma) = lambda c_out^2 = 1: squared error of F against (x_1 - c_skip x_c) / c_out.

    Args:
        edm: Constants.
        network: F with its conditioning bound.
        clean: x_1, ``(B, ...)``.
        noise: x_0 ~ N(0, I), same shape.
        sigma: ``(B,)``.

    Returns:
        Mean squared error per row, ``(B,)``.
    """
    noisy = clean + per_row(sigma, clean) * noise
    target = (clean - per_row(edm.c_skip(sigma), clean) * noisy) / per_row(edm.c_out(sigma), clean)
    raw = network(per_row(edm.c_in(sigma), clean) * noisy, edm.c_noise(sigma)).float()
    return (raw - target).square().flatten(1).mean(1)
