"""Whether the uncertainty tells recordings apart that are not like those the model knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.evaluation.relations import auroc
from models.interfaces import Uncertainty

UPPER = 0.95
RESAMPLINGS = 500


def mean_uncertainty(doubt: Uncertainty) -> Tensor:
    """``(B,)`` mean h of the whole imagined video."""
    return doubt.h.mean(dim=(1, 2, 3, 4))


def upper_uncertainty(doubt: Uncertainty) -> Tensor:
    """``(B,)`` upper quantile of h: a small unknown thing makes few cells doubtful."""
    return torch.quantile(doubt.h.flatten(1), UPPER, dim=1)


def lower_uncertainty(doubt: Uncertainty) -> Tensor:
    """``(B,)`` lower quantile of h: cells in which nothing moves are sure, unless the whole scene is unknown."""
    return torch.quantile(doubt.h.flatten(1), 1 - UPPER, dim=1)


def expected_error(doubt: Uncertainty) -> Tensor:
    """``(B,)`` mean expected latent error."""
    return doubt.expected_error.mean(dim=(1, 2, 3, 4))


Score = Callable[[Uncertainty], Tensor]
SCORES: Mapping[str, Score] = {
    "mean h": mean_uncertainty,
    "upper h": upper_uncertainty,
    "lower h": lower_uncertainty,
    "expected error": expected_error,
}
CLIP_SCORE = "mean h"
"""The score that counts: chosen beforehand, not the best of those above on the data at hand."""


def detection(
    inside: Uncertainty, inside_episodes: np.ndarray, outside: Uncertainty, outside_episodes: np.ndarray
) -> dict[str, Any]:
    """How well each score tells clips of one recording from familiar ones.

    Returns:
        ``auroc`` of `CLIP_SCORE` per clip, its 95 % ``interval`` (whole episodes drawn again, since clips of one
        episode are alike), the same ``per_episode`` (mean score of its clips), and per clip ``by_score``.
    """
    scores = {name: (score(inside).numpy(), score(outside).numpy()) for name, score in SCORES.items()}
    known, strange = scores[CLIP_SCORE]
    episodes = (_by_episode(known, inside_episodes), _by_episode(strange, outside_episodes))
    rng = np.random.default_rng(0)
    drawn = [auroc(*(np.concatenate(_redraw(side, rng)) for side in episodes)) for _ in range(RESAMPLINGS)]
    return {
        "auroc": round(auroc(known, strange), 4),
        "interval": [round(float(value), 3) for value in np.quantile(drawn, (0.025, 0.975))],
        "per_episode": round(auroc(*(np.array([part.mean() for part in side]) for side in episodes)), 4),
        "by_score": {name: round(auroc(*pair), 4) for name, pair in scores.items()},
        "scores": [round(float(value), 4) for value in strange],
    }


def _by_episode(scores: np.ndarray, episodes: np.ndarray) -> list[np.ndarray]:
    return [scores[episodes == name] for name in np.unique(episodes)]


def _redraw(episodes: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    return [episodes[index] for index in rng.integers(len(episodes), size=len(episodes))]
