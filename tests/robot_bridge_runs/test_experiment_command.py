from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from robot_bridge.experiment import cli
from robot_bridge.experiment.tasks import TASKS
from robot_bridge.trials.store import TrialStore


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("replay")
def test_a_real_trial_from_reset_to_report(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2: a sourced installation, or the wheels of extra 'ros'")
    pytest.importorskip("torch", reason="the planner server needs torch")
    pytest.importorskip("mujoco", reason="needs the simulated cell")
    from models.testing import random_bundle

    command = [sys.executable, "-m", "vidplan", "trials", "--tasks", "pea", "--methods", "vidplan-basis-only"]
    command += ["--episodes", "1", "--seed", "7", "--seconds", "2", "--out", str(tmp_path / "out")]
    command += ["--", "--bundle", str(random_bundle(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    with TrialStore(tmp_path / "out/trials.db", create=False) as store:
        [trial] = store.trials()
    assert (trial.outcome, trial.labels.success, trial.setup.seed) == ("timeout", False, 7)
    assert trial.figures.plans
    assert trial.figures.chunk_s == pytest.approx(1.0)
    assert trial.figures.longest_stall_s is not None
    assert (tmp_path / "out" / str(trial.figures.video)).stat().st_size > 1000
    [row] = json.loads((tmp_path / "out/report.json").read_text())["table"]
    assert (row["task"], row["method"], row["episodes"], row["success_rate"]) == ("pea", "vidplan-basis-only", 1, 0.0)


def test_the_cell_knows_the_same_tasks() -> None:
    known = pytest.importorskip("sim_cell.tasks", reason="needs the simulated cell").TASKS
    assert {task.name: task.instruction for task in TASKS} == {name: task.instruction for name, task in known.items()}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--methods", "pi05"], "'pi05' is none of nominal"),
        (["--tasks", "carrot,soup"], "'soup' is none of tape"),
        (["--tasks", "pea,pea"], "a task is named twice"),
    ],
)
def test_wrong_names_end_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert cli.main([*options, "--out", str(tmp_path / "out")]) == 1
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--episodes", "0"], ["--seed", "-1"], ["--seconds", "nan"], ["--suite", "a/b"]])
def test_wrong_numbers_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(options)
