"""Returns for the value head: what was done by the end of each recorded episode, for every object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.data import Cached, Dataset
from models.episodes import read_object_positions
from models.value import discounted_return

BOWL = "bowl"
IN_BOWL = 0.07
"""Metres between an object and the bowl's middle, on the table, below which it lies in the bowl."""


@dataclass(frozen=True)
class Outcomes:
    """Per episode: where its frames are, and which phrases came true.

    Attributes:
        ends: ``(E,)`` row after the last frame of each episode.
        episode_of: ``(N,)`` episode of every row.
        phrases: Objects one may ask about.
        done: ``(E, len(phrases))`` 1 where that object was in the bowl at the end.
        present: ``(E, len(phrases))`` True where that object was on the table.
        target: ``(E,)`` index of the instructed object, -1 when unknown.
    """

    ends: np.ndarray
    episode_of: np.ndarray
    phrases: tuple[str, ...]
    done: np.ndarray
    present: np.ndarray
    target: np.ndarray


def read_outcomes(data: Dataset) -> Outcomes:
    """Judge every episode of a labelled split: by its success for the target, by true positions for the others."""
    phrases = tuple(name for name in data.classes[1:-1] if name != BOWL)
    bowl = data.classes.index(BOWL) - 1
    columns = [data.classes.index(name) - 1 for name in phrases]
    episode_of = np.full(len(data), -1)
    done, present = (np.zeros((len(data.episodes), len(phrases))) for _ in range(2))
    targets = np.full(len(data.episodes), -1)
    for index, cached in enumerate(data.episodes):
        episode_of[cached.start : cached.start + cached.length] = index
        present[index], done[index] = _judge(cached, columns, bowl)
        if cached.episode.target in phrases:
            targets[index] = phrases.index(cached.episode.target)
            done[index, targets[index]] = cached.episode.success
    ends = np.array([cached.start + cached.length for cached in data.episodes])
    return Outcomes(ends, episode_of, phrases, done, present.astype(bool), targets)


def returns_of(outcomes: Outcomes, rows: np.ndarray, asked: np.ndarray, horizon: int, gamma: float) -> Tensor:
    """Returns ``(B, horizon)`` of the frames after ``rows`` (B,), for the objects ``asked`` (B,)."""
    episodes = outcomes.episode_of[rows]
    frames = rows[:, None] + np.arange(1, horizon + 1)
    remaining = torch.from_numpy(outcomes.ends[episodes][:, None] - 1 - frames).float()
    success = torch.from_numpy(outcomes.done[episodes, asked]).float()[:, None]
    return discounted_return(success, remaining, gamma)


def _judge(cached: Cached, columns: list[int], bowl: int) -> tuple[np.ndarray, np.ndarray]:
    if cached.episode.labels is None:
        return np.zeros(len(columns)), np.zeros(len(columns))
    last = read_object_positions(cached.episode.labels)[cached.length - 1]
    away = np.linalg.norm(last[columns, :2] - last[bowl, :2], axis=1)
    return np.isfinite(away), np.nan_to_num(away, nan=1.0) < IN_BOWL
