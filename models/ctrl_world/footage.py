"""Clips of precomputed latents with their instructions and outcomes, for training at full size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.ctrl_world.conditioning import FramewiseCondition
from models.ctrl_world.video_model import CtrlWorldModel
from models.real.clips import ObservedClips
from models.real.latent_cache import CachedLatents
from models.training.clips import Batch
from models.value import discounted_return


class Footage:
    """One split of a dataset."""

    def __init__(
        self, data: Path, split: str, offsets: tuple[int, ...], horizon: int, cache: Path | None = None
    ) -> None:
        """Open a split.

        Args:
            data: Folder of a dataset whose annotations name latents.
            split: ``train`` or ``val``.
            offsets: History frames as offsets from the current one, oldest first.
            horizon: New frames.
            cache: See `CachedLatents`.

        Raises:
            DatasetError: The data cannot be used.
        """
        self.episodes = CachedLatents(data, split, 1 - min(offsets) + horizon, cache)
        spans, episodes = self.episodes.spans, self.episodes.episodes
        self.clips = ObservedClips(spans, self.episodes.poses, self.episodes.latents, offsets, horizon)
        self.texts = [episode.text for episode in episodes]
        self.phrases = [episode.target or episode.text for episode in episodes]
        self._success = torch.tensor([float(episode.success) for episode in episodes])
        self._last = torch.tensor([first + count - 1 for first, count in spans])

    def phrases_of(self, rows: np.ndarray) -> list[str]:
        """What the semantic reward is asked for at each row: the object where it is known, else the instruction."""
        return [self.phrases[episode] for episode in self.clips.episode_of[rows]]

    def returns(self, rows: np.ndarray, horizon: int, gamma: float) -> Tensor:
        """V = gamma^(F - tau) success ``(B, H)`` of the frames after each row; F is the episode's last."""
        episodes = self.clips.episode_of[rows]
        frames = torch.from_numpy(rows)[:, None] + torch.arange(1, horizon + 1)
        return discounted_return(self._success[episodes, None], self._last[episodes, None] - frames, gamma)


def condition_of(model: CtrlWorldModel, clips: Batch, footage: Footage) -> FramewiseCondition:
    """What the network is told of some clips, each with its own instruction."""
    text = clips.history.new_zeros(len(clips.rows), 0)
    if model.text is not None:
        text = torch.cat([model.text(footage.texts[episode]) for episode in footage.clips.episode_of[clips.rows]])
    return model.conditioner(clips.history, clips.history_poses, clips.actions, text)
