"""What the trials of a store say: rates per task and method, every pair of methods, preferences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from robot_bridge.trials.statistics import Rate, barnard, mcnemar, rate
from robot_bridge.trials.trial import SIDES, Trial

BASELINE = "nominal"
"""Method the others are compared with where it is there, as in the paper."""
ROWS = ("tape", "fish", "pea", "carrot", "towel")
"""Tasks in the order of the paper's Table 1; others follow."""


@dataclass(frozen=True)
class Cell:
    """One task under one method: the trials, and how they went.

    Attributes:
        task: The task.
        method: The method.
        trials: All of them, judged or not.
        success: Rate among the judged.
        followed: Rate of followed instructions among those of which it is known.
    """

    task: str
    method: str
    trials: tuple[Trial, ...]
    success: Rate
    followed: Rate


@dataclass(frozen=True)
class Difference:
    """A method against another one on one task.

    Attributes:
        task: The task.
        method: The method.
        baseline: What it is compared with.
        points: Success rate minus the other's, in percent points.
        pairs: Seeds both were judged on.
        won: Of these, where only the method succeeded.
        lost: Where only the other did.
        mcnemar: p over the pairs; None without any.
        barnard: p over all judged trials, pairs or not.
    """

    task: str
    method: str
    baseline: str
    points: float
    pairs: int
    won: int
    lost: int
    mcnemar: float | None
    barnard: float | None


@dataclass(frozen=True)
class Preference:
    """Blinded comparisons of two methods, counted by what the operators preferred."""

    first: str
    second: str
    for_first: int
    for_second: int
    ties: int


@dataclass(frozen=True)
class Series:
    """The trials of one suite and one source: what may be pooled.

    Attributes:
        suite: Name of the series.
        source: ``sim`` or ``real``.
        trials: In the order they were begun.
        tasks: As in Table 1, others after them in the order of their first trial.
        methods: The baseline first, the others in the order of their first trial.
    """

    suite: str
    source: str
    trials: tuple[Trial, ...]
    tasks: tuple[str, ...]
    methods: tuple[str, ...]

    def cell(self, task: str, method: str) -> Cell:
        """One field of the table."""
        chosen = tuple(t for t in self.trials if (t.setup.task, t.setup.method) == (task, method))
        judged = [t.labels for t in chosen if t.judged]
        followed = rate([labels.instruction_followed for labels in judged])
        return Cell(task, method, chosen, rate([labels.success for labels in judged]), followed)

    def cells(self) -> list[Cell]:
        """All fields with at least one trial, task by task."""
        cells = (self.cell(task, method) for task in self.tasks for method in self.methods)
        return [cell for cell in cells if cell.trials]

    def differences(self) -> list[Difference]:
        """Every method against every one before it, task by task, where both have judged trials."""
        pairs = (
            (self.cell(task, method), self.cell(task, other))
            for task in self.tasks
            for other, method in combinations(self.methods, 2)
        )
        return [_difference(cell, base) for cell, base in pairs if cell.success.of and base.success.of]

    def preferences(self) -> list[Preference]:
        """Outcome of the blinded comparisons, by pair of methods in alphabetical order."""
        counts: dict[tuple[str, str], Counter[str]] = {}
        halves = {(t.setup.pair, t.setup.side): t for t in self.trials if t.setup.pair and t.labels.preference}
        for pair in dict.fromkeys(name for name, _ in halves):
            a, b = (halves.get((pair, side)) for side in SIDES)
            if a is None or b is None:
                continue
            methods = sorted((a.setup.method, b.setup.method))
            chosen = {"A": a.setup.method, "B": b.setup.method}.get(str(a.labels.preference), "tie")
            counts.setdefault((methods[0], methods[1]), Counter())[chosen] += 1
        return [Preference(*pair, count[pair[0]], count[pair[1]], count["tie"]) for pair, count in counts.items()]


def series(trials: Sequence[Trial], baseline: str | None = None) -> list[Series]:
    """Sort trials into what may be pooled.

    Args:
        trials: Any mixture.
        baseline: Method that others are compared with; None: `BASELINE` where it is there, else the first one begun.
    """
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.setup.suite, trial.setup.source), []).append(trial)
    return [_series(*key, tuple(group), baseline or BASELINE) for key, group in groups.items()]


def _series(suite: str, source: str, trials: tuple[Trial, ...], baseline: str) -> Series:
    tasks = dict.fromkeys(trial.setup.task for trial in trials)
    methods = dict.fromkeys(trial.setup.method for trial in trials)
    return Series(
        suite,
        source,
        trials,
        tuple(sorted(tasks, key=lambda task: ROWS.index(task) if task in ROWS else len(ROWS))),
        tuple(sorted(methods, key=lambda method: method != baseline)),
    )


def _difference(cell: Cell, base: Cell) -> Difference:
    mine, its = ({t.setup.seed: bool(t.labels.success) for t in c.trials if t.judged} for c in (cell, base))
    shared = sorted(mine.keys() & its.keys())
    first, second = [mine[seed] for seed in shared], [its[seed] for seed in shared]
    return Difference(
        cell.task,
        cell.method,
        base.method,
        points=100 * ((cell.success.value or 0.0) - (base.success.value or 0.0)),
        pairs=len(shared),
        won=sum(a and not b for a, b in zip(first, second, strict=True)),
        lost=sum(b and not a for a, b in zip(first, second, strict=True)),
        mcnemar=mcnemar(first, second) if shared else None,
        barnard=barnard(cell.success, base.success),
    )
