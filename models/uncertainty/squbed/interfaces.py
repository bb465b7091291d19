"""What S-QUBED is made of: four small protocols. The video model is a black box: prompts in, videos out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Task:
    """One prompt whose uncertainty is asked for, a line of the prompts file.

    Attributes:
        prompt: What the user says.
        objects: What is there to be meant by "the object", where the refiner should know.
        episode: Scene for video models that start from one: an episode of the dataset they were given.
        frame: Frame of that episode.
        reference: Video of what really happened, for measuring accuracy.
        accuracy: Accuracy that was measured elsewhere, e.g. by a simulator or by people.
    """

    prompt: str
    objects: tuple[str, ...] = ()
    episode: str | None = None
    frame: int = 0
    reference: Path | None = None
    accuracy: float | None = None


class PromptRefiner(Protocol):
    """Samples from p(Z | prompt): prompts that entail the given one and say more."""

    @property
    def name(self) -> str:
        """Which refiner, and how it is set: samples are kept under it."""
        ...

    def refine(self, task: Task, count: int, seed: int) -> list[str]:
        """``count`` more specific prompts."""
        ...


class TextEmbedder(Protocol):
    """Sentences to vectors whose directions tell meanings apart."""

    @property
    def name(self) -> str:
        """As for refiners."""
        ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors ``(len(texts), d)``, none of them zero."""
        ...


class VideoModel(Protocol):
    """Samples from p(V | z)."""

    @property
    def name(self) -> str:
        """As for refiners."""
        ...

    def generate(self, task: Task, prompt: str, count: int, seed: int) -> np.ndarray:
        """Videos ``(count, T, rows, columns, 3)`` uint8 RGB of one refined prompt, each from another noise."""
        ...


class VideoEmbedder(Protocol):
    """Videos to vectors whose directions tell contents apart."""

    @property
    def name(self) -> str:
        """As for refiners."""
        ...

    def embed(self, videos: np.ndarray) -> np.ndarray:
        """Vectors ``(N, d)``, none of them zero, of videos ``(N, T, rows, columns, 3)`` uint8 RGB."""
        ...


@dataclass(frozen=True)
class Parts:
    """The four of them."""

    refiner: PromptRefiner
    texts: TextEmbedder
    model: VideoModel
    videos: VideoEmbedder

    @property
    def names(self) -> tuple[str, str, str, str]:
        """Which parts these are."""
        return self.refiner.name, self.texts.name, self.model.name, self.videos.name
