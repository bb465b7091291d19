"""The launch files under the real `ros2 launch`, where a ROS installation has it: read, started, ended by Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from robot_bridge.isolation import isolated

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
NOBODY = "tcp://127.0.0.1:9"
GIVE_UP = 120.0
"""Seconds."""


@pytest.fixture(scope="module", autouse=True)
def ros2() -> None:
    pytest.importorskip("launch_ros", reason="`launch_ros` comes with a ROS installation only; no package index has it")
    if not shutil.which("ros2"):
        pytest.skip("no `ros2` command here: source a ROS installation")
    done = subprocess.run(["ros2", "pkg", "prefix", "vidplan_bringup"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("the workspace is not built or not sourced: see docs/ros2.md")


class Launched:
    """A `ros2 launch` and what it says."""

    def __init__(self, name: str, **arguments: str) -> None:
        given = [f"{key}:={value}" for key, value in arguments.items()]
        command = ["ros2", "launch", str(LAUNCH / f"{name}.launch.py"), *given]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        environment = {**os.environ, **isolated(), "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(command, env=environment, start_new_session=True, **streams)
        self.said: list[str] = []
        self._reader = threading.Thread(target=lambda: self.said.extend(self._process.stdout))
        self._reader.start()

    def wait_for(self, *words: str) -> None:
        self._wait(lambda: all(any(word in line for line in self.said) for word in words))

    def wait_for_end(self) -> str:
        self._wait(lambda: self._process.poll() is not None)
        self._reader.join(GIVE_UP)
        return "".join(self.said)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Leave nothing behind, whatever went wrong."""
        if self._process.poll() is None:
            self.interrupt()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join(GIVE_UP)

    def _wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + GIVE_UP
        while not condition():
            assert time.monotonic() < end, "".join(self.said)
            time.sleep(0.05)


@pytest.fixture
def launched() -> Iterator[Callable[..., Launched]]:
    started: list[Launched] = []

    def start(name: str, **arguments: str) -> Launched:
        started.append(Launched(name, **arguments))
        return started[-1]

    yield start
    for launch in started:
        launch.close()


@pytest.mark.parametrize("name", ["planner", "real_trial", "replay", "sim_trial"])
def test_ros2_launch_reads_it(name: str) -> None:
    command = ["ros2", "launch", str(LAUNCH / f"{name}.launch.py"), "--show-args"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GIVE_UP, check=False)
    assert done.returncode == 0, done.stderr
    assert "Arguments (pass arguments as" in done.stdout


def test_a_real_trial_starts_its_bridge_and_ends_it_with_ctrl_c(launched: Callable[..., Launched]) -> None:
    trial = launched("real_trial", robot="panda", driver="false", cameras="none", record="false", server=NOBODY)
    trial.wait_for("[bridge-1]: process started", f"no planner server answers at {NOBODY}")
    trial.interrupt()
    assert "[bridge-1] 0 plans" in trial.wait_for_end()


def test_a_simulated_trial_starts_cell_and_bridge(launched: Callable[..., Launched]) -> None:
    trial = launched("sim_trial", planner="false", server=NOBODY)
    trial.wait_for(
        "[vidplan-1]: process started", f"[bridge-2] [     0.00] waiting: no planner server answers at {NOBODY}"
    )
    trial.interrupt()
    trial.wait_for_end()


def test_a_planner_without_models_says_so_and_ends(launched: Callable[..., Launched], tmp_path: Path) -> None:
    assert (
        f"{tmp_path}/none" in launched("planner", bundle=f"{tmp_path}/none", address="tcp://127.0.0.1:*").wait_for_end()
    )


def test_a_replay_of_no_bag_says_so_and_ends(launched: Callable[..., Launched], tmp_path: Path) -> None:
    here = {"bag": f"{tmp_path}/none", "mapping": f"{tmp_path}/lab.yaml", "record": f"{tmp_path}/run"}
    said = launched("replay", server=NOBODY, **here).wait_for_end()
    assert f"[vidplan-1] vidplan replay: {tmp_path}" in said
