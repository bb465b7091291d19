"""GradOpt of Algorithm 3: gradient ascent on the winner's actions through the reward head and the flow map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from planner_server import rotations
from planner_server.config import PlannerConfig
from planner_server.limits import Limits

Objective = Callable[[Tensor], Tensor]
"""Chunk ``(H, 7)`` -> scalar to maximise, differentiable."""

NOISE_MARGIN = 1e-6
"""Improvements below this are rounding, not refinement."""


@dataclass(frozen=True)
class Refinement:
    """What the local planner returns.

    Attributes:
        chunk: ``(H, 7)`` best iterate; the global winner itself when nothing was better.
        before: Objective of the global winner.
        after: Objective of ``chunk``, never below ``before``.
    """

    chunk: Tensor
    before: float
    after: float

    @property
    def refined(self) -> bool:
        """Whether the chunk differs from the global winner."""
        return self.after > self.before


def refine(
    chunk: Tensor,
    start: Tensor,
    objective: Objective,
    limits: Limits,
    config: PlannerConfig,
    on_iteration: Callable[[int], None],
) -> Refinement:
    """K iterations of projected gradient ascent on pose actions.

    The variables are offsets from the current iterate: metres, a rotation vector along the base frame's axes and the
    gripper. Each of the three parts is stepped along its own gradient, scaled so that its largest row moves by the
    configured step (the objective's scale then does not matter), the step shrinking over the iterations. The result is
    projected onto the limits, and the best iterate ever seen is kept.

    Args:
        chunk: ``(H, 7)`` feasible global winner.
        start: ``(7,)`` pose one frame before it.
        objective: Sum over the frames of w(h) E[V].
        limits: Feasible chunks.
        config: K and the step sizes.
        on_iteration: Called with the number of every iteration before it runs; may raise to stop.
    """
    iterate = best = chunk.detach()
    before = after = float("nan")
    for k in range(config.iterations + 1):
        on_iteration(k)
        offset = torch.zeros_like(iterate, requires_grad=True)
        value = objective(displace(iterate, offset))
        reached = float(value.detach())
        if k == 0:
            before = after = reached
        elif reached > after + NOISE_MARGIN:
            best, after = iterate, reached
        if k == config.iterations:
            break
        (gradient,) = torch.autograd.grad(value, offset)
        step = ascent_step(gradient, config) * (1 - k / (config.iterations + 1))
        iterate = limits.project(displace(iterate, step), start).detach()
    return Refinement(best, before, after)


def displace(chunk: Tensor, offset: Tensor) -> Tensor:
    """Poses ``(H, 7)`` moved by offsets ``(H, 7)``: metres, rotation vector [rad] in the base frame, gripper."""
    turned = rotations.multiply(rotations.exponential(offset[..., 3:6]), rotations.euler_to_quaternion(chunk[..., 3:6]))
    return torch.cat(
        [
            chunk[..., :3] + offset[..., :3],
            rotations.quaternion_to_euler(turned),
            chunk[..., 6:] + offset[..., 6:],
        ],
        -1,
    )


def ascent_step(gradient: Tensor, config: PlannerConfig) -> Tensor:
    """Offsets ``(H, 7)`` along the gradient, the largest row of each part as long as its configured step.

    A gradient that is not finite (a saturated network) counts as zero.
    """
    gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
    parts = (
        (gradient[..., :3], config.step_position),
        (gradient[..., 3:6] * gradient.new_tensor(config.turn_axes), config.step_rotation),
        (gradient[..., 6:], config.step_gripper),
    )
    return torch.cat([size * part / part.norm(dim=-1).max().clamp(min=1e-12) for part, size in parts], -1)
