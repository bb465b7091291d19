"""Imagined frames against the real ones: PSNR, SSIM, LPIPS, and sharpness where something moves."""

from __future__ import annotations

from collections.abc import Callable
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
        error, similarity = self._compare(frames, _squared_error), self._compare(frames, ssim_map)
        energy = self._compare(frames, lambda imagined, real: gradient_energy(imagined))
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
            "lpips": self._distance(frames),
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
        if self._lpips is None:
            return 1 - self._compare(frames, ssim_map)
        lpips = self._lpips
        return self._compare(frames, lambda imagined, real: _unfold(lpips(*_fold(imagined, real))[1], real))

    def _distance(self, frames: Tensor) -> float | None:
        if self._lpips is None:
            return None
        lpips = self._lpips
        distances = self._compare(frames, lambda imagined, real: lpips(*_fold(imagined, real))[0])
        return round(distances.mean().item(), 4)

    def _compare(self, frames: Tensor, compare: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Apply a comparison of images in [0, 1], some clips at a time."""
        pairs = zip(frames.split(CHUNK), self.real.split(CHUNK), strict=True)
        return torch.cat([compare(imagined.float() / 255, real.float() / 255) for imagined, real in pairs])


def _fold(*images: Tensor) -> list[Tensor]:
    return [each.flatten(0, 2).movedim(-1, 1) for each in images]


def _unfold(maps: Tensor, images: Tensor) -> Tensor:
    return maps.view(images.shape[:-1])


def _squared_error(frames: Tensor, real: Tensor) -> Tensor:
    return (frames - real).square().mean(-1)


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
