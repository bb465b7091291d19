"""Episodes as latents of Stable Video Diffusion's autoencoder, precomputed by who published them (Ctrl-World).

One file per view with ``(T, 4, 24, 40)`` float32, already multiplied by the autoencoder's scaling factor. The views are
stacked on the rows in the order exterior 1, exterior 2, wrist: ``(T, 4, 72, 40)``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.data import open_source
from models.episodes import BrokenEpisodeError, Episode, common_length, summarise
from models.errors import DatasetError

VIEWS = ("left", "right", "wrist")
"""Exterior 1, exterior 2, wrist."""
CHANNELS, VIEW_ROWS, COLUMNS = 4, 24, 40
ROWS = VIEW_ROWS * len(VIEWS)


class LatentEpisodes:
    """All usable episodes of one split, in memory (23 kB per frame).

    Attributes:
        split: ``train`` or ``val``.
        spans: First row and number of rows of each episode.
        poses: ``(N, 7)`` float32 observed poses.
        latents: ``(N, 4, 72, 40)`` float16.
        skipped: Episode -> why it cannot be used, as ``KIND: detail``.
    """

    def __init__(self, root: Path, split: str, shortest: int) -> None:
        """Read a split.

        Args:
            root: The dataset's folder.
            split: ``train`` or ``val``.
            shortest: Episodes with fewer frames are skipped.

        Raises:
            DatasetError: There is no such split, or no usable episode in it.
        """
        self.split = split
        self.skipped: dict[str, str] = {}
        self.spans: list[tuple[int, int]] = []
        poses, latents, total = [], [], 0
        source = open_source(root)
        for name in source.stamps(split):
            try:
                episode = source.read(split, name, VIEWS)
                frames = read_latents(episode)
                count = common_length({"states": len(episode.poses), "latents": len(frames)}, shortest)
            except BrokenEpisodeError as error:
                self.skipped[name] = str(error)
                continue
            self.spans.append((total, count))
            poses.append(episode.poses[:count])
            latents.append(frames[:count].astype(np.float16))
            total += count
        if not self.spans:
            raise DatasetError(
                f"no usable episode with latents in split {split} of {root} ({summarise(0, self.skipped)})"
            )
        self.poses, self.latents = np.concatenate(poses), np.concatenate(latents)

    def summary(self, details: bool = False) -> str:
        """What was read: one line with the reasons counted, and with ``details`` one more per skipped episode."""
        lines = [f"{self.split}: {summarise(len(self.spans), self.skipped)}"]
        if details:
            lines += [f"  {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)


def read_latents(episode: Episode) -> np.ndarray:
    """The stacked latents ``(T, 4, 72, 40)`` float32 of an episode read with the views of `VIEWS`.

    Raises:
        BrokenEpisodeError: A file is missing or damaged, of another shape, or not as long as the others.
    """
    if episode.latents is None:
        raise BrokenEpisodeError("latents missing", "the annotation names none (`latent_videos`)")
    views = [_view(path) for path in episode.latents]
    count = common_length({view: len(frames) for view, frames in zip(VIEWS, views, strict=True)}, shortest=1)
    return np.concatenate([frames[:count] for frames in views], axis=2)


def _view(path: Path) -> np.ndarray:
    if not path.is_file():
        raise BrokenEpisodeError("latents missing", str(path))
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no common type for what a damaged file makes it raise
        raise BrokenEpisodeError("latents damaged", f"{path} is not a tensor file") from error
    if not isinstance(values, torch.Tensor) or values.shape[1:] != (CHANNELS, VIEW_ROWS, COLUMNS):
        found = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
        raise BrokenEpisodeError("latents damaged", f"{path} has {found}, need (T, 4, 24, 40)")
    if not values.isfinite().all():
        raise BrokenEpisodeError("latents damaged", f"{path} has values that are not finite")
    return values.float().numpy()
