"""Samples of one prompt, kept on disk as they are made, so that a run that was stopped goes on where it was.

A folder per prompt, named by everything its samples depend on: another embedder or seed never meets old samples.
Files are written beside and renamed; one that is there is whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ModelsError
from models.uncertainty.squbed.interfaces import Parts, Task

Accuracy = Callable[[np.ndarray], Mapping[str, float]]
"""Accuracy of videos ``(m, T, rows, columns, 3)`` by metric, mean over them; more is better."""


@dataclass(frozen=True)
class Amounts:
    """How much to sample; the paper takes 10 of each.

    Attributes:
        refinements: N refined prompts.
        videos: m videos of each.
        seed: Of refiner and video model.
    """

    refinements: int = 10
    videos: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.refinements < 2 or self.videos < 2:
            raise ModelsError(
                f"a spread needs 2 samples or more, got {self.refinements} prompts x {self.videos} videos"
            )


@dataclass(frozen=True)
class Samples:
    """Everything sampled for one prompt.

    Attributes:
        refined: N prompts.
        texts: ``(N, d)`` their embeddings.
        videos: ``(N, m, d')`` embeddings of the videos.
        accuracy: Mean accuracy of all videos by metric, empty without a reference.
    """

    refined: tuple[str, ...]
    texts: np.ndarray
    videos: np.ndarray
    accuracy: Mapping[str, float]


class SampleStore:
    """Samples under a folder."""

    def __init__(self, folder: Path, parts: Parts, amounts: Amounts, metrics: Sequence[str] = ()) -> None:
        """Open a folder; ``metrics`` are those that `samples` will measure where there is a reference."""
        self._folder, self._parts, self._amounts, self._metrics = folder, parts, amounts, tuple(metrics)

    def samples(
        self, task: Task, accuracy: Accuracy | None = None, tick: Callable[[float], None] = lambda share: None
    ) -> Samples:
        """Samples of a prompt: those that are there, and the missing ones.

        Args:
            task: The prompt.
            accuracy: Measures videos against the task's reference, where it has one.
            tick: Told the share of the refined prompts that have their videos.
        """
        parts, amounts, folder = self._parts, self._amounts, self._folder / self.key(task)
        refined = self._refined(task, folder)
        texts = _kept(folder / "texts.npz", lambda: {"texts": parts.texts.embed(refined)})["texts"]
        videos, figures = [], []
        for index, prompt in enumerate(refined):
            tick(index / len(refined))
            make = partial(self._videos, task, prompt, seed_of(amounts, index), accuracy)
            found = _kept(folder / f"videos-{index:03d}.npz", make)
            videos.append(found.pop("videos"))
            figures.append(found)
        tick(1.0)
        means = {name: float(np.mean([entry[name] for entry in figures])) for name in figures[0]}
        return Samples(tuple(refined), texts, np.stack(videos), means)

    def key(self, task: Task) -> str:
        """Name of a prompt's folder."""
        facts = {
            **dataclasses.asdict(dataclasses.replace(task, accuracy=None)),
            "reference": str(task.reference),
            "parts": self._parts.names,
            "metrics": self._metrics,
        }
        text = json.dumps({**facts, **dataclasses.asdict(self._amounts)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _refined(self, task: Task, folder: Path) -> list[str]:
        file, count = folder / "refined.json", self._amounts.refinements
        if file.is_file():
            return json.loads(file.read_text())["refined"]
        refined = self._parts.refiner.refine(task, count, self._amounts.seed)
        if len(refined) != count:
            raise ModelsError(
                f"{self._parts.refiner.name} gave {len(refined)} prompts for {task.prompt!r}, not {count}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".partial")
        beside.write_text(json.dumps({"prompt": task.prompt, "refined": refined}, indent=1))
        os.replace(beside, file)
        return refined

    def _videos(self, task: Task, prompt: str, seed: int, accuracy: Accuracy | None) -> dict[str, Any]:
        videos = self._parts.model.generate(task, prompt, self._amounts.videos, seed)
        if videos.ndim != 5 or len(videos) != self._amounts.videos or videos.dtype != np.uint8:
            raise ModelsError(
                f"{self._parts.model.name} gave {videos.dtype} {videos.shape} for {prompt!r}, need uint8 "
                f"({self._amounts.videos}, T, rows, columns, 3)"
            )
        return {"videos": self._parts.videos.embed(videos), **(accuracy(videos) if accuracy else {})}


def seed_of(amounts: Amounts, index: int) -> int:
    """Seed of the videos of a refined prompt; equal prompts get noises of their own."""
    return int(np.random.SeedSequence([amounts.seed, index]).generate_state(1)[0])


def _kept(file: Path, make: Callable[[], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Arrays of a file, made and written first where it is missing."""
    if not file.is_file():
        beside = file.with_suffix(".partial.npz")
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in make().items()}
        np.savez(beside, **arrays)
        os.replace(beside, file)
    with np.load(file) as stored:
        return dict(stored)
