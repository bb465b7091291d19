"""The cross-entropy method: sample chunks, keep the best, sample around them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from planner_server.local_planners.interfaces import Best, Budget, Problem, Refinement, displace
from planner_server.local_planners.sampling import smooth_noise, spread

NARROWEST = 0.1
"""Share of the first standard deviation below which that of no round falls."""


@dataclass(frozen=True)
class CrossEntropy:
    """Gaussian over the offsets of the winner's poses, fitted to the elite of its samples round after round.

    Attributes:
        samples: Chunks per round, imagined in one batch.
        elite: How many of them the next Gaussian is fitted to.
        position: Standard deviation of the first samples, metres per axis and frame.
    """

    samples: int
    elite: int
    position: float

    @torch.no_grad()
    def refine(self, problem: Problem, budget: Budget) -> Refinement:
        """As many rounds as the budget allows, then the mean of the last elite."""
        best, generator = Best(problem.chunk), torch.Generator().manual_seed(problem.seed)
        mean, deviation = torch.zeros_like(problem.chunk), spread(problem.chunk, self.position)
        narrowest = NARROWEST * deviation
        for _ in budget:
            offsets = mean + deviation * smooth_noise(self.samples, mean, generator)
            offsets[0] = mean  # in the first round the winner
            chunks = problem.feasible(displace(problem.chunk, offsets))
            values = problem.objective(chunks)
            best.see(chunks, values)
            elite = offsets[values.topk(self.elite).indices]
            mean, deviation = elite.mean(0), torch.maximum(elite.std(0), narrowest)
        final = problem.feasible(displace(problem.chunk, mean))
        best.see(final[None], problem.objective(final[None]))
        return best.refinement()
