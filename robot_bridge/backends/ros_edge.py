"""The ways to a robot that go over ROS topics and actions. Everything that touches rclpy stands here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rclpy.action import ActionClient
from rclpy.serialization import deserialize_message
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from robot_bridge.backends.franka_ros2 import FrankaRos2
from robot_bridge.backends.interfaces import BackendError
from robot_bridge.execution.smoothing import SentMotion
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.ros.messages import gripper_message, trajectory_message
from robot_bridge.sensing.synchroniser import JointSample
from robot_model.gripper import to_radians

ROBOTIQ_EFFORT = 50.0
"""Newtons asked of a 2F-85 (20 to 235): holds household objects, spares fingers."""

HAND_WIDTH, HAND_SPEED, HAND_FORCE = 0.08, 0.1, 20.0
"""Franka Hand: widest opening [m], speed [m/s], grasping force [N]."""


class TopicTrajectory:
    """JointTrajectory messages on a topic; a new message replaces the one before it."""

    def __init__(self, node: Any, topic: str, joint_names: Sequence[str]) -> None:
        self._publisher = node.create_publisher(JointTrajectory, topic, 1)
        self._names = joint_names

    def start(self, take_joints: Callable[[JointSample], object]) -> None:
        """See `RobotBackend.start`."""

    def send(self, motion: SentMotion) -> None:
        """See `RobotBackend.send`."""
        self._publisher.publish(trajectory_message(motion, self._names))

    def trouble(self) -> Finding | None:
        """See `RobotBackend.trouble`: a topic says nothing; the guard's tracking layer sees an arm that lags."""
        return None

    def close(self) -> None:
        """See `RobotBackend.close`: the last message ends at rest."""


class Goals:
    """Goals of one action, sent without waiting; a refusal is remembered as trouble."""

    def __init__(self, node: Any, kind: Any, name: str) -> None:
        self._client = ActionClient(node, kind, name)
        self._name = name
        self._trouble: Finding | None = None

    def send(self, goal: Any) -> None:
        """Send a goal, or remember that nobody takes it."""
        if not self._client.server_is_ready():
            self._trouble = Finding(
                Reason.BACKEND_ERROR, f"no action server on {self._name}; is its controller active?"
            )
            return
        self._client.send_goal_async(goal).add_done_callback(self._answered)

    def trouble(self) -> Finding | None:
        """What went wrong since it was last asked, or None."""
        trouble, self._trouble = self._trouble, None
        return trouble

    def close(self) -> None:
        """Leave the action."""
        self._client.destroy()

    def _answered(self, future: Any) -> None:
        if not future.result().accepted:
            self._trouble = Finding(Reason.BACKEND_ERROR, f"{self._name} refused a goal; is its controller active?")


class ActionTrajectory(Goals):
    """FollowJointTrajectory goals; the stock controller lets a new goal take over from the one before it."""

    def __init__(self, node: Any, name: str, joint_names: Sequence[str]) -> None:
        """Raises BackendError where control_msgs is not installed."""
        self._kind = _action("control_msgs", "FollowJointTrajectory")
        super().__init__(node, self._kind, name)
        self._names = joint_names

    def start(self, take_joints: Callable[[JointSample], object]) -> None:
        """See `RobotBackend.start`."""

    def send(self, motion: SentMotion) -> None:
        """See `RobotBackend.send`."""
        super().send(self._kind.Goal(trajectory=trajectory_message(motion, self._names)))


def position_publisher(node: Any, topic: str) -> Callable[[np.ndarray], None]:
    """Publishes joint positions ``(7,)`` rad as Float64MultiArray."""
    publisher = node.create_publisher(Float64MultiArray, topic, 1)

    def publish(joints: np.ndarray) -> None:
        publisher.publish(Float64MultiArray(data=joints.tolist()))

    return publish


class ForwardGripper:
    """The 2F-85's knuckle angle on a topic."""

    def __init__(self, node: Any, topic: str) -> None:
        self._publisher = node.create_publisher(Float64MultiArray, topic, 1)

    def send(self, goal: float) -> None:
        """See `GripperBackend.send`."""
        self._publisher.publish(gripper_message(goal))

    def trouble(self) -> Finding | None:
        """See `GripperBackend.trouble`."""
        return None

    def close(self) -> None:
        """See `GripperBackend.close`."""


class RobotiqAction(Goals):
    """GripperCommand goals of a gripper_action_controller on the 2F-85's knuckle."""

    def __init__(self, node: Any, name: str) -> None:
        """Raises BackendError where control_msgs is not installed."""
        self._kind = _action("control_msgs", "GripperCommand")
        super().__init__(node, self._kind, name)

    def send(self, goal: float) -> None:
        """See `GripperBackend.send`."""
        message = self._kind.Goal()
        message.command.position, message.command.max_effort = float(to_radians(goal)), ROBOTIQ_EFFORT
        super().send(message)


class FrankaHand:
    """The Franka Hand: opening is a move, closing a grasp of whatever is there."""

    def __init__(self, node: Any, prefix: str) -> None:
        """Raises BackendError where franka_msgs is not installed."""
        self._move, self._grasp = (_action("franka_msgs", kind) for kind in ("Move", "Grasp"))
        self._moves = Goals(node, self._move, f"{prefix}/move")
        self._grasps = Goals(node, self._grasp, f"{prefix}/grasp")

    def send(self, goal: float) -> None:
        """See `GripperBackend.send`."""
        if goal < 0.5:
            self._moves.send(self._move.Goal(width=HAND_WIDTH, speed=HAND_SPEED))
            return
        grasp = self._grasp.Goal(width=0.0, speed=HAND_SPEED, force=HAND_FORCE)
        grasp.epsilon.inner = grasp.epsilon.outer = HAND_WIDTH  # any width of object counts as grasped
        self._grasps.send(grasp)

    def trouble(self) -> Finding | None:
        """See `GripperBackend.trouble`."""
        return self._moves.trouble() or self._grasps.trouble()

    def close(self) -> None:
        """See `GripperBackend.close`."""
        self._moves.close()
        self._grasps.close()


def _action(package: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"{package}.action"), name)
    except ImportError as error:
        raise BackendError(
            f"this backend needs {package}, which is not installed: apt install ros-$ROS_DISTRO-"
            f"{package.replace('_', '-')}, or choose another --backend or --gripper"
        ) from error


def recovery_port(node: Any, namespace: str, controller: str) -> FrankaRos2:
    """franka_ros2's driver as a port for recovery.

    Raises:
        BackendError: Its messages are not installed.
    """
    action = _action("franka_msgs", "ErrorRecovery")
    prefix = f"/{namespace}" if namespace else ""
    goals = Goals(node, action, f"{prefix}/action_server/error_recovery")
    return FrankaRos2(node, namespace, controller, goals, deserialize_message)
