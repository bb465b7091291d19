"""Whether a score tells recordings apart that are not like those the model knows.

Two kinds of score are shown. The uncertainty head's are about the imagined video: it is calibrated to be unsure where
the video is wrong, not where the scene is new. The familiarity (`models.uncertainty.familiarity`) is about what the
cameras see, and is the alarm where a bundle has it.
"""

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
"""The head's score that counts: chosen beforehand, not the best of those above on the data at hand."""
FAMILIARITY = "familiarity"
"""Name of the score that counts where a bundle has it."""
Scores = Mapping[str, np.ndarray]


def clip_scores(doubt: Uncertainty) -> dict[str, np.ndarray]:
    """``(B,)`` of every score of `SCORES`."""
    return {name: score(doubt).numpy() for name, score in SCORES.items()}


def detection(
    inside: Uncertainty, inside_episodes: np.ndarray, outside: Uncertainty, outside_episodes: np.ndarray
) -> dict[str, Any]:
    """`tell_apart` by what the uncertainty says of the clips; `CLIP_SCORE` counts."""
    return tell_apart(clip_scores(inside), inside_episodes, clip_scores(outside), outside_episodes, CLIP_SCORE)


def tell_apart(
    inside: Scores, inside_episodes: np.ndarray, outside: Scores, outside_episodes: np.ndarray, counts: str
) -> dict[str, Any]:
    """How well each score tells clips of one recording from familiar ones.

    Args:
        inside: ``(B,)`` scores of familiar clips by name, higher for stranger ones.
        inside_episodes: ``(B,)`` the episode of each.
        outside: ``(C,)`` the same scores of the other recording.
        outside_episodes: ``(C,)``.
        counts: Name of the score that counts.

    Returns:
        ``auroc`` of the score that counts per clip, its 95 % ``interval`` (whole episodes drawn again, since clips of
        one episode are alike), the same ``per_episode`` (mean score of its clips), and per clip ``by_score``.
    """
    known, strange = inside[counts], outside[counts]
    episodes = (_by_episode(known, inside_episodes), _by_episode(strange, outside_episodes))
    rng = np.random.default_rng(0)
    drawn = [auroc(*(np.concatenate(_redraw(side, rng)) for side in episodes)) for _ in range(RESAMPLINGS)]
    return {
        "auroc": round(auroc(known, strange), 4),
        "interval": [round(float(value), 3) for value in np.quantile(drawn, (0.025, 0.975))],
        "per_episode": round(auroc(*(np.array([part.mean() for part in side]) for side in episodes)), 4),
        "by_score": {name: round(auroc(inside[name], outside[name]), 4) for name in inside},
        "scores": [round(float(value), 4) for value in strange],
    }


def _by_episode(scores: np.ndarray, episodes: np.ndarray) -> list[np.ndarray]:
    return [scores[episodes == name] for name in np.unique(episodes)]


def _redraw(episodes: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    return [episodes[index] for index in rng.integers(len(episodes), size=len(episodes))]
