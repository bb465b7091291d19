"""Conducts one trial: same start for every method, an end by success or by time, judged by the simulator's truth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from robot_bridge.experiment.cell import Cell, TaskState
from robot_bridge.experiment.errors import ExperimentError
from robot_bridge.experiment.schedule import Job
from robot_bridge.trials.runner import TrialRunner
from robot_bridge.trials.trial import Labels

SETTLED = 1.0
"""Seconds on the robot's clock for which a task must stay done before a trial, or a demo, is ended as done."""


@dataclass(frozen=True)
class Judgement:
    """How a trial ended, as the store names it, and how it is judged."""

    outcome: str
    labels: Labels


def conduct(
    job: Job,
    folder: Path,
    cell: Cell,
    runner: TrialRunner,
    patience: float,
    check: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Judgement:
    """Run a trial to its end.

    Args:
        job: What to run.
        folder: Where its recording goes.
        cell: The simulator.
        runner: The bridge; ends by itself when the trial's time is over.
        patience: Seconds of wall clock after which a trial that does not end is given up.
        check: Called often; raises when the trial cannot or shall not go on.
        clock: The wall clock, seconds.

    Raises:
        ExperimentError: Something else than the method failed.
    """
    began = cell.reset(job.task.name, job.seed)
    try:
        runner.start(job.setup, folder)
        outcome, settled = _watch(began, cell, runner, clock() + patience, check, clock)
    finally:
        runner.stop()
    if outcome == "error":
        raise ExperimentError(f"the bridge ended in an error; {folder / 'bridge.log'} says which.")
    return Judgement(outcome, judge(settled or cell.next()))  # what was done is not undone while the bridge stops


def judge(state: TaskState) -> Labels:
    """What the truth at the end of a trial says. A robot that touched nothing did not follow its instruction."""
    return Labels(
        success=state.success,
        instruction_followed=state.first_touched == state.target,
        first_object=state.first_touched,
        note={"grasp": "grasped it", "push": "pushed it"}.get(state.touched_by or "", ""),
    )


def _watch(
    began: TaskState,
    cell: Cell,
    runner: TrialRunner,
    deadline: float,
    check: Callable[[], object],
    clock: Callable[[], float],
) -> tuple[str, TaskState | None]:
    """Wait for the end: the outcome, and the state that ended it where the task stayed done."""
    done_since: float | None = None
    while True:
        if outcome := runner.wait(0.0):
            return outcome, None
        check()
        state = cell.next()
        if state.episode != began.episode:
            raise ExperimentError("somebody reset the cell in the middle of a trial; run it again.")
        if not state.success:
            done_since = None
        elif done_since is None:
            done_since = state.time
        elif state.time - done_since >= SETTLED:
            return "finished", state
        if clock() > deadline:
            raise ExperimentError(
                "the robot's clock is too slow: the trial did not end in its time. Fewer --workers may help."
            )
