"""Model-predictive path integral control: the mean of sampled chunks, each weighted by the exponential of its J."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from planner_server.local_planners.interfaces import Best, Budget, Problem, Refinement, displace
from planner_server.local_planners.sampling import smooth_noise, spread


@dataclass(frozen=True)
class PathIntegral:
    """Offsets of the winner's poses, moved to the weighted mean of samples around them round after round.

    Attributes:
        samples: Chunks per round, imagined in one batch.
        position: Standard deviation of the samples, metres per axis and frame.
        temperature: Of the weights exp(J / temperature), in standard deviations of J over the samples: the scale of J
            then does not matter.
    """

    samples: int
    position: float
    temperature: float

    @torch.no_grad()
    def refine(self, problem: Problem, budget: Budget) -> Refinement:
        """As many rounds as the budget allows; a round's mean is judged with the next round's samples."""
        best, generator = Best(problem.chunk), torch.Generator().manual_seed(problem.seed)
        mean, deviation = torch.zeros_like(problem.chunk), spread(problem.chunk, self.position)
        for _ in budget:
            noise = smooth_noise(self.samples, mean, generator)
            noise[0] = 0.0  # the mean itself, in the first round the winner
            chunks = problem.feasible(displace(problem.chunk, mean + deviation * noise))
            values = problem.objective(chunks)
            best.see(chunks, values)
            weights = torch.softmax(values / (self.temperature * values.std().clamp(min=1e-9)), 0)
            mean = mean + deviation * (weights[:, None, None] * noise).sum(0)
        final = problem.feasible(displace(problem.chunk, mean))
        best.see(final[None], problem.objective(final[None]))
        return best.refinement()
