"""Clips imagined as the planner imagines, for everything that is asked about its imagination."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.evaluation.footage import CHUNK, Footage
from models.evaluation.options import Options
from models.evaluation.say import Say
from models.evaluation.walks import flow_map
from models.interfaces import Imagined, Uncertainty
from models.training.clips import Batch


@dataclass(frozen=True)
class Judged:
    """Clips of one recording, and what became of them in imagination.

    Attributes:
        footage: Where they come from.
        batch: The clips.
        noise: ``(B, H, C, V*h, w)`` they were imagined from.
        imagined: At the planner's number of steps.
    """

    footage: Footage
    batch: Batch
    noise: Tensor
    imagined: Imagined

    @property
    def episodes(self) -> np.ndarray:
        """``(B,)`` episode of every clip."""
        return self.footage.episode_of[self.batch.rows]

    def parts(self) -> list[tuple[Tensor, Imagined]]:
        """Clips some at a time, with their indices."""
        return [(rows, rows_of(self.imagined, rows)) for rows in torch.arange(len(self.noise)).split(CHUNK // 2)]


def imagine_clips(bundle: Bundle, footage: Footage, rows: np.ndarray, options: Options, say: Say, what: str) -> Judged:
    """Imagine the clips at ``rows`` at the planner's number of steps; ``what`` is said while that goes on."""
    say(what, 0.0)
    batch = footage.clips(rows)
    noise = bundle.world_model.initial_noise(batch.history, torch.Generator().manual_seed(options.seed))
    walk = flow_map(options.planner_steps)
    return Judged(footage, batch, noise, walk.clips(bundle, batch, noise, tick=lambda share: say(what, share)))


@torch.no_grad()
def doubts(bundle: Bundle, judged: Judged) -> Uncertainty:
    """The uncertainty head's view of every clip."""
    parts = [bundle.uncertainty(part) for _, part in judged.parts()]
    return Uncertainty(*(torch.cat([getattr(p, name) for p in parts]) for name in ("h", "expected_error", "entropy")))


def rows_of(imagined: Imagined, rows: Tensor) -> Imagined:
    """Some clips of a batch."""
    return Imagined(
        imagined.latents[rows], imagined.history[rows], imagined.history_poses[rows], imagined.actions[rows]
    )
