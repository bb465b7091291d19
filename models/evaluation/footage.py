"""Clips of one recording for an evaluation: pixels, poses, and latents that are encoded when they are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.data import Dataset
from models.training.clips import Batch

CHUNK = 16
"""Clips or frames that go through a network at once."""


class Footage:
    """One split of a dataset, as a bundle sees it.

    Attributes:
        data: The dataset.
        poses: ``(N, 7)`` measured.
        commands: ``(N, 7)`` commanded.
        episode_of: ``(N,)`` index into ``data.episodes`` of every row, -1 where a row belongs to none.
    """

    def __init__(self, bundle: Bundle, root: Path, split: str) -> None:
        """Open a split.

        Raises:
            DatasetError: There is no usable episode in it.
        """
        config = bundle.config
        self._encode, self._offsets, self.horizon = bundle.world_model.encode, config.history_offsets, config.horizon
        shortest = 1 - min(self._offsets) + self.horizon
        self.data = Dataset(
            root, split, image_size=config.image_size, views=config.views, shortest=shortest, progress=False
        )
        self.poses, self.commands = self.data.per_frame("poses"), self.data.per_frame("commands")
        self.episode_of = np.full(len(self.data), -1)
        for index, cached in enumerate(self.data.episodes):
            self.episode_of[cached.start : cached.start + cached.length] = index
        self._latents: dict[int, Tensor] = {}

    def rows(self, ahead: int | None = None) -> np.ndarray:
        """Rows with a whole history and ``ahead`` frames (the horizon when None) after them; maybe none."""
        before, after = -min(self._offsets), self.horizon if ahead is None else ahead
        long = any(cached.length > before + after for cached in self.data.episodes)
        return self.data.clips(before, after) if long else np.zeros(0, int)

    def spread(self, count: int, ahead: int | None = None) -> np.ndarray:
        """``count`` of `rows`, spread evenly over the split."""
        rows = self.rows(ahead)
        return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]

    def latents(self, rows: np.ndarray) -> Tensor:
        """Latent frames ``(*rows.shape, C, V*h, w)``."""
        missing = sorted({int(row) for row in rows.ravel()} - self._latents.keys())
        for start in range(0, len(missing), CHUNK):
            some = missing[start : start + CHUNK]
            self._latents.update(zip(some, self._encode(self.images(np.array(some))[None])[0], strict=True))
        return torch.stack([self._latents[int(row)] for row in rows.ravel()]).unflatten(0, rows.shape)

    def images(self, rows: np.ndarray) -> Tensor:
        """Uint8 RGB ``(*rows.shape, V, rows, columns, 3)``."""
        return torch.from_numpy(np.array(self.data.frames[rows]))

    def clips(self, rows: np.ndarray) -> Batch:
        """The clips whose newest observed frames are ``rows``."""
        past, ahead = rows[:, None] + np.array(self._offsets), rows[:, None] + np.arange(1, self.horizon + 1)
        return Batch(
            self.latents(past),
            torch.from_numpy(self.poses[past]),
            torch.from_numpy(self.commands[ahead]),
            self.latents(ahead),
            rows,
        )

    def episodes(self, rows: np.ndarray) -> int:
        """How many episodes these rows come from."""
        return len(np.unique(self.episode_of[rows]))
