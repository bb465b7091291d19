"""Rates with intervals, and whether two methods differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import barnard_exact, binomtest

COVERAGE = 0.95


@dataclass(frozen=True)
class Rate:
    """How often something was so: ``hits`` of ``of`` trials."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """In [0, 1]; None of no trials."""
        return self.hits / self.of if self.of else None

    @property
    def wilson(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval; None of no trials."""
        if not self.of:
            return None
        interval = binomtest(self.hits, self.of).proportion_ci(COVERAGE, method="wilson")
        return float(interval.low), float(interval.high)


def rate(labels: Sequence[bool | None]) -> Rate:
    """Rate of True among the labels that are known."""
    known = [label for label in labels if label is not None]
    return Rate(sum(known), len(known))


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Two-sided p of McNemar's exact test that two methods do equally well on the same initial states.

    Only the states count in which one succeeded and the other did not: under the hypothesis each falls to either side
    like a coin.

    Args:
        first: Success of one method per state.
        second: Of the other, in the same order.
    """
    won = sum(a and not b for a, b in zip(first, second, strict=True))
    lost = sum(b and not a for a, b in zip(first, second, strict=True))
    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def barnard(first: Rate, second: Rate) -> float | None:
    """Two-sided p of Barnard's exact test that two unpaired rates are equal; None where either has no trials."""
    if not first.of or not second.of:
        return None
    if first.hits + second.hits in (0, first.of + second.of):
        return 1.0  # all alike: nothing tells them apart, and the statistic is not defined
    table = [[first.hits, second.hits], [first.of - first.hits, second.of - second.hits]]
    return float(barnard_exact(table).pvalue)
