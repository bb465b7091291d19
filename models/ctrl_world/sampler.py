"""Ctrl-World's own sampler: 50 Euler steps over the noise levels of Karras et al. (2022)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from models.ctrl_world.conditioning import FramewiseCondition
from models.denoiser import Denoiser
from models.edm import Edm

RHO = 7.0


def karras_sigmas(edm: Edm, steps: int) -> Tensor:
    """``(steps + 1,)`` noise levels from sigma_max to sigma_min, equal steps in sigma^(1/7), then 0."""
    ends = torch.tensor([edm.sigma_max, edm.sigma_min], dtype=torch.float64) ** (1 / RHO)
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    sigmas = (ends[0] + ramp * (ends[1] - ends[0])) ** RHO
    return torch.cat([sigmas, sigmas.new_zeros(1)]).float()


def sample_euler(
    denoiser: Denoiser,
    edm: Edm,
    noise: Tensor,
    condition: FramewiseCondition,
    steps: int,
    guidance: tuple[float, float] | None = None,
) -> Tensor:
    """Integrate dx/dsigma = (x - D(x; sigma)) / sigma from sigma_max to 0.

    Args:
        denoiser: F.
        edm: Constants.
        noise: ``(B, 1 + H, 4, V*h, w)`` of unit variance.
        condition: History, poses, text.
        steps: Euler steps.
        guidance: Strength of classifier-free guidance at the first and at the last frame; None or ends of 1 without
            guidance need half the work.
    """
    sigmas = karras_sigmas(edm, steps).to(noise.device)
    strength = torch.linspace(*(guidance or (1.0, 1.0)), noise.shape[1], device=noise.device)[None, :, None, None, None]
    untold = condition.without_actions(torch.ones(len(noise), dtype=torch.bool, device=noise.device))
    guided = guidance is not None and guidance != (1.0, 1.0)
    x = noise * (edm.sigma_max**2 + 1) ** 0.5
    for sigma, lower in pairwise(sigmas):
        level = sigma.expand(len(x))
        clean = edm.denoise(lambda scaled, c_noise: denoiser(scaled, c_noise, condition, None), x, level)
        if guided:
            other = edm.denoise(lambda scaled, c_noise: denoiser(scaled, c_noise, untold, None), x, level)
            clean = other + strength * (clean - other)
        x = x + (lower - sigma) * (x - clean) / sigma
    return x
