"""The workspace under `colcon build`, where a machine has it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "ros2_ws" / "src"


@pytest.mark.xdist_group("ros2_ws")
@pytest.mark.timeout(900)
def test_colcon_builds_the_workspace(tmp_path: Path) -> None:
    if not shutil.which("colcon"):
        pytest.skip("no `colcon` here: it comes with ROS installations, or from pip as colcon-common-extensions")
    command = ["colcon", "--log-base", "log", "build", "--base-paths", str(SOURCE)]
    command += ["--cmake-args", "-DBUILD_TESTING=OFF"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    installed = tmp_path / "install"
    share = installed / "vidplan_bringup" / "share" / "vidplan_bringup"
    assert {path.name for path in (share / "launch").iterdir()} == {
        *("planner.launch.py", "real_trial.launch.py", "replay.launch.py", "sim_trial.launch.py")
    }
    configured = {path.name for path in (share / "config").iterdir()}
    assert configured == {"bridge.yaml", "vidplan.rviz", "vidplan.foxglove.json"}
    bridge = installed / "vidplan_bridge" / "lib" / "vidplan_bridge" / "bridge"
    assert bridge.read_text().startswith("#!/usr/bin/env python3\n")
    assert list((installed / "vidplan_msgs" / "lib").rglob("vidplan_msgs/action/_execute_task.py"))
