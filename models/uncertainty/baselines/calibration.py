"""From the spread of several predictions to the probability of errors: counted, on clips whose errors are known.

A spread is no probability. Elements of training clips are sorted by it into bins of equal size, and the errors in each
bin are counted (histogram binning); between the bins their distribution is interpolated along the spread's logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

BINS = 40
TAIL = (0.98, 0.99, 0.995, 0.998, 0.9995)
"""Further borders among the largest spreads, which unfamiliar scenes have."""
EDGES = 100
"""Equal steps of the error scale at which the distribution is known."""
SMALLEST = 1e-6


@dataclass(frozen=True)
class SpreadCalibration:
    """Distribution of the error given the spread.

    Attributes:
        knots: ``(K,)`` mean logarithm of the spread in each bin, rising.
        below: ``(K, EDGES + 1)`` share of errors up to 0, 1/EDGES, ... 1 of the error scale.
        expected: ``(K,)`` mean error, latent units.
    """

    knots: Tensor
    below: Tensor
    expected: Tensor

    @classmethod
    def fit(cls, spread: Tensor, error: Tensor, scale: float) -> SpreadCalibration:
        """Count.

        Args:
            spread: Of latent elements, any shape.
            error: Their absolute errors, the same shape.
            scale: The bundle's error scale.
        """
        order = spread.flatten().argsort()
        logs, errors = _log(spread).flatten()[order], error.flatten()[order]
        shares = sorted({*torch.linspace(0, 1, BINS + 1).tolist(), *TAIL})
        borders = [round(share * len(errors)) for share in shares]
        edges = torch.linspace(0, scale, EDGES + 1)
        knots, below, expected = [], [], []
        for start, end in pairwise(borders):
            if end > start:
                knots.append(logs[start:end].mean())
                some = errors[start:end].sort().values
                below.append(torch.searchsorted(some, edges, right=True) / len(some))
                expected.append(some.mean())
        return cls(torch.stack(knots), torch.stack(below), torch.stack(expected))

    def confidence(self, spread: Tensor, eps: float) -> Tensor:
        """Probability, of the shape of ``spread``, that the error is at most ``eps`` of the error scale."""
        place = min(max(eps, 0.0), 1.0) * EDGES
        low = min(int(place), EDGES - 1)
        return self._at(spread, torch.lerp(self.below[:, low], self.below[:, low + 1], place - low))

    def error(self, spread: Tensor) -> Tensor:
        """Expected error in latent units, of the shape of ``spread``."""
        return self._at(spread, self.expected)

    def _at(self, spread: Tensor, values: Tensor) -> Tensor:
        """Values ``(K,)`` at the knots, in between at spreads; constant beyond. Differentiable in the spread."""
        logs = _log(spread)
        right = torch.searchsorted(self.knots, logs.detach().contiguous()).clamp(1, len(self.knots) - 1)
        left = self.knots[right - 1]
        share = (logs - left) / (self.knots[right] - left).clamp(min=SMALLEST)
        return torch.lerp(values[right - 1], values[right], share.clamp(0, 1))


def _log(spread: Tensor) -> Tensor:
    return spread.clamp(min=SMALLEST).log()
