"""Fine-tuning a diffusion model into a flow map: Algorithm 2, progressive self-distillation (PSD).

One minibatch is split 2:1. Two thirds keep the instantaneous velocity right (flow matching), one third teaches a direct
jump s -> t to agree with the two jumps s -> u -> t of the current weights, under stop-gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.conditioning import Condition
from models.edm import per_row
from models.flow_map import FlowMap

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""v_{s,t}(x) as a function of x, s, t."""


@dataclass(frozen=True)
class JumpTimes:
    """How s < u < t are drawn.

    Attributes:
        start_share: Share of jumps that start at pure noise (s = 0), where one-step sampling lives.
        end_share: Share that end at data (t = 1).
    """

    start_share: float = 0.5
    end_share: float = 0.5

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw s, u, t, each ``(count,)``, with 0 <= s < u < t <= 1."""
        s = torch.rand(count, generator=generator) * 0.98
        s = torch.where(torch.rand(count, generator=generator) < self.start_share, torch.zeros(()), s)
        t = s + (1 - s) * torch.rand(count, generator=generator).clamp(min=0.02)
        t = torch.where(torch.rand(count, generator=generator) < self.end_share, torch.ones(()), t)
        share = torch.rand(count, generator=generator).clamp(0.05, 0.95)
        return s, share * s + (1 - share) * t, t


@dataclass(frozen=True)
class PsdDraws:
    """The randomness of one minibatch of B rows; the first B - B // 3 keep the flow right, the others learn jumps.

    Attributes:
        noise: x_0, ``(B, ...)``.
        now: ``(B - B // 3,)`` flow times.
        jumps: s, u and t, each ``(B // 3,)``.
    """

    noise: Tensor
    now: Tensor
    jumps: tuple[Tensor, Tensor, Tensor]

    @staticmethod
    def sample(shape: torch.Size | tuple[int, ...], times: JumpTimes, generator: torch.Generator) -> PsdDraws:
        """Draw for a minibatch of ``shape`` (B, ...)."""
        rows = shape[0] - shape[0] // 3
        noise = torch.randn(shape, generator=generator)
        fresh = torch.rand(rows, generator=generator)
        pure = torch.rand(rows, generator=generator) < times.start_share / 2
        return PsdDraws(noise, fresh.where(~pure, 0.0), times.sample(shape[0] // 3, generator))

    def map(self, part: Callable[[Tensor], Tensor]) -> PsdDraws:
        """The same with ``part`` applied to every tensor, e.g. one process's rows."""
        s, u, t = self.jumps
        return PsdDraws(part(self.noise), part(self.now), (part(s), part(u), part(t)))


@torch.no_grad()
def teacher_velocity(velocity: Velocity, x: Tensor, s: Tensor, u: Tensor, t: Tensor) -> Tensor:
    """The one velocity that jumps where the two jumps s -> u -> t arrive: a mean weighted by their lengths.

    With u = g s + (1 - g) t that is (1 - g) v_{s,u}(x) + g v_{u,t}(X_{s,u}(x)).
    """
    first = velocity(x, s, u)
    middle = x + per_row(u - s, x) * first
    second = velocity(middle, u, t)
    g = per_row((t - u) / (t - s), x)
    return (1 - g) * first + g * second


def psd_loss(flow_map: FlowMap, clean: Tensor, condition: Condition, draws: PsdDraws) -> tuple[Tensor, Tensor]:
    """L_flow and L_distill of one minibatch ``clean`` (B, ...); B is split 2:1.

    Returns:
        Mean squared errors of the two parts: ||v_{t,t}(x_t) - (x_1 - x_0)||^2 and
        ||X_{s,t}(x_s) - sg(X_{u,t}(X_{s,u}(x_s)))||^2.
    """
    noise, now, (s, u, t) = draws.noise, draws.now.clamp(max=flow_map.latest), draws.jumps
    flow_rows = len(now)

    start = torch.cat([now, s])
    x = per_row(start, clean) * clean + per_row(1 - start, clean) * noise
    distill, jump_condition = x[flow_rows:], condition.rows(slice(flow_rows, None))
    target = teacher_velocity(lambda x_, s_, t_: flow_map.velocity(x_, s_, t_, jump_condition), distill, s, u, t)

    velocity = flow_map.velocity(x, start, torch.cat([now, t]), condition)
    flow_loss = (velocity[:flow_rows] - (clean - noise)[:flow_rows]).square().mean()
    jump_error = per_row(t - s, distill) * (velocity[flow_rows:] - target)
    return flow_loss, jump_error.square().mean()
