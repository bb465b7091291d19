from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from models.bundle import Bundle
from models.evaluation.judged import Judged
from models.evaluation.relations import auroc, coefficients, relation
from models.evaluation.reliability import Reliability
from models.evaluation.uncertainty import _count
from models.evaluation.unfamiliar import detection
from models.interfaces import Imagined, Uncertainty
from models.metrics import calibration
from models.training.clips import Batch

RNG = np.random.default_rng(0)


def silent(what: str, fraction: float) -> None:
    pass


def test_reliability_is_the_calibration_of_all_events_and_of_groups():
    confidence = RNG.random((4000, 2)).astype(np.float32)
    hit = RNG.random((4000, 2)) < np.where(np.arange(2) == 0, confidence, confidence**2)
    counted = Reliability(2)
    for part in np.array_split(np.arange(4000), 3):
        counted.add(confidence[part], hit[part], np.arange(2))
    assert counted.errors() == pytest.approx(calibration(confidence, hit), abs=1e-4)
    assert counted.pick(0).ece == pytest.approx(calibration(confidence[:, 0], hit[:, 0])[0], abs=1e-4)
    assert counted.pick(0).ece < 0.03 < 0.1 < counted.pick(1).ece
    assert sum(row[2] for row in counted.pick(slice(None)).curve()) == 8000
    assert Reliability(2).ece is None


class _Head(nn.Module):
    """Gives every element the same distribution over the error's bins."""

    def __init__(self, config: Any, probabilities: torch.Tensor) -> None:
        super().__init__()
        self.config, self.probabilities = config, probabilities

    def log_probabilities(self, imagined: Imagined) -> torch.Tensor:
        B, H, C, rows, w = imagined.latents.shape
        logs = self.probabilities.clamp(min=1e-9).log().reshape(1, 1, 1, 1, -1, 1, 1)
        return logs.expand(B, H, 3, C, -1, rows // 3, w)


def judged(bundle: Bundle, clips: int = 3) -> Judged:
    """Clips whose errors are uniform over the range of the bundle's bins; the second half of the channels moved."""
    generator = torch.Generator().manual_seed(0)
    H, highest = bundle.config.horizon, bundle.config.uncertainty.highest
    history = torch.zeros(clips, 2, 48, 18, 10)
    future = torch.zeros(clips, H, 48, 18, 10)
    future[:, :, :, :, 5:] = 1.0
    latents = future + highest * torch.rand(future.shape, generator=generator)
    poses = torch.zeros(clips, H, 7)
    batch = Batch(history, poses[:, :2], poses, future, np.arange(clips))
    return Judged(
        cast(Any, SimpleNamespace(horizon=H)), batch, latents, Imagined(latents, history, poses[:, :2], poses)
    )


def test_a_head_that_knows_the_distribution_is_calibrated_and_a_bold_one_is_not(bundle: Bundle):
    config = bundle.config.uncertainty
    knowing, bold = torch.full((config.bins,), 1 / config.bins), torch.zeros(config.bins)
    bold[0] = 1.0
    known, sure = (
        _count(replace(bundle, uncertainty=cast(Any, _Head(config, p))), judged(bundle), silent, "")
        for p in (knowing, bold)
    )
    figures = known.figures(bundle.config.views, bundle.config.horizon)
    assert figures["ece"] < 0.01
    assert figures["ece_top_bin"] < 0.01
    assert figures["ece_moving_by_view"]["wrist"] < 0.02
    figures = sure.figures(bundle.config.views, bundle.config.horizon)
    assert figures["ece"] == pytest.approx(0.5, abs=0.05)  # the mean of 1 - k/30 over the edges
    assert figures["ece_top_bin_moving"] == pytest.approx(1 - 1 / config.bins, abs=0.02)
    assert known.elements.shape[1] == 2


def cells(noise: float, clips: int = 12) -> tuple[np.ndarray, ...]:
    """Uncertainty and error of moving and still cells; still cells have neither."""
    moving = RNG.random((clips, 5, 3, 6, 10)) < 0.3
    level = RNG.random((clips, 1, 1, 1, 1)) + RNG.random(moving.shape)
    return np.where(moving, level, 0), np.where(moving, level + noise * RNG.normal(size=moving.shape), 0), moving


def test_relation_of_uncertainty_and_error():
    h, error, moving = cells(0.1)
    episodes = np.arange(12) // 2
    found = relation(h, error, moving, episodes, ("left", "right", "wrist"))
    assert found["pearson"] > 0.9
    assert found["spearman"] == pytest.approx(coefficients(h[moving], error[moving])["spearman"])
    assert found["per_clip"]["n"] == 12
    assert found["per_episode"]["n"] == 6
    assert found["p"] == coefficients(h.mean((1, 2, 3, 4)), error.mean((1, 2, 3, 4)))["p"]
    assert found["within_clips"]["p"] < 1e-6
    assert len(found["by_frame"]) == 5
    assert set(found["by_view"]) == {"left", "right", "wrist"}


def test_moving_cells_are_not_flattered_by_still_ones():
    h, error, moving = cells(0.0)
    error = np.where(moving, RNG.random(moving.shape), 0)
    found = relation(h, error, moving, np.arange(12), ("left", "right", "wrist"))
    assert found["all_cells"]["spearman"] > 0.8
    assert abs(found["spearman"]) < 0.1


def test_a_constant_has_no_correlation():
    assert coefficients(np.ones(9), np.arange(9)) == {"pearson": None, "spearman": None, "p": None}


def test_auroc():
    assert auroc(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0
    assert auroc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 0.0
    assert auroc(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.5
    assert auroc(np.array([0.0, 2.0]), np.array([1.0, 3.0])) == 0.75


def doubt(h: np.ndarray) -> Uncertainty:
    values = torch.from_numpy(h).float()
    return Uncertainty(h=values, expected_error=values, entropy=values)


def test_detection_of_a_small_unknown_thing_needs_the_upper_quantile():
    familiar, strange = (RNG.random((40, 5, 3, 6, 10)) * 0.5 for _ in range(2))
    strange[:, :, 0, :3, :5] += 0.4
    episodes = np.arange(40) // 4
    found = detection(doubt(familiar), episodes, doubt(strange), episodes)
    assert found["auroc"] == found["by_score"]["mean h"] == 1.0
    assert found["by_score"]["upper h"] == 1.0
    assert found["by_score"]["lower h"] < 0.9
    assert found["interval"] == [1.0, 1.0]
    same = detection(doubt(familiar[:20]), episodes[:20], doubt(familiar[20:]), episodes[20:])
    assert same["interval"][0] < 0.5 < same["interval"][1]
