"""Agreement of two rankings of the same candidates, and what choosing by one costs in the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000
COVERAGE = 0.95


def kendall_tau(imagined: np.ndarray, true: np.ndarray, tie: float) -> float:
    """Kendall's tau-b of ``(K,)`` rewards: in [-1, 1], ties of either ranking left out of its normalisation.

    Args:
        imagined: Ties are exact equality.
        true: Values that differ by no more than ``tie`` are equally good.
        tie: What is too small a difference to rank by, in the unit of ``true``.

    Returns:
        NaN where either ranking ties everything: then there is nothing to agree on.
    """
    first, second = np.triu_indices(len(true), 1)
    imagined_order = np.sign(imagined[first] - imagined[second])
    difference = true[first] - true[second]
    true_order = np.sign(difference) * (np.abs(difference) > tie)
    pairs = np.sqrt(np.abs(imagined_order).sum() * np.abs(true_order).sum())
    return float(imagined_order @ true_order / pairs) if pairs else float("nan")


def in_top_third(true: np.ndarray, chosen: int, tie: float) -> bool:
    """Whether a candidate is at least as good as the worst of the best third (rounded up), give or take ``tie``."""
    third = -(-len(true) // 3)
    return bool(true[chosen] >= np.sort(true)[-third] - tie)


def regret(true: np.ndarray, chosen: int) -> float:
    """What the best candidate would have brought beyond the chosen one, in the unit of ``true``."""
    return float(true.max() - true[chosen])


def relative_regret(true: np.ndarray, chosen: int, tie: float) -> float:
    """`regret` as a share of the range of all candidates: 0 the best, 1 the worst; NaN where all are equally good."""
    span = float(np.ptp(true))
    return regret(true, chosen) / span if span > tie else float("nan")


def mean_with_interval(values: Sequence[float]) -> dict[str, float | int | list[float] | None]:
    """Mean over states, its 95 % interval from a bootstrap over the states, and how many there were.

    NaN values (nothing to rank in that state) are left out. The resampling is seeded: the same values, the same
    interval.
    """
    known = np.array([value for value in values if not np.isnan(value)], dtype=float)
    if not len(known):
        return {"mean": None, "interval": None, "states": 0}
    draws = np.random.default_rng(0).integers(len(known), size=(RESAMPLES, len(known)))
    margins = np.quantile(known[draws].mean(1), [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return {
        "mean": round(float(known.mean()), 4),
        "interval": [round(float(margin), 4) for margin in margins],
        "states": len(known),
    }
