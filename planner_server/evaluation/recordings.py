"""The recordings a bundle is measured on; what is missing is recorded by `vidplan sim record` in child processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from planner_server.evaluation.errors import EvaluationError

CACHE = Path("data/evaluation")
"""Where recordings made here are kept (git ignores ``data/``); later runs use them again."""
UNFAMILIAR = ("stranger", "light", "camera")
"""Looks outside what a bundle was trained on: unseen objects, other light, moved cameras."""
HELD_OUT_SEED = 1_000_000
"""Of the first recording; recordings to train on have small seeds."""
LONG, SHORT = 66, 45
"""Most frames of an episode: 60 imagined ones and a history fit into a long one."""


@dataclass(frozen=True)
class Wanted:
    """One recording that may have to be made.

    Attributes:
        folder: Where.
        look: Of its cells.
        seed: Of its episodes.
        episodes: How many.
        frames: Most frames of each.
        held_out: All episodes in the split ``val``, instead of every tenth.
    """

    folder: Path
    look: str
    seed: int
    episodes: int
    frames: int
    held_out: bool = True

    def complete(self) -> bool:
        """Whether all its episodes are there."""
        return len(list((self.folder / "annotation").glob("*/*.json"))) >= self.episodes


@dataclass(frozen=True)
class Recordings:
    """What to measure on.

    Attributes:
        held_out: Folder with a split ``val`` of the kind the bundle was trained on.
        fitting: Folder whose ``train`` split may be fitted on, None when there is none.
        unfamiliar: By look: folder with a split ``val`` outside the bundle's training.
    """

    held_out: Path
    fitting: Path | None
    unfamiliar: Mapping[str, Path]


def prepare(
    data: Path | None, ood: Path | None, quick: bool, fitted: bool, workers: int, say: Callable[[str, float], None]
) -> Recordings:
    """Folders to measure on; records what was not given and is not there yet, and goes on where that was interrupted.

    Args:
        data: Recording with a ``val`` split; None: make one.
        ood: Folder with a recording for each look of `UNFAMILIAR` that is to be measured; None: make them.
        quick: Make few episodes.
        fitted: Something will be fitted; where ``data`` is made here, so are episodes for that.
        workers: Recording processes.
        say: Told what is done and the share of it that is.

    Raises:
        EvaluationError: A folder holds no such recording, or recording failed.
    """
    cache = CACHE / ("quick" if quick else "full")
    held_out = Wanted(cache / "held-out", "varied", HELD_OUT_SEED, 20 if quick else 60, LONG)
    if data is None:
        _record(held_out, workers, say)
    elif not (data / "annotation" / "val").is_dir():
        raise EvaluationError(f"{data} has no annotation/val: give a recording with held-out episodes, or none at all")
    unfamiliar = {}
    for number, look in enumerate(UNFAMILIAR, start=1):
        wanted = Wanted(cache / look, look, HELD_OUT_SEED + number, 8 if quick else 24, SHORT)
        if ood is None:
            _record(wanted, workers, say)
            unfamiliar[look] = wanted.folder
        elif (ood / look / "annotation" / "val").is_dir():
            unfamiliar[look] = ood / look
    if ood is not None and not unfamiliar:
        raise EvaluationError(f"{ood} holds none of the recordings {', '.join(UNFAMILIAR)} (each with annotation/val)")
    if data is not None:
        return Recordings(data, data if (data / "annotation" / "train").is_dir() else None, unfamiliar)
    seed = HELD_OUT_SEED + 1 + len(UNFAMILIAR)
    fitting = Wanted(cache / "fitting", "varied", seed, 40 if quick else 150, SHORT, held_out=False)
    if fitted:
        _record(fitting, workers, say)
    return Recordings(held_out.folder, fitting.folder if fitted else None, unfamiliar)


def _record(wanted: Wanted, workers: int, say: Callable[[str, float], None]) -> None:
    if wanted.complete():
        return
    say(f"recording {wanted.episodes} episodes to {wanted.folder}", 0.0)
    options = {
        "--out": wanted.folder,
        "--look": wanted.look,
        "--seed": wanted.seed,
        "--episodes": wanted.episodes,
        "--frames": wanted.frames,
        "--workers": workers,
    }
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "vidplan", "sim", "record", *words, *["--held-out"] * wanted.held_out]
    code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    if code:
        raise EvaluationError(
            f"recording to {wanted.folder} failed with exit code {code}; `vidplan sim` says why above"
        )
    say(f"recording {wanted.episodes} episodes to {wanted.folder}", 1.0)
