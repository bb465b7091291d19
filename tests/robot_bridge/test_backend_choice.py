"""Choosing a backend: by name, refused with the list, and in a dry run nothing that could send anything."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from robot_bridge.backends.choose import choose
from robot_bridge.backends.droid_nuc import DroidNuc
from robot_bridge.backends.dry_run import NoArm, NoGripper
from robot_bridge.backends.interfaces import BackendError
from robot_bridge.backends.names import ARMS, GRIPPERS
from robot_bridge.backends.streaming import PositionStream
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ConfigError


class FakeNode:
    def __init__(self) -> None:
        self.topics: dict[str, list] = {}

    def create_publisher(self, kind, topic, depth):
        return SimpleNamespace(publish=self.topics.setdefault(topic, []).append)


@pytest.mark.parametrize(("field", "names"), [("backend", ARMS), ("gripper", GRIPPERS)])
def test_unknown_names_are_refused_with_the_list(field, names):
    with pytest.raises(ConfigError) as caught:
        BridgeConfig.from_mapping({field: "telepathy"})
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize("settings", [{"dry_run": True}, {"backend": "dry_run"}])
def test_a_dry_run_touches_no_topic(settings):
    node = FakeNode()
    arm, gripper = choose(BridgeConfig.from_mapping(settings), node, lambda: 0.0)
    assert isinstance(arm, NoArm)
    assert isinstance(gripper, NoGripper)
    assert not node.topics


@pytest.mark.parametrize(
    "settings", [{"backend": "sim"}, {"gripper": "droid_nuc"}, {"backend": "droid_nuc", "gripper": "franka_hand"}]
)
def test_what_does_not_go_together_is_refused(settings):
    with pytest.raises(ConfigError):
        BridgeConfig.from_mapping(settings)


def test_the_nuc_brings_its_gripper():
    arm, gripper = choose(BridgeConfig(backend="droid_nuc", gripper="droid_nuc"), FakeNode(), lambda: 0.0)
    assert isinstance(arm, DroidNuc)
    assert gripper is arm.gripper


def test_topics_follow_backend_and_robot():
    pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    node = FakeNode()
    arm, gripper = choose(BridgeConfig(robot="fr3", backend="forward_position"), node, lambda: 0.0)
    assert isinstance(arm, PositionStream)
    gripper.send(1.0)
    assert set(node.topics) == {"/fr3_forward_position_controller/commands", "/robotiq_gripper_controller/commands"}
    assert node.topics["/robotiq_gripper_controller/commands"][0].data[0] == pytest.approx(0.7929)
    assert BridgeConfig(backend="follow_joint_trajectory").arm_topic == "/panda_arm_controller/follow_joint_trajectory"


@pytest.mark.parametrize(
    ("settings", "package"),
    [
        ({"backend": "follow_joint_trajectory"}, "control-msgs"),
        ({"gripper": "robotiq_action"}, "control-msgs"),
        ({"gripper": "franka_hand"}, "franka-msgs"),
    ],
)
def test_missing_messages_are_named(settings, package, monkeypatch):
    pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    monkeypatch.setitem(sys.modules, "control_msgs.action", None)
    monkeypatch.setitem(sys.modules, "franka_msgs.action", None)
    with pytest.raises(BackendError, match=package):
        choose(BridgeConfig.from_mapping(settings), FakeNode(), lambda: 0.0)


class FakeClient:
    """An rclpy ActionClient that keeps its goals."""

    ready, accepting = True, True

    def __init__(self, node, kind, name):
        self.name, self.goals = name, []
        node.clients = [*getattr(node, "clients", []), self]

    def server_is_ready(self):
        return self.ready

    def send_goal_async(self, goal):
        self.goals.append(goal)
        done = SimpleNamespace(result=lambda: SimpleNamespace(accepted=self.accepting))
        return SimpleNamespace(add_done_callback=lambda callback: callback(done))

    def destroy(self):
        pass


class Goal(SimpleNamespace):
    def __init__(self, **values):
        super().__init__(command=SimpleNamespace(), epsilon=SimpleNamespace(), **values)


@pytest.fixture
def actions(monkeypatch):
    pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    from robot_bridge.backends import ros_edge

    for package, kinds in (
        ("control_msgs", ("FollowJointTrajectory", "GripperCommand")),
        ("franka_msgs", ("Move", "Grasp")),
    ):
        module = ModuleType(f"{package}.action")
        for kind in kinds:
            setattr(module, kind, SimpleNamespace(Goal=Goal))
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
        monkeypatch.setitem(sys.modules, f"{package}.action", module)
    monkeypatch.setattr(ros_edge, "ActionClient", FakeClient)


def test_a_franka_hand_moves_open_and_grasps_shut(actions):
    node = FakeNode()
    _, gripper = choose(BridgeConfig(gripper="franka_hand"), node, lambda: 0.0)
    moves, grasps = node.clients
    gripper.send(0.0)
    gripper.send(1.0)
    assert (moves.name, grasps.name) == ("/franka_gripper/move", "/franka_gripper/grasp")
    assert moves.goals[0].width == pytest.approx(0.08)
    assert grasps.goals[0].epsilon.outer == pytest.approx(0.08)
    assert gripper.trouble() is None


def test_a_robotiq_action_takes_the_knuckles_angle_and_tells_refusals(actions):
    node = FakeNode()
    _, gripper = choose(BridgeConfig(gripper="robotiq_action"), node, lambda: 0.0)
    gripper.send(1.0)
    assert node.clients[0].goals[0].command.position == pytest.approx(0.7929)
    node.clients[0].accepting = False
    gripper.send(0.0)
    assert "refused a goal" in gripper.trouble().detail
    assert gripper.trouble() is None
    node.clients[0].ready = False
    gripper.send(1.0)
    assert "no action server on /robotiq_gripper_controller/gripper_cmd" in gripper.trouble().detail
