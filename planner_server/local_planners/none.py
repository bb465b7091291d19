"""No local planner: the global winner as it is (`vidplan serve --no-refine`)."""

from __future__ import annotations

import torch

from planner_server.local_planners.interfaces import Best, Budget, Problem, Refinement


class Unrefined:
    """Changes nothing, and says what the winner's J is."""

    def refine(self, problem: Problem, budget: Budget) -> Refinement:
        """The global winner."""
        best = Best(problem.chunk)
        with torch.no_grad():
            best.see(problem.chunk[None], problem.objective(problem.chunk[None]))
        return best.refinement()
