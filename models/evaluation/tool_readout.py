"""Where the tool is, read from latent frames of the fixed cameras: a measuring instrument, fitted for one evaluation.

A small network finds points in each view (spatial soft arg max) and turns them into a position. It is fitted on real
frames only, so what it says of imagined ones is what a viewer would say who has never seen imagined video.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.autoencoder import FOLD
from models.bundle import Bundle
from models.conditioning import rotation_matrix
from models.errors import ModelsError
from models.evaluation.footage import Footage
from models.head_unet import per_view
from robot_model.conventions import PINCH_OFFSET

WIDTH, POINTS = 32, 12
BATCH = 32
HIGHEST_RATE = 6e-3
NOISE = 0.2
"""Largest noise on latents while fitting: imagined latents are softer than real ones."""


def tool_points(poses: Tensor) -> Tensor:
    """Point between the fingertips ``(..., 3)`` in the base frame, metres, of flange poses ``(..., 7)``."""
    offset = torch.from_numpy(PINCH_OFFSET[:3, 3].copy()).to(poses)
    return poses[..., :3] + rotation_matrix(poses[..., 3:6]) @ offset


class _Points(nn.Module):
    """Latents of the fixed views ``(N, F, C, h, w)`` to positions ``(N, 3)`` in units of their spread."""

    grid: Tensor

    def __init__(self, views: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(channels // FOLD**2, WIDTH, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(WIDTH, POINTS, 3, padding=1),
        )
        self.position = nn.Sequential(nn.Linear(2 * POINTS * views, 96), nn.SiLU(), nn.Linear(96, 3))
        rows, columns = size[0] * FOLD, size[1] * FOLD
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        self.register_buffer("grid", torch.stack([x / columns * 2 - 1, y / rows * 2 - 1], dim=-1).flatten(0, 1))

    def forward(self, views: Tensor) -> Tensor:
        fine = functional.pixel_shuffle(views.flatten(0, 1), FOLD)
        found = self.maps(fine).flatten(2).softmax(-1) @ self.grid
        return self.position(found.unflatten(0, views.shape[:2]).flatten(1))


@dataclass(frozen=True)
class ToolReadout:
    """A fitted readout.

    Attributes:
        network: Finds the point.
        fixed: Indices of the views it looks at.
        views: V.
        mean: ``(3,)`` metres.
        spread: ``(3,)`` metres.
    """

    network: nn.Module
    fixed: tuple[int, ...]
    views: int
    mean: Tensor
    spread: Tensor

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        """Positions ``(B, F, 3)`` in metres, base frame, in latent frames ``(B, F, C, V*h, w)``."""
        seen = per_view(latents, self.views)[:, :, list(self.fixed)].flatten(0, 1)
        found = torch.cat([self.network(part) for part in seen.split(64)])
        return (found * self.spread + self.mean).unflatten(0, latents.shape[:2])


def fit_readout(bundle: Bundle, footage: Footage, rows: np.ndarray, steps: int, seed: int) -> ToolReadout:
    """Fit on the real frames ``rows`` of some footage.

    Raises:
        ModelsError: No camera stands still.
    """
    config = bundle.config
    fixed = tuple(index for index, camera in enumerate(config.cameras) if not camera.rides)
    if not fixed:
        raise ModelsError(f"bundle {config.name} has no fixed camera to read the tool's position from")
    latents = per_view(footage.latents(rows)[:, None], len(config.views))[:, 0, list(fixed)]
    points = tool_points(torch.from_numpy(footage.poses[rows]))
    mean, spread = points.mean(0), points.std(0).clamp(min=1e-3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Points(len(fixed), latents.shape[2], (latents.shape[3], latents.shape[4]))
        _train(network, latents, (points - mean) / spread, steps)
    return ToolReadout(network.eval().requires_grad_(False), fixed, len(config.views), mean, spread)


@torch.enable_grad()
def _train(network: nn.Module, latents: Tensor, target: Tensor, steps: int) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, HIGHEST_RATE, total_steps=steps)
    for _ in range(steps):
        some = torch.randint(len(latents), (min(BATCH, len(latents)),))
        seen = latents[some]
        noise = NOISE * torch.rand(len(some), 1, 1, 1, 1)
        loss = functional.smooth_l1_loss(network(seen + noise * torch.randn_like(seen)), target[some], beta=0.2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
