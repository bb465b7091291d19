"""Correlation of uncertainty with error, honest about how many independent samples there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import pearsonr, rankdata, spearmanr, ttest_1samp

FEWEST = 3


def relation(
    uncertainty: np.ndarray, error: np.ndarray, moving: np.ndarray, episodes: np.ndarray, views: Sequence[str]
) -> dict[str, Any]:
    """How uncertainty and error of cells go together.

    Args:
        uncertainty: ``(B, H, V, h, w)``.
        error: The same shape.
        moving: The same shape, True where something moves.
        episodes: ``(B,)`` episode of each clip.
        views: V names.

    Returns:
        ``pearson`` and ``spearman`` over all moving cells. Cells of one clip are not independent, so no p-value is
        computed from their number: ``p`` is that of the clips' means (``per_clip``, the larger of the two), and
        ``within_clips`` tests the correlations inside single clips against zero. ``per_episode`` is stricter still.
    """
    clips = uncertainty.mean((1, 2, 3, 4)), error.mean((1, 2, 3, 4))
    whole = coefficients(*clips)
    return {
        **{key: value for key, value in coefficients(uncertainty[moving], error[moving]).items() if key != "p"},
        "p": whole["p"],
        "cells": int(moving.sum()),
        "per_clip": {**whole, "n": len(episodes)},
        "per_episode": _per_episode(*clips, episodes),
        "within_clips": _within(uncertainty, error, moving),
        "all_cells": {k: v for k, v in coefficients(uncertainty, error).items() if k != "p"},
        "by_frame": [_spearman(uncertainty[:, f], error[:, f], moving[:, f]) for f in range(moving.shape[1])],
        "by_view": {
            name: _spearman(uncertainty[:, :, v], error[:, :, v], moving[:, :, v]) for v, name in enumerate(views)
        },
    }


def coefficients(first: np.ndarray, second: np.ndarray) -> dict[str, float | None]:
    """Pearson's and Spearman's coefficients and the larger of their two p-values (for independent samples).

    None where one side is constant or there are too few samples.
    """
    first, second = first.ravel().astype(float), second.ravel().astype(float)
    if len(first) < FEWEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return {"pearson": None, "spearman": None, "p": None}
    straight, ranked = pearsonr(first, second), spearmanr(first, second)
    return {
        "pearson": round(float(straight.statistic), 4),
        "spearman": round(float(ranked.statistic), 4),
        "p": float(f"{max(straight.pvalue, ranked.pvalue):.2g}"),
    }


def _per_episode(uncertainty: np.ndarray, error: np.ndarray, episodes: np.ndarray) -> dict[str, Any]:
    names = np.unique(episodes)
    means = ([values[episodes == name].mean() for name in names] for values in (uncertainty, error))
    return {**coefficients(*map(np.array, means)), "n": len(names)}


def _within(uncertainty: np.ndarray, error: np.ndarray, moving: np.ndarray) -> dict[str, Any]:
    """Spearman's coefficient inside each clip, and whether its mean (through Fisher's z) differs from zero."""
    inside = [_spearman(u, e, m) for u, e, m in zip(uncertainty, error, moving, strict=True)]
    known = np.array([value for value in inside if value is not None])
    if len(known) < FEWEST:
        return {"spearman": None, "p": None, "n": len(known)}
    test = ttest_1samp(np.arctanh(known.clip(-0.999, 0.999)), 0.0)
    return {"spearman": round(float(known.mean()), 4), "p": float(f"{test.pvalue:.2g}"), "n": len(known)}


def _spearman(uncertainty: np.ndarray, error: np.ndarray, moving: np.ndarray) -> float | None:
    return coefficients(uncertainty[moving], error[moving])["spearman"]


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Probability that a score from outside exceeds one from inside, ties counting half."""
    ranks = rankdata(np.concatenate([outside, inside]))[: len(outside)].sum()
    return float((ranks - len(outside) * (len(outside) + 1) / 2) / (len(outside) * len(inside)))
