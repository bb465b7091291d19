"""A deep ensemble and Monte-Carlo dropout made ready to stand beside the head and the probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from models.bundle import Bundle
from models.evaluation.probes import Contender, with_denoiser
from models.evaluation.say import Say
from models.head_unet import per_view
from models.interfaces import Imagined
from models.metrics import MOVING
from models.training.names import PROBE_SCALES
from models.uncertainty.baselines import DropoutSpread, EnsembleSpread, SpreadCalibration, SpreadJudge
from models.uncertainty.baselines.spread import Predictions, spread_of
from models.uncertainty.c3 import FeaturedVideoModel

ENSEMBLE, DROPOUT = "deep ensemble", "MC dropout"
RATES = (0.05, 0.1, 0.2, 0.4)
"""Dropout rates to choose from."""


@dataclass(frozen=True)
class Known:
    """Imagined clips whose future is known.

    Attributes:
        imagined: The bundle's own prediction, some clips at a time.
        futures: ``(b, H, C, V*h, w)`` what followed, for each part.
    """

    imagined: Sequence[Imagined]
    futures: Sequence[Tensor]

    def errors(self, views: int) -> Tensor:
        """Absolute errors ``(B, H, V, C, h, w)``."""
        pairs = zip(self.imagined, self.futures, strict=True)
        return torch.cat([per_view((part.latents - future).abs(), views) for part, future in pairs])

    def moving(self, views: int) -> Tensor:
        """``(B, H, V, h, w)`` cells whose latents change."""
        pairs = zip(self.imagined, self.futures, strict=True)
        changes = [per_view((future - part.history[:, -1:]).abs(), views).mean(3) for part, future in pairs]
        return torch.cat(changes) > MOVING

    @torch.no_grad()
    def spreads(self, predictions: Predictions, views: int) -> Tensor:
        """Spread of predictions of the same clips ``(B, H, V, C, h, w)``."""
        return torch.cat([spread_of(predictions, part, views) for part in self.imagined])


def spread_contenders(
    bundle: Bundle, members: Sequence[Mapping[str, Tensor]], familiar: Known, development: Known, say: Say
) -> tuple[dict[str, Contender], dict[str, Any]]:
    """Both baselines, which judge the bundle's own video.

    Args:
        bundle: Whose video is judged.
        members: Weights of the ensemble's denoisers.
        familiar: Clips of the training split, on which spreads are calibrated.
        development: Held-out clips on which the dropout rate is chosen; not those of the evaluation.
        say: Told what is done.

    Returns:
        Contenders by name, and how they were made.
    """
    views, scale = len(bundle.config.views), bundle.config.uncertainty.highest
    model = FeaturedVideoModel.of(bundle)
    errors = familiar.errors(views)

    def contender(predictions: Predictions, what: str) -> Contender:
        say(f"calibrating: {what}", 0.0)
        calibration = SpreadCalibration.fit(familiar.spreads(predictions, views), errors, scale)
        return Contender(SpreadJudge(predictions, calibration, views, scale), model, PROBE_SCALES)

    by_rate = _by_rate(lambda rate: DropoutSpread(model, rate), development, views, say)
    rate = max(by_rate, key=lambda candidate: by_rate[candidate])
    dropout = DropoutSpread(model, rate)
    ensemble = EnsembleSpread([with_denoiser(bundle, weights) for weights in members])
    made = {
        "calibrated_on": f"{len(errors)} clips of the training split, a quarter of them disturbed",
        "dropout_rate": rate,
        "dropout_samples": dropout.samples,
        "dropout_spearman_by_rate": {f"{candidate:g}": value for candidate, value in by_rate.items()},
        "development_clips": len(development.errors(views)),
        "members": len(ensemble.members),
    }
    return {ENSEMBLE: contender(ensemble, ENSEMBLE), DROPOUT: contender(dropout, DROPOUT)}, made


def _by_rate(make: Callable[[float], Predictions], clips: Known, views: int, say: Say) -> dict[float, float]:
    """Rank correlation of spread and error of moving cells by dropout rate."""
    error, moving = clips.errors(views).mean(3), clips.moving(views)
    found = {}
    for index, rate in enumerate(RATES):
        say("choosing the dropout rate", index / len(RATES))
        spread = clips.spreads(make(rate), views).mean(3)
        found[rate] = round(float(spearmanr(spread[moving], error[moving]).statistic), 4)
    return found
