"""Whether the rewards can be believed: the value head's distribution and its course along episodes, where R_u looks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.errors import ModelsError
from models.evaluation.footage import Footage
from models.evaluation.judged import Judged, imagine_clips
from models.evaluation.options import Options
from models.evaluation.relations import auroc, coefficients
from models.evaluation.say import Say
from models.metrics import value_figures
from models.training.heads_stage import ask, relevance_of
from models.training.outcomes import Outcomes, read_outcomes, returns_of
from models.training.semantic_stage import semantic_figures

PHASES = 8
"""Stretches of an episode in the mean curves."""


def measure_reward(bundle: Bundle, footage: Footage, options: Options, say: Say) -> dict[str, Any]:
    """Figures of both rewards on clips spread evenly over every episode.

    Raises:
        ModelsError: The recording has no labels.
    """
    if not footage.data.classes:
        raise ModelsError(f"{footage.data.root} has no labels (labels/classes.json): the rewards have no truth")
    outcomes = read_outcomes(footage.data)
    rows = _along(footage, options.amounts.valued)
    judged = imagine_clips(bundle, footage, rows, options, say, "reward: imagining")
    say("reward: value", 0.0)
    asked = ask(outcomes, rows, [np.random.default_rng([options.seed, row]) for row in rows])
    returns = returns_of(outcomes, rows, asked, footage.horizon, bundle.config.gamma)
    results: dict[str, Any] = {
        "clips": len(rows),
        "episodes": footage.episodes(rows),
        **value_figures(bundle.value, _value(bundle, judged, outcomes, asked), returns),
        **_along_episodes(bundle, judged, outcomes),
    }
    say("reward: semantic", 0.0)
    results["semantic"] = {
        "real": _semantic(bundle, footage, judged.batch.history[:, -1:], rows),
        "imagined": _semantic(bundle, footage, judged.imagined.latents[:, -1:], rows + footage.horizon),
    }
    return results


def _along(footage: Footage, count: int) -> np.ndarray:
    rows = footage.rows()
    parts = [rows[footage.episode_of[rows] == episode] for episode in np.unique(footage.episode_of[rows])]
    return np.concatenate([part[np.unique(np.linspace(0, len(part) - 1, count).astype(int))] for part in parts])


@torch.no_grad()
def _value(bundle: Bundle, judged: Judged, outcomes: Outcomes, asked: np.ndarray) -> Tensor:
    """Bin probabilities ``(B, H, bins)`` of the return, for the objects ``asked`` (B,)."""
    parts = []
    for rows, part in judged.parts():
        phrases = [outcomes.phrases[index] for index in asked[rows.numpy()]]
        parts.append(bundle.value(part, relevance_of(bundle.semantic, part.latents, phrases)))
    return torch.cat(parts)


def _along_episodes(bundle: Bundle, judged: Judged, outcomes: Outcomes) -> dict[str, Any]:
    """Predicted value of the instructed object's task: in successful against failing episodes, early and late."""
    rows, episodes = judged.batch.rows, judged.episodes
    target = outcomes.target[episodes]
    known = target >= 0
    probabilities = _value(bundle, judged, outcomes, np.maximum(target, 0))
    value = bundle.value.expected(probabilities)[:, -1].numpy()
    recorded = judged.footage.data.episodes
    starts, lengths = (np.array([getattr(cached, name) for cached in recorded]) for name in ("start", "length"))
    when = (rows + judged.footage.horizon - starts[episodes]) / (lengths[episodes] - 1)
    won = np.array([recorded[episode].episode.success for episode in episodes], dtype=bool)
    courses = {
        name: _courses(value, when, episodes, known & side) for name, side in (("success", won), ("failure", ~won))
    }
    return {
        "success_auc": _auc(courses, 0.0, 1.0),
        "success_auc_by_third": [_auc(courses, third / 3, (third + 1) / 3) for third in range(3)],
        "rise": {name: _rise(course) for name, course in courses.items()},
        "curves": {name: _curve(course) for name, course in courses.items()},
        "note": (
            "value: mean of the predicted distribution at the last imagined frame, asked about the instructed object; "
            "success_auc: an episode's mean value, successful against failing episodes"
        ),
    }


Course = list[tuple[np.ndarray, np.ndarray]]
"""Per episode: moments as shares of its length, and predicted values."""


def _courses(value: np.ndarray, when: np.ndarray, episodes: np.ndarray, chosen: np.ndarray) -> Course:
    return [
        (when[(episodes == name) & chosen], value[(episodes == name) & chosen]) for name in np.unique(episodes[chosen])
    ]


def _auc(courses: dict[str, Course], low: float, high: float) -> float | None:
    """Area under the curve of an episode's mean value between two moments; None without both kinds of episode."""
    means = {
        name: np.array([v[(t >= low) & (t <= high)].mean() for t, v in course if ((t >= low) & (t <= high)).any()])
        for name, course in courses.items()
    }
    if not len(means["success"]) or not len(means["failure"]):
        return None
    return round(auroc(means["failure"], means["success"]), 4)


def _rise(course: Course) -> dict[str, Any]:
    """Change of the value from the first to the last clip, and its rank correlation with time; means over episodes."""
    changes = [values[-1] - values[0] for _, values in course if len(values) > 1]
    ranks = [r for moments, values in course if (r := coefficients(moments, values)["spearman"]) is not None]
    return {
        "episodes": len(course),
        "change": round(float(np.mean(changes)), 4) if changes else None,
        "share_rising": round(float(np.mean(np.array(changes) > 0)), 4) if changes else None,
        "rank_correlation_with_time": round(float(np.mean(ranks)), 4) if ranks else None,
    }


def _curve(course: Course) -> list[list[float]]:
    """Rows of moment, mean value, standard error over episodes, and episodes, for each phase that has any."""
    rows = []
    for low, high in pairwise(np.linspace(0, 1, PHASES + 1)):
        means = [v[(t > low) & (t <= high)].mean() for t, v in course if ((t > low) & (t <= high)).any()]
        if means:
            error = float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else 0.0
            rows.append([round((low + high) / 2, 4), round(float(np.mean(means)), 4), round(error, 4), len(means)])
    return rows


def _semantic(bundle: Bundle, footage: Footage, latents: Tensor, rows: np.ndarray) -> dict[str, Any]:
    """Centroid errors and detections of every object and view, and their means by view."""
    views = footage.data.views
    found = semantic_figures(bundle.semantic, latents, footage.data.segmentation[rows], footage.data.classes, views)
    means = {}
    for view in views:
        entries = [entry for name, entry in found.items() if name.endswith(f", {view}")]
        means[view] = {
            key: round(float(np.mean(values)), 3)
            for key in ("error", "found", "false")
            if (values := [entry[key] for entry in entries if key in entry])
        }
    return {"by_view": means, "objects": found}
