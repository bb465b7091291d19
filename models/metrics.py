"""Held-out figures of the heads: calibration (ECE, MCE) and rank correlation with the truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from models.bins import bin_index
from models.head_unet import per_view
from models.interfaces import Imagined
from models.uncertainty import UncertaintyHead
from models.value import ValueHead

CONFIDENCE_BINS = 10
MOVING = 0.25
"""A latent cell moves when its mean absolute change from the newest frame exceeds this."""


def calibration(confidence: np.ndarray, hit: np.ndarray) -> tuple[float, float]:
    """Expected and maximum calibration error over ten equal confidence bins, pooled over all entries.

    Args:
        confidence: Predicted probabilities of events, any shape.
        hit: Whether each happened, same shape.
    """
    confidence, hit = confidence.ravel(), hit.ravel().astype(float)
    bins = np.clip((confidence * CONFIDENCE_BINS).astype(int), 0, CONFIDENCE_BINS - 1)
    counts = np.bincount(bins, minlength=CONFIDENCE_BINS)
    used = counts > 0
    gaps = np.abs(np.bincount(bins, hit, CONFIDENCE_BINS)[used] - np.bincount(bins, confidence, CONFIDENCE_BINS)[used])
    return float(gaps.sum() / counts.sum()), float((gaps / counts[used]).max())


def psnr(squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of values in [0, 1]."""
    return round(-10 * math.log10(max(squared_error, 1e-9)), 2)


@torch.no_grad()
def uncertainty_figures(head: UncertaintyHead, imagined: Imagined, truth: Tensor, limit: int = 128) -> dict[str, Any]:
    """Calibration of the error distribution and rank correlations with the error that really occurred.

    ECE pools the events "the absolute error of this latent element is below the edge of bin k" over all edges.

    Args:
        head: The head.
        imagined: ``B`` predictions.
        truth: ``(B, H, C, V*h, w)``.
        limit: Most clips used for the calibration (it needs every bin of every element).
    """
    views, bins = head.config.views, head.config.bins
    error = per_view((imagined.latents - truth).abs(), views)
    confidences, hits, h, expected = [], [], [], []
    for rows in torch.arange(len(truth)).split(8):
        part = _rows(imagined, rows)
        judged = head(part)
        h.append(judged.h)
        expected.append(judged.expected_error)
        if rows[0] >= limit:
            continue
        cumulative = head.log_probabilities(part).float().exp().cumsum(dim=4)[..., :-1, ::3, ::3]
        index = bin_index(error[rows], bins, head.config.highest)[..., ::3, ::3].unsqueeze(4)
        edges = torch.arange(bins - 1).reshape(-1, 1, 1)
        confidences.append(cumulative.clamp(0, 1).numpy().ravel())
        hits.append((index <= edges).numpy().ravel())
    ece, mce = calibration(np.concatenate(confidences), np.concatenate(hits))
    mean_error = error.mean(dim=3)
    current = imagined.history[:, -1:]
    change = per_view((truth - current).abs(), views).mean(dim=3)
    moving = (change > MOVING).numpy()
    uncertainty, means, judged_error = torch.cat(h).numpy(), torch.cat(expected).numpy(), mean_error.numpy()
    return {
        "ece": round(ece, 4),
        "mce": round(mce, 4),
        "rank correlation of h with error, all cells": rank_correlation(uncertainty, judged_error),
        "rank correlation of h with error, moving cells": rank_correlation(uncertainty[moving], judged_error[moving]),
        "rank correlation of expected error with error, moving cells": rank_correlation(
            means[moving], judged_error[moving]
        ),
        "rank correlation of h with error, per clip": rank_correlation(
            uncertainty.mean((1, 2, 3, 4)), judged_error.mean((1, 2, 3, 4))
        ),
        "mean expected error": round(float(means.mean()), 4),
        "mean error": round(float(judged_error.mean()), 4),
        "mean h": round(float(uncertainty.mean()), 4),
        "mean h, moving cells": round(float(uncertainty[moving].mean()), 4) if moving.any() else None,
        "share of moving cells": round(float(moving.mean()), 4),
    }


@torch.no_grad()
def value_figures(head: ValueHead, probabilities: Tensor, returns: Tensor) -> dict[str, Any]:
    """Calibration of the returns' distribution, and how expected returns rank and differ from the true ones."""
    cumulative = probabilities.cumsum(-1)[..., :-1].clamp(0, 1).numpy()
    index = bin_index(returns, head.config.bins, head.config.highest)[..., None].numpy()
    ece, mce = calibration(cumulative, index <= np.arange(head.config.bins - 1))
    expected = head.expected(probabilities).numpy()
    truth = returns.numpy()
    return {
        "ece": round(ece, 4),
        "mce": round(mce, 4),
        "rank correlation": rank_correlation(expected, truth),
        "rank correlation among successes": rank_correlation(expected[truth > 0], truth[truth > 0]),
        "mean absolute error": round(float(np.abs(expected - truth).mean()), 4),
        "mean absolute error of the constant mean": round(float(np.abs(truth.mean() - truth).mean()), 4),
        "mean expected": round(float(expected.mean()), 4),
        "mean return": round(float(truth.mean()), 4),
    }


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation, None where one side is constant or too short."""
    first, second = first.ravel(), second.ravel()
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return round(float(spearmanr(first, second).statistic), 4)


def _rows(imagined: Imagined, rows: Tensor) -> Imagined:
    return Imagined(
        imagined.latents[rows], imagined.history[rows], imagined.history_poses[rows], imagined.actions[rows]
    )
