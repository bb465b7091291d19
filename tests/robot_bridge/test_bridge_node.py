"""The bridge on real ROS topics against a real protocol server with a made-up planner."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed: see `vidplan doctor`")

from cell_fakes import SPEC  # noqa: E402
from ros_cell import RosCell  # noqa: E402
from ros_planner import Sway, free_address  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from plan_protocol.server import PlanServer  # noqa: E402
from robot_bridge.config import BridgeConfig  # noqa: E402
from robot_bridge.errors import ConfigError  # noqa: E402
from robot_bridge.recording import RunRecorder  # noqa: E402
from robot_bridge.ros.node import BridgeNode  # noqa: E402
from robot_model.franka import PANDA  # noqa: E402
from robot_model.ros_names import arm_topic  # noqa: E402


def serve(address: str) -> PlanServer:
    server = PlanServer(address, SPEC, Sway())
    server.start()
    return server


@pytest.fixture
def cell(ros_context):
    cell = RosCell(ros_context)
    yield cell
    cell.close()


def bridge(ros_context, address: str, recorder=None, **settings) -> BridgeNode:
    config = BridgeConfig(server=address, instruction="put the carrot in the bowl", **settings)
    node = BridgeNode(config, context=ros_context, recorder=recorder)
    node.start()
    return node


def test_moves_records_holds_when_the_server_dies_and_goes_on(ros_context, cell, tmp_path: Path):
    address = free_address()
    server = serve(address)
    config = BridgeConfig(server=address, instruction="put the carrot in the bowl", record=str(tmp_path / "run"))
    node = BridgeNode(config, context=ros_context, recorder=RunRecorder(tmp_path / "run", config))
    try:
        node.start()
        cell.wait_for(lambda: len([e for e in cell.heard("plan") if e["accepted"]]) >= 4)
        cell.wait_for(lambda: cell.gripper_commands)
        assert cell.gripper_commands == [pytest.approx(0.7929)], "one edge, one goal"
        cell.wait_for(lambda: cell.speed() > 0.05)
        server.close()
        cell.wait_for(lambda: cell.speed() < 1e-3)
        cell.wait_for(lambda: cell.heard("server_lost") and cell.heard("hold"))
        plans = len(cell.heard("plan"))
        server = serve(address)
        cell.wait_for(lambda: cell.heard("server_back") and cell.heard("resume"))
        cell.wait_for(lambda: len(cell.heard("plan")) > plans)
    finally:
        summary = node.close()
        server.close()
    assert cell.speed() < 1e-3, "the bridge leaves the arm at rest"
    for message in cell.trajectories:
        positions = np.array([point.positions for point in message.points])
        velocities = np.array([point.velocities for point in message.points])
        assert (positions > PANDA.lower).all()
        assert (positions < PANDA.upper).all()
        assert (np.abs(velocities) <= 0.5 * PANDA.velocity + 1e-6).all()
        assert np.abs(velocities[-1]).max() < 1e-6

    run = tmp_path / "run"
    assert json.loads((run / "summary.json").read_text()) == summary
    assert summary["plans"] >= 5
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert {"started", "plan_requested", "plan", "server_lost", "hold", "server_back", "resume", "finished"} <= {
        event["event"] for event in events
    }
    assert json.loads((run / "run.json").read_text())["spec"]["model_name"] == "fake"
    commands = [json.loads(line) for line in (run / "commands.jsonl").read_text().splitlines()]
    assert sum(command["sent"] for command in commands) >= len(cell.trajectories) > 10
    assert len(list((run / "frames").glob("*.jpg"))) > 5
    with np.load(run / "plans" / "00001.npz") as plan:
        assert plan["observed"].shape == (3, 12, 20, 3)
    assert (run / "states.jsonl").read_text().count("\n") > 5


def test_dry_run_computes_but_has_no_way_to_send(ros_context, cell, tmp_path: Path):
    address = free_address()
    server = serve(address)
    config = BridgeConfig(server=address, instruction="wave", dry_run=True)
    node = BridgeNode(config, context=ros_context, recorder=RunRecorder(tmp_path, config))
    try:
        node.start()
        cell.wait_for(lambda: len([e for e in cell.heard("plan") if e["accepted"]]) >= 3)
        topics = [
            name
            for name, _ in [
                found
                for name in ("", "_robot")
                for found in node._control.get_publisher_names_and_types_by_node(f"vidplan_bridge{name}", "/")
            ]
        ]
        assert not [name for name in topics if "controller" in name]
    finally:
        node.close()
        server.close()
    assert not cell.trajectories
    assert not cell.gripper_commands
    commands = [json.loads(line) for line in (tmp_path / "commands.jsonl").read_text().splitlines()]
    assert len(commands) > 10
    assert not any(command["sent"] for command in commands)


def test_interrupted_cameras_end_in_a_hold_and_are_named(ros_context, cell):
    address = free_address()
    server = serve(address)
    node = bridge(ros_context, address)
    try:
        cell.wait_for(lambda: len(cell.heard("plan")) >= 2)
        cell.cameras_on = False
        cell.wait_for(lambda: any(event["reason"] == "camera_stale" for event in cell.heard("reject")))
        cell.wait_for(lambda: cell.heard("hold") and cell.speed() < 1e-3)
        cell.cameras_on = True
        cell.wait_for(lambda: cell.heard("resume"))
    finally:
        node.close()
        server.close()


def test_an_arm_that_somebody_else_commands_too_is_stopped(ros_context, cell):
    address = free_address()
    server = serve(address)
    node = bridge(ros_context, address)
    try:
        cell.wait_for(lambda: cell.speed() > 0.02)
        rival = cell.node.create_publisher(JointTrajectory, arm_topic("panda"), 1)
        cell.wait_for(lambda: cell.heard("stop"))
        assert cell.heard("stop")[-1]["reason"] == "backend_error"
        assert "two programs" in cell.heard("stop")[-1]["detail"]
        cell.wait_for(lambda: cell.speed() < 1e-3)
        cell.node.destroy_publisher(rival)
        cell.wait_for(lambda: not node._connected.rivals)
        cell.wait_for(lambda: node._stages.configured.rearm() is None)
        cell.wait_for(lambda: cell.speed() > 0.02)
    finally:
        node.close()
        server.close()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--ros-args", "-p", "max_linear_speed:=9.0"], "max_linear_speed"),
        (["--ros-args", "-p", "max_linear_speed:=fast"], "max_linear_speed"),
        (["--ros-args", "-p", "robot:=ur5"], "robot"),
    ],
)
def test_ros_parameters_are_checked_like_options(arguments, field):
    with pytest.raises(ConfigError, match=field):
        BridgeNode(BridgeConfig(), ros_arguments=arguments)


def test_ros_parameters_win_and_bad_topics_are_named():
    node = BridgeNode(
        BridgeConfig(), ros_arguments=["--ros-args", "-p", "max_linear_speed:=0.1", "-p", "dry_run:=true"]
    )
    assert node.config == BridgeConfig(max_linear_speed=0.1, dry_run=True)
    node.close()
    with pytest.raises(ConfigError, match="cameras"):
        BridgeNode(BridgeConfig(cameras=("left=bad..topic",)))
