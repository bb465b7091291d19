"""Fingers and yaw, refined by asking: no gradient, no half closed fingers, and no change that one noise alone likes.

To a model that saw fingers open or closed only, a gripper at 0.4 means nothing, and a gradient along yaw leads where
no recording went. So whole alternatives are proposed, close to the chunk at hand: the fingers toggle at another frame
or not at all, the hand turns across what it looks for. One replaces the chunk only if it gains a margin of J in
every one of several imaginations from different noise. And fingers toggle only where the tool is at what is looked for:
E[V] alone likes to close and to let go too early.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from planner_server.local_planners.interfaces import Budget, LocalPlanner, Problem, Refinement, displace


@dataclass(frozen=True)
class FingersAndTurns:
    """A local planner followed by the best of the alternatives, if it is sure to be better.

    Attributes:
        positions: Improves the path first.
        margin: What an alternative must gain of J.
        draws: Number of noises that must agree.
        reach: Image widths between tool and object within which the fingers may toggle.
    """

    positions: LocalPlanner
    margin: float
    draws: int
    reach: float

    def refine(self, problem: Problem, budget: Budget) -> Refinement:
        """Refine the path, then ask about fingers and yaw."""
        path = self.positions.refine(problem, budget)
        others = self.alternatives(path.chunk, problem)
        if not len(others):
            return path
        with torch.no_grad():
            values = problem.objective(others)
            rival, value = others[values.argmax()], float(values.max())
            if value < path.after + self.margin or not self._always_better(problem, path.chunk, rival):
                return path
        return Refinement(rival, path.before, value)

    def alternatives(self, chunk: Tensor, problem: Problem) -> Tensor:
        """Feasible chunks ``(B, H, 7)`` like this one with other fingers, or turned; perhaps none."""
        held, frames = problem.start[6].round(), torch.arange(len(chunk), device=chunk.device)
        first = frames[problem.objective.off_centre(chunk) <= self.reach]
        fingers = torch.where(frames >= first[:, None], 1 - held, held)  # toggled from one of these frames on
        fingers = torch.cat([fingers, held.expand(1, len(chunk))])  # or never
        fingers = fingers[(fingers != chunk[:, 6].round()).any(1)]
        regripped = chunk.expand(len(fingers), -1, -1).clone()
        regripped[..., 6] = fingers
        turn = problem.objective.turn(chunk)
        if turn is None:
            return problem.feasible(regripped)
        yaw = torch.zeros_like(chunk)
        yaw[:, 5] = turn
        return problem.feasible(torch.cat([regripped, displace(chunk, yaw)[None]]))

    def _always_better(self, problem: Problem, chunk: Tensor, rival: Tensor) -> bool:
        pair = torch.stack([chunk, rival])
        for draw in range(1, self.draws):
            present, other = problem.objective(pair, draw).tolist()
            if other < present + self.margin:
                return False
        return True
