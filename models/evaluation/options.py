"""How much `evaluate_models` measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PARTS = ("quality", "speedup", "controllability", "uncertainty", "reward")
PROBES = "probes"
"""A part of its own, wanted only where a training run has C3's probes."""


@dataclass(frozen=True)
class Amounts:
    """How many of what, beside the clips of the video quality.

    Attributes:
        rollouts: Clips rolled out over the longest horizon.
        teacher_rollouts: Of these, how many the teacher rolls out too.
        judged: In-distribution clips for controllability and uncertainty.
        unfamiliar: Clips of each out-of-distribution recording.
        rounds: Timings of every step count and batch size.
        readout_frames: Most frames the tool readout is fitted on.
        readout_steps: Its training steps.
        valued: Clips of an episode at which the value head is asked.
    """

    rollouts: int
    teacher_rollouts: int
    judged: int
    unfamiliar: int
    rounds: int
    readout_frames: int
    readout_steps: int
    valued: int


QUICK = Amounts(24, 4, 128, 48, 3, 1200, 500, 8)
FULL = Amounts(96, 32, 768, 256, 9, 4000, 2000, 16)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        quick: `QUICK` amounts instead of `FULL` ones.
        clips: Held-out clips that every step count and the teacher imagine.
        step_counts: Flow map steps to compare; 0 is the expected future.
        teacher_steps: Euler steps of the diffusion model.
        guidance: Strength of its guidance at the first and the last frame; Ctrl-World's sampler rises from 1 to 2.
        horizons: Frames ahead, rolled out.
        planner_steps: The planner's flow map steps: what rollouts, heads and controllability are measured at.
        seed: Of the noise.
        threads: CPU threads.
        parts: Some of `PARTS`, and `PROBES`.
        lpips: Folder with the published weights (see `lpips.load_lpips`), None to do without.
        probes: Work folder of `vidplan train probe`; only `PROBES` needs it.
    """

    quick: bool
    clips: int
    step_counts: tuple[int, ...] = (0, 1, 2, 4, 8)
    teacher_steps: int = 50
    guidance: tuple[float, float] = (1.0, 2.0)
    horizons: tuple[int, ...] = (5, 10, 30, 60)
    planner_steps: int = 0
    seed: int = 0
    threads: int = 2
    parts: tuple[str, ...] = PARTS
    lpips: Path | None = None
    probes: Path | None = None

    def __post_init__(self) -> None:
        if self.teacher_steps in self.step_counts:
            raise ValueError(f"the teacher's {self.teacher_steps} steps need a name that no flow map has")
        if self.planner_steps not in self.step_counts:
            raise ValueError(f"the planner's {self.planner_steps} steps are not among {self.step_counts}")

    @property
    def amounts(self) -> Amounts:
        """How many of what."""
        return QUICK if self.quick else FULL
