"""Imagined frames against the real ones: PSNR, SSIM, LPIPS, and sharpness where something moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.evaluation.footage import CHUNK, Footage
from models.evaluation.lpips import Lpips
from models.evaluation.ssim import mean_ssim, ssim_map
from models.metrics import psnr

CHANGED = 0.08
"""A pixel has changed when a colour differs by more than this from the newest observed frame."""


class Truth:
    """What really followed.

    Attributes:
        current: ``(B, V, rows, columns, 3)`` uint8 newest observed frames.
        real: ``(B, F, V, rows, columns, 3)`` uint8 frames that followed.
        changed: ``(B, F, V, rows, columns)`` where they differ from the newest observed one.
    """

    def __init__(self, footage: Footage, rows: np.ndarray, frames: int, lpips: Lpips | None = None) -> None:
        """Look up the ``frames`` frames after ``rows``."""
        self.views, self._lpips = footage.data.views, lpips
        self.current = footage.images(rows)
        self.real = footage.images(rows[:, None] + np.arange(1, frames + 1))
        difference = (self.real.short() - self.current[:, None].short()).abs().amax(-1)
        self.changed = difference > CHANGED * 255

    @property
    def repeated(self) -> Tensor:
        """The forecast that costs nothing: the newest observed frame, again and again."""
        return self.current[:, None].expand_as(self.real)

    @property
    def gradient_energy(self) -> float:
        """What `figures` says of the real frames."""
        return gradient_energy(self.real.float() / 255)[self.changed].mean().item()

    def figures(self, frames: Tensor) -> dict[str, Any]:
        """Figures of uint8 frames ``(B, F, V, rows, columns, 3)``, pooled over clips, frames, views and pixels.

        ``psnr`` in dB of the pooled squared error over all pixels, ``psnr_changed`` over the changed ones,
        ``psnr_changed_last`` over those of the last frame, also by view; ``gradient_energy`` is the mean squared
        brightness gradient on changed pixels.
        """
        error, similarity, energy, distance = self._maps(frames)
        last, moved = error[:, -1], self.changed[:, -1]
        return {
            "psnr": _psnr(error),
            "ssim": round(mean_ssim(similarity), 4),
            "psnr_changed": _psnr(error[self.changed]),
            "psnr_changed_last": _psnr(last[moved]),
            "psnr_changed_last_by_view": {
                view: _psnr(last[:, index][moved[:, index]]) for index, view in enumerate(self.views)
            },
            "gradient_energy": energy[self.changed].mean().item(),
            "lpips": None if distance is None else round(distance.mean().item(), 4),
            "by_frame": [
                {
                    "psnr": _psnr(error[:, frame]),
                    "ssim": round(mean_ssim(similarity[:, frame]), 4),
                    "psnr_changed": _psnr(error[:, frame][self.changed[:, frame]]),
                }
                for frame in range(error.shape[1])
            ],
        }

    def perceptual_error(self, frames: Tensor) -> Tensor:
        """LPIPS where its weights are loaded, else 1 - SSIM, around every pixel: ``(B, F, V, rows, columns)``."""
        _, similarity, _, distance = self._maps(frames)
        return 1 - similarity if distance is None else distance

    def _maps(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        parts = [
            self._maps_of(imagined.float() / 255, real.float() / 255)
            for imagined, real in zip(frames.split(CHUNK), self.real.split(CHUNK), strict=True)
        ]
        error, similarity, energy, distance = zip(*parts, strict=True)
        return (
            torch.cat(error),
            torch.cat(similarity),
            torch.cat(energy),
            None if self._lpips is None else torch.cat(distance),
        )

    def _maps_of(self, frames: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        distance = None
        if self._lpips is not None:
            flat = (images.flatten(0, 2).movedim(-1, 1) for images in (frames, real))
            distance = self._lpips.distance_map(*flat).view(frames.shape[:-1])
        return (frames - real).square().mean(-1), ssim_map(frames, real), gradient_energy(frames), distance


def gradient_energy(images: Tensor) -> Tensor:
    """Squared gradient of the brightness ``(..., rows, columns)`` of images ``(..., rows, columns, 3)``."""
    brightness = images.mean(-1)
    down = torch.diff(brightness, dim=-2, append=brightness[..., -1:, :])
    across = torch.diff(brightness, dim=-1, append=brightness[..., -1:])
    return down.square() + across.square()


def decode(model: Any, latents: Tensor) -> Tensor:
    """Decode ``(B, F, C, V*h, w)``, some clips at a time."""
    return torch.cat([model.decode(part) for part in latents.split(CHUNK)])


def _psnr(squared_errors: Tensor) -> float | None:
    """In dB, None where there is nothing to compare."""
    return psnr(squared_errors.mean().item()) if squared_errors.numel() else None
