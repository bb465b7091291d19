"""What `vidplan evaluate` can measure, and what one run of it should."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MODEL_PARTS = ("quality", "speed", "controllability", "uncertainty", "reward")
"""Parts that `models.evaluation` measures."""
PROBES = "probes"
"""Measured by `models.evaluation`, too, where a training run with C3's probes is given."""
PARTS = (*MODEL_PARTS, "ranking", "plan")


@dataclass(frozen=True)
class Settings:
    """What to measure, and on what.

    Attributes:
        bundle: Folder of the models.
        out: Folder of the report.
        data: Recording with a ``val`` split; None: one is made.
        ood: Folder with recordings of unfamiliar looks; None: they are made.
        quick: Few episodes, clips and states.
        parts: Some of `PARTS`.
        look: Of the simulated cells in which candidates are ranked.
        states: In which candidates are ranked; None: as many as ``quick`` says.
        threads: CPU threads of the models.
        workers: Simulator processes at a time.
        lpips: Folder with the published LPIPS weights; None: that figure is left out.
        probes: Work folder of `vidplan train probe`; None: no probes beside the head.
    """

    bundle: Path
    out: Path
    data: Path | None = None
    ood: Path | None = None
    quick: bool = False
    parts: tuple[str, ...] = PARTS
    look: str = "varied"
    states: int | None = None
    threads: int = 2
    workers: int = 2
    lpips: Path | None = None
    probes: Path | None = None

    @property
    def model_parts(self) -> tuple[str, ...]:
        """What `models.evaluation` measures."""
        return (*(part for part in MODEL_PARTS if part in self.parts), *([PROBES] if self.probes else []))

    @property
    def clips(self) -> int:
        """Held-out clips whose video quality is measured."""
        return 64 if self.quick else 384

    @property
    def ranked_states(self) -> int:
        """States in which candidates are ranked, kinds in turn."""
        return self.states or (15 if self.quick else 120)

    @property
    def timed_plans(self) -> int:
        """Plans that are timed per step count."""
        return 5 if self.quick else 15
