"""Where the videos of a task begin."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from models.bundle import Bundle
from models.errors import ModelsError
from models.evaluation.footage import Footage
from models.uncertainty.squbed.interfaces import Task


class Scenes(Protocol):
    """What a robot saw when it was asked."""

    @property
    def name(self) -> str:
        """Which scenes: samples are kept under it."""
        ...

    def start(self, task: Task) -> tuple[Tensor, Tensor]:
        """History latents ``(1, T, C, V*h, w)`` and measured poses ``(1, T, 7)`` at them."""
        ...


class RecordedScenes:
    """Frames of a recording: a task's ``episode`` and ``frame``, or the first ones there are."""

    def __init__(self, bundle: Bundle, data: Path, split: str = "val") -> None:
        """Open the recording.

        Raises:
            DatasetError: There is no usable episode.
        """
        self._footage = Footage(bundle, data, split)
        self._starts = {cached.episode.name: cached for cached in self._footage.data.episodes}
        self.name = f"{data.name} {split}"

    def start(self, task: Task) -> tuple[Tensor, Tensor]:
        """See `Scenes`; the usable frame nearest to the task's.

        Raises:
            ModelsError: There is no such episode, or it is too short.
        """
        clip = self._footage.clips(np.array([self._row(task)]))
        return clip.history, clip.history_poses

    def _row(self, task: Task) -> int:
        names = list(self._starts)
        cached = self._starts.get(task.episode or names[0])
        if cached is None:
            raise ModelsError(
                f"no episode {task.episode!r} in {self._footage.data.root}; there are {', '.join(names[:8])}"
            )
        rows = self._footage.rows()
        own = rows[(rows >= cached.start) & (rows < cached.start + cached.length)]
        wanted = cached.start + task.frame
        if not len(own):
            raise ModelsError(f"episode {cached.episode.name} is too short for a video")
        return int(own[np.abs(own - wanted).argmin()])
