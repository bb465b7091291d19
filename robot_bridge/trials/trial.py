"""What a trial is: how it was set up, how it ran, how it was judged. Simulated and real trials are the same thing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from robot_bridge.errors import BridgeError

SOURCES = ("sim", "real")
RUNNING, INTERRUPTED = "running", "interrupted"
ENDINGS = ("finished", "timeout", "aborted", "error")
"""How a trial may end by itself; one that was cut off by a crash is `INTERRUPTED`."""
UNDONE = (INTERRUPTED, "error")
"""Outcomes after which the same trial may be run again."""
SIDES = ("A", "B")
PREFERENCES = (*SIDES, "tie")
QUANTILES = (0.05, 0.5, 0.95)


class TrialError(BridgeError):
    """A trial that cannot be: a field is empty or out of its range."""


@dataclass(frozen=True)
class Setup:
    """What is fixed before a trial starts. Suite, task, method and seed name it; two trials never share all four.

    Attributes:
        suite: The series of trials it belongs to; series are never pooled.
        task: Short name, e.g. ``carrot``.
        instruction: The task in words, as given to the method.
        method: What plans, e.g. ``vidplan`` or ``nominal``.
        seed: Initial state (sim) or number of the repetition (real); equal seeds of two methods are compared as pairs.
        source: ``sim`` or ``real``.
        in_distribution: Whether the nominal policy knows the task, where that can be said (Table 1's "ID").
        pair: Name of the blinded comparison it is half of.
        side: Which half, ``A`` or ``B``.
        run: Folder of its recording; relative paths are relative to the store's folder.

    Raises:
        TrialError: A field is empty or out of its range.
    """

    suite: str
    task: str
    instruction: str
    method: str
    seed: int
    source: str = "sim"
    in_distribution: bool | None = None
    pair: str | None = None
    side: str | None = None
    run: str | None = None

    def __post_init__(self) -> None:
        for name in ("suite", "task", "instruction", "method"):
            if not getattr(self, name).strip():
                raise TrialError(f"{name}: must not be empty.")
        _one_of("source", self.source, SOURCES)
        if (self.pair is None) != (self.side is None):
            raise TrialError("pair, side: a half of a comparison needs both, any other trial neither.")
        if self.side is not None:
            _one_of("side", self.side, SIDES)

    def __str__(self) -> str:
        return f"{self.suite}: {self.task}, {self.method}, seed {self.seed}"


@dataclass(frozen=True)
class Figures:
    """What was measured while it ran.

    Attributes:
        seconds: How long it ran on the robot's clock.
        plans: Plans that came back.
        latencies_ms: Round trip of each plan.
        mean_uncertainty: Mean over the plans, in [0, 1].
        bundle: SHA-256 of the planner's weights, hexadecimal.
        bag: ROS recording.
        video: Video; both are paths like `Setup.run`.
        longest_stall_s: Longest time on the robot's clock that the arm stood still because no plan was there.
        chunk_s: Length of a planned chunk, which a stall should not exceed.
        uncertain_plans: Plans that said of themselves that they are uncertain.
    """

    seconds: float | None = None
    plans: int | None = None
    latencies_ms: tuple[float, ...] = ()
    mean_uncertainty: float | None = None
    bundle: str | None = None
    bag: str | None = None
    video: str | None = None
    longest_stall_s: float | None = None
    chunk_s: float | None = None
    uncertain_plans: int | None = None

    @property
    def stalled(self) -> bool:
        """Whether it stood still for longer than a chunk because no plan was there."""
        return self.longest_stall_s is not None and self.chunk_s is not None and self.longest_stall_s > self.chunk_s

    @property
    def latency_quantiles_ms(self) -> tuple[float, ...]:
        """Round trips at `QUANTILES`; empty without plans."""
        return tuple(float(q) for q in np.quantile(self.latencies_ms, QUANTILES)) if self.latencies_ms else ()


@dataclass(frozen=True)
class Labels:
    """How it was judged, by the simulator's truth or by a person; None where nobody has said.

    Attributes:
        success: Whether the task was done.
        instruction_followed: Whether the first thing the robot went for was the right one.
        first_object: What it touched first.
        partial_credit: 0 to 100.
        preference: Of a blinded comparison: ``A``, ``B`` or ``tie``; the same in both halves.
        note: Free text.

    Raises:
        TrialError: A label is out of its range.
    """

    success: bool | None = None
    instruction_followed: bool | None = None
    first_object: str | None = None
    partial_credit: int | None = None
    preference: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.partial_credit is not None and not 0 <= self.partial_credit <= 100:
            raise TrialError(f"partial_credit: {self.partial_credit} is not within 0 to 100.")
        if self.preference is not None:
            _one_of("preference", self.preference, PREFERENCES)


@dataclass(frozen=True)
class Trial:
    """A row of the store.

    Attributes:
        id: Its number in the store.
        setup: What was fixed before.
        outcome: How it ended: `RUNNING`, `INTERRUPTED` or one of `ENDINGS`. Whether it succeeded is a label.
        figures: What was measured.
        labels: How it was judged.
        started: Seconds since 1970.
        finished: The same, None until it has ended.
        attempt: 1, or how often it had to be started.
        package: Version of VidPlan.
    """

    id: int
    setup: Setup
    outcome: str
    started: float
    attempt: int
    package: str
    finished: float | None = None
    figures: Figures = field(default_factory=Figures)
    labels: Labels = field(default_factory=Labels)

    @property
    def judged(self) -> bool:
        """Whether it counts in rates."""
        return self.labels.success is not None


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TrialError(f"{name}: '{value}' is none of {', '.join(allowed)}.")
