"""GradOpt of Algorithm 3: gradient ascent on the winner's actions through the reward head and the flow map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from planner_server.constants import constant
from planner_server.local_planners.interfaces import Best, Budget, Problem, Refinement, displace


@dataclass(frozen=True)
class GradientAscent:
    """Projected gradient ascent on pose actions, the paper's local planner.

    The variables are offsets from the current iterate: metres, a rotation vector along the base frame's axes and the
    gripper. Each of the three parts is stepped along its own gradient, scaled so that its largest row moves by the
    configured step (the objective's scale then does not matter), the step shrinking as the budget is spent.

    Attributes:
        step_position: Largest position step of one iteration, metres per frame.
        step_rotation: Largest rotation step, rad per frame.
        turn_axes: Share of the rotation step about each axis of the base frame.
        step_gripper: Largest gripper step, per frame.
    """

    step_position: float
    step_rotation: float
    turn_axes: tuple[float, float, float]
    step_gripper: float

    def refine(self, problem: Problem, budget: Budget) -> Refinement:
        """As many iterations as the budget allows; one more chunk is imagined at the end, without a gradient."""
        best, iterate = Best(problem.chunk), problem.chunk.detach()
        for _ in budget:
            offset = torch.zeros_like(iterate, requires_grad=True)
            value = problem.objective(displace(iterate, offset)[None])
            (gradient,) = torch.autograd.grad(value.sum(), offset)
            best.see(iterate[None], value.detach())
            iterate = problem.feasible(displace(iterate, (1 - budget.spent) * self.step(gradient)))
        with torch.no_grad():
            best.see(iterate[None], problem.objective(iterate[None]))
        return best.refinement()

    def step(self, gradient: Tensor) -> Tensor:
        """Offsets ``(H, 7)`` along the gradient, the largest row of each part as long as its configured step.

        A gradient that is not finite (a saturated network) counts as zero.
        """
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        parts = (
            (gradient[..., :3], self.step_position),
            (gradient[..., 3:6] * constant(self.turn_axes, gradient), self.step_rotation),
            (gradient[..., 6:], self.step_gripper),
        )
        return torch.cat([size * part / part.norm(dim=-1).max().clamp(min=1e-12) for part, size in parts], -1)
