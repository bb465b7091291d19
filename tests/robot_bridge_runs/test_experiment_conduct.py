from __future__ import annotations

from pathlib import Path

import pytest
from experiment_fakes import FakeCell, FakeRunner, job, state_text

from robot_bridge.experiment.cell import TaskState
from robot_bridge.experiment.conduct import conduct, judge
from robot_bridge.experiment.errors import ExperimentError, Stopped


def test_a_trial_begins_with_a_reset_and_ends_by_its_time(tmp_path: Path) -> None:
    cell, runner = FakeCell(), FakeRunner(length=10)
    cell.touched = ("fish", "push")
    ended = conduct(job(task="pea", seed=5), tmp_path / "run", cell, runner, 99.0)
    assert cell.resets == [("pea", 5)]
    assert runner.setup is not None
    assert runner.setup.instruction == "put the pea in the bowl"
    assert runner.stops == 1
    labels = ended.labels
    assert (ended.outcome, labels.success, labels.instruction_followed, labels.first_object) == (
        "timeout", False, False, "fish",
    )  # fmt: skip
    assert labels.note == "pushed it"


def test_a_task_that_stays_done_ends_the_trial(tmp_path: Path) -> None:
    cell, runner = FakeCell(), FakeRunner(length=1000)
    cell.touched, cell.done_at = ("carrot", "grasp"), range(20, 1000)
    ended = conduct(job(), tmp_path / "run", cell, runner, 99.0)
    assert ended.outcome == "finished"
    assert ended.labels.success
    assert ended.labels.instruction_followed
    assert runner.looks == 24, "a second at 5 Hz after it was first seen done"


def test_what_was_done_is_not_undone_while_the_bridge_stops(tmp_path: Path) -> None:
    cell, runner = FakeCell(), FakeRunner(length=1000)
    cell.done_at = range(20, 26)
    ended = conduct(job(), tmp_path / "run", cell, runner, 99.0)
    assert not cell.next().success
    assert (ended.outcome, ended.labels.success) == ("finished", True)


def test_a_task_that_is_undone_again_does_not(tmp_path: Path) -> None:
    cell, runner = FakeCell(), FakeRunner(length=40)
    cell.done_at = [step for step in range(1, 40) if step % 5]
    ended = conduct(job(), tmp_path / "run", cell, runner, 99.0)
    assert (ended.outcome, ended.labels.success) == ("timeout", False)


def test_touching_nothing_is_not_following(tmp_path: Path) -> None:
    labels = judge(TaskState("carrot", 0, 1, "carrot", False, None, None, 60.0))
    assert (labels.instruction_followed, labels.first_object, labels.note) == (False, None, "")


def test_what_is_no_fault_of_the_method_is_an_error_and_the_bridge_is_stopped(tmp_path: Path) -> None:
    cell, runner = FakeCell(), FakeRunner(ending="error")
    with pytest.raises(ExperimentError, match=r"bridge\.log"):
        conduct(job(), tmp_path / "1", cell, runner, 99.0)
    cell.meddled_at = 5
    runner = FakeRunner()
    with pytest.raises(ExperimentError, match="somebody reset the cell"):
        conduct(job(), tmp_path / "2", cell, runner, 99.0)
    assert runner.stops == 1
    walls = iter(range(0, 1000, 10))
    with pytest.raises(ExperimentError, match="clock is too slow"):
        conduct(job(), tmp_path / "3", FakeCell(), FakeRunner(1000), 99.0, clock=lambda: next(walls))

    def stop() -> None:
        raise Stopped

    runner = FakeRunner()
    with pytest.raises(Stopped):
        conduct(job(), tmp_path / "4", FakeCell(), runner, 99.0, check=stop)
    assert runner.stops == 1


def test_what_a_cell_says_is_read_or_refused() -> None:
    state = TaskState.read(state_text(more="is ignored"))
    assert state == TaskState("carrot", 3, 7, "carrot", False, "fish", "push", 4.2)
    for text in ("[]", "{}", "no json", '{"task": "carrot"}'):
        with pytest.raises(ExperimentError, match="something else"):
            TaskState.read(text)
