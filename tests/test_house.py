"""The walls of the house: which room may import which, and what every command promises."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vidplan

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "plan_protocol": set(),
    "robot_model": set(),
    "models": {"robot_model"},
    "sim_cell": {"robot_model"},
    "planner_server": {"models", "robot_model", "plan_protocol"},
    "robot_bridge": {"robot_model", "plan_protocol"},
}
NEVER = {
    "plan_protocol": {"torch", "rclpy"},
    "robot_model": {"torch", "rclpy"},
    "models": {"rclpy"},
    "planner_server": {"rclpy"},
    "robot_bridge": {"torch"},
    "sim_cell": {"torch"},
}


def imported(path: Path) -> set[str]:
    """Top-level names of every import statement in a file, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_point_one_way(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        used = imported(path)
        assert not (used & set(ROOMS)) - ROOMS[room] - {room}, f"{path.relative_to(ROOT)} looks into another room"
        assert not used & NEVER[room], f"{path.relative_to(ROOT)} imports {used & NEVER[room]}"


def test_ros_is_at_the_edge_of_the_bridge_and_the_cell() -> None:
    edge = {
        path.name
        for room in ("robot_bridge", "sim_cell")
        for path in (ROOT / room).rglob("*.py")
        if "rclpy" in imported(path)
    }
    assert edge <= {"node.py", "replay.py", "demo.py", "player.py", "cli.py", "ros_edge.py"}, edge


def test_launch_and_docker_are_no_python_packages() -> None:
    assert not (ROOT / "launch" / "__init__.py").exists()
    assert not (ROOT / "docker" / "__init__.py").exists()


@pytest.mark.parametrize("name", sorted(vidplan.SUBCOMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vidplan", name, "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"vidplan {name}" in done.stdout


def test_an_unknown_command_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vidplan", "dmeo"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 2
    assert "no command 'dmeo'. Did you mean 'demo'?" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "vidplan", "bundle", "inspect", "models/bundles/tabletop"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `| head` does
        assert process.stderr.read() == ""
    assert process.returncode == 141
