"""The interfaces of `vidplan_msgs`, built once per environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[2] / "ros2_ws" / "build_interfaces.py"


@pytest.fixture(scope="session")
def vidplan_msgs() -> None:
    """Build `vidplan_msgs` where it is not up to date; skip where this machine cannot, saying what to install."""
    if os.environ.get("ROS_DISTRO"):
        pytest.importorskip("vidplan_msgs", reason="build and source ros2_ws first: colcon build (docs/ros2.md)")
        return
    done = subprocess.run([sys.executable, str(BUILD)], capture_output=True, text=True, check=False)
    if done.returncode == 2:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
