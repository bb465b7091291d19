"""A deep ensemble and Monte-Carlo dropout as uncertainty models: the spread of their predictions, calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.head_unet import per_view
from models.interfaces import Imagined, Uncertainty
from models.uncertainty.baselines.calibration import SpreadCalibration
from models.uncertainty.c3.probe import binary_entropy
from models.video_model import VideoModel

NOISE_SEED = 11
"""All predictions of one video start from the same noise: only the models are to differ."""


class Predictions(Protocol):
    """Several predictions of the same future."""

    def __call__(self, imagined: Imagined) -> Tensor:
        """Latents ``(S, B, H, C, V*h, w)`` for the history and actions of an imagined video."""
        ...


class EnsembleSpread:
    """What the members of a deep ensemble expect."""

    def __init__(self, members: Sequence[VideoModel]) -> None:
        self.members = members

    def __call__(self, imagined: Imagined) -> Tensor:
        """See `Predictions`."""
        return torch.stack([_expected(member, imagined) for member in self.members])


class DropoutSpread:
    """What one model expects with random channels of its bottleneck left out (Monte-Carlo dropout).

    The tabletop denoiser was trained without dropout: it is put in at inference, behind the last attention block.
    """

    def __init__(self, model: VideoModel, rate: float, samples: int = 5) -> None:
        self.model, self.rate, self.samples = model, rate, samples

    def __call__(self, imagined: Imagined) -> Tensor:
        """See `Predictions`; the same masks at every call, so that candidates and clips can be compared."""
        bottleneck = self.model.denoiser.get_submodule("attention")[-1]  # type: ignore[index]
        generator = torch.Generator().manual_seed(NOISE_SEED)
        found = []
        for _ in range(self.samples):
            with _Dropping(bottleneck, self.rate, generator):
                found.append(_expected(self.model, imagined))
        return torch.stack(found)


class SpreadJudge:
    """An uncertainty model (`interfaces.UncertaintyModel`) made of predictions and a calibration.

    Attributes:
        predictions: Predicts.
        calibration: What a spread means.
        scale: The bundle's error scale.
        eps: Share of it beyond which h counts an error.
    """

    def __init__(
        self, predictions: Predictions, calibration: SpreadCalibration, views: int, scale: float, eps: float = 0.1
    ) -> None:
        self.predictions, self.calibration = predictions, calibration
        self.scale, self.eps, self._views = scale, eps, views
        self._last: tuple[Imagined, Tensor] | None = None

    def spread(self, imagined: Imagined) -> Tensor:
        """Standard deviation of the predictions ``(B, H, V, C, h, w)``; that of the last video is kept."""
        if self._last is None or self._last[0] is not imagined:
            self._last = imagined, spread_of(self.predictions, imagined, self._views)
        return self._last[1]

    def confidences(self, imagined: Imagined, scales: Sequence[float]) -> list[Tensor]:
        """Probabilities ``(B, H, V, C, h, w)`` that errors are at most each of ``scales`` of the error scale."""
        spread = self.spread(imagined)
        return [self.calibration.confidence(spread, eps) for eps in scales]

    def __call__(self, imagined: Imagined) -> Uncertainty:
        """Judge: h is the probability of an error beyond ``eps``, channels averaged."""
        spread = self.spread(imagined)
        inside = self.calibration.confidence(spread, self.eps).clamp(0, 1)
        expected = self.calibration.error(spread)
        return Uncertainty(1 - inside.mean(3), expected.mean(3), binary_entropy(inside).mean(3))


def spread_of(predictions: Predictions, imagined: Imagined, views: int) -> Tensor:
    """Standard deviation of predictions ``(B, H, V, C, h, w)``."""
    return per_view(predictions(imagined).std(dim=0), views)


def _expected(model: VideoModel, imagined: Imagined) -> Tensor:
    noise = model.initial_noise(imagined.history[:1], torch.Generator().manual_seed(NOISE_SEED))
    noise = noise.expand(len(imagined.history), *noise.shape[1:])
    return model.imagine(imagined.history, imagined.history_poses, imagined.actions, steps=0, noise=noise).latents


class _Dropping:
    """Within the body, a module's answer lacks random channels, the same ones for every row of the batch."""

    def __init__(self, module: nn.Module, rate: float, generator: torch.Generator) -> None:
        self._module, self._rate, self._generator = module, rate, generator

    def __enter__(self) -> None:
        self._hook = self._module.register_forward_hook(self._drop)

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _drop(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        kept = torch.rand(1, output.shape[1], 1, 1, generator=self._generator) >= self._rate
        return output * kept.to(output) / (1 - self._rate)
