"""Diffusion model -> flow map: the Diff2Flow warp of Algorithm 1, X_{s,t} and its sampler.

Convention everywhere: t = 1 is data, t = 0 is noise, x_t = t x_1 + (1 - t) x_0, velocity x_1 - x_0, and
X_{s,t}(x) = x + (t - s) v_{s,t}(x) for s <= t.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from models.conditioning import Condition
from models.denoiser import Denoiser
from models.edm import Edm, per_row


class FlowMap:
    """A denoiser read as a flow map.

    Attributes:
        last_step_only: Gradients go through the last jump of `sample` alone: one jump's memory and time backwards, for
            a gradient that leaves out how the actions changed the way there.
    """

    def __init__(self, denoiser: Denoiser, edm: Edm) -> None:
        self.denoiser = denoiser
        self.edm = edm
        self.last_step_only = False
        self.earliest = 1 / (1 + edm.sigma_max)
        self.latest = 1 / (1 + edm.sigma_min)

    def velocity(self, x: Tensor, s: Tensor, t: Tensor | None, condition: Condition) -> Tensor:
        """v_{s,t}(x), Algorithm 1; with ``t`` None the instantaneous velocity v_{s,s} of the diffusion model.

        Args:
            x: ``(B, H, C, V*h, w)`` at flow time s.
            s: ``(B,)`` in [0, 1]; clamped to the noise levels the diffusion model knows (s = 0 is singular).
            t: ``(B,)`` in [s, 1].
            condition: History and actions.
        """
        distance = None if t is None else t - s
        s = s.clamp(self.earliest, self.latest)
        edm_x, sigma = x / per_row(s, x), (1 - s) / s
        clean = self.edm.denoise(
            lambda noisy, c_noise: self.denoiser(noisy, c_noise, condition, distance), edm_x, sigma
        )
        noise = (edm_x - clean) / per_row(sigma, x)
        return clean - noise

    def jump(self, x: Tensor, s: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """X_{s,t}(x)."""
        return x + per_row(t - s, x) * self.velocity(x, s, t, condition)

    def sample(self, noise: Tensor, condition: Condition, steps: int) -> Tensor:
        """Walk from noise (t = 0) exactly to data (t = 1) in equal jumps; differentiable in the condition.

        Without a jump, ``steps`` 0, what comes is the expected future: at t = 0 the noise says nothing of the data, so
        v_{0,0}(x_0) is E[x_1] - x_0. It is sharp where all futures agree, and half as far from the one that comes as a
        sample is.
        """
        if steps == 0:
            return noise + self.velocity(noise, noise.new_zeros(len(noise)), None, condition)
        times = torch.linspace(0.0, 1.0, steps + 1, device=noise.device)
        x = noise
        for number, (start, end) in enumerate(pairwise(times), 1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and (number == steps or not self.last_step_only)):
                x = self.jump(x, start.expand(len(x)), end.expand(len(x)), condition)
        return x

    def sample_diffusion(
        self, noise: Tensor, condition: Condition, steps: int, guidance: tuple[float, float] | None = None
    ) -> Tensor:
        """Euler integration of the instantaneous velocity: the diffusion model itself, for comparison.

        Args:
            noise: ``(B, H, C, V*h, w)``.
            condition: History and actions.
            steps: Euler steps.
            guidance: Strength of classifier-free guidance at the first and at the last frame (1: none), as Ctrl-World's
                sampler raises it over the frames; doubles the work of a step.
        """
        strength = None
        if guidance is not None:
            strength = torch.linspace(*guidance, noise.shape[1], device=noise.device)[None, :, None, None, None]
            untold = condition.without_actions(torch.ones(len(noise), dtype=torch.bool, device=noise.device))
        times = torch.linspace(0.0, 1.0, steps + 1, device=noise.device)
        x = noise
        for start, end in pairwise(times):
            velocity = self.velocity(x, start.expand(len(x)), None, condition)
            if strength is not None:
                other = self.velocity(x, start.expand(len(x)), None, untold)
                velocity = other + strength * (velocity - other)
            x = x + (end - start) * velocity
        return x
