"""From the settings to the ways to arm and gripper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robot_bridge.backends.droid_nuc import DroidNuc
from robot_bridge.backends.dry_run import NoArm, NoGripper
from robot_bridge.backends.interfaces import BackendError, GripperBackend, RobotBackend
from robot_bridge.backends.recovery_desk import DriverPort
from robot_bridge.backends.streaming import PositionStream
from robot_bridge.config import BridgeConfig
from robot_model.franka import franka

FRANKA_GRIPPER = "/franka_gripper"
ROBOTIQ_ACTION = "/robotiq_gripper_controller/gripper_cmd"


def choose(config: BridgeConfig, node: Any, clock: Callable[[], float]) -> tuple[RobotBackend, GripperBackend]:
    """The ways to arm and gripper that the settings name; in a dry run nothing that could send anything exists.

    Args:
        config: Settings.
        node: An rclpy node for publishers and action clients.
        clock: Seconds on the robot's clock.

    Raises:
        BackendError: Messages that a backend needs are not installed.
    """
    if config.dry_run:
        return NoArm(), NoGripper()
    arm = _arm(config, node, clock)
    if config.gripper == "none":
        return arm, NoGripper()
    if isinstance(arm, DroidNuc):
        return arm, arm.gripper
    return arm, _gripper(config, node)


def choose_recovery(config: BridgeConfig, node: Any) -> DriverPort | None:
    """The driver to recover, or None where the bridge takes no part in it.

    Args:
        config: Settings.
        node: An rclpy node for its topics and services.

    Raises:
        BackendError: It was asked for by name, and its messages are not installed.
    """
    foreign = config.dry_run or config.backend in ("sim", "droid_nuc")
    if config.recovery == "none" or (foreign and config.recovery == "auto"):
        return None
    from robot_bridge.backends import ros_edge

    controller = config.arm_topic.strip("/").split("/")[-2:][0]  # /fr3_arm_controller/joint_trajectory
    try:
        return ros_edge.recovery_port(node, config.driver_namespace.strip("/"), controller)
    except BackendError:
        if config.recovery == "auto":
            return None
        raise


def _arm(config: BridgeConfig, node: Any, clock: Callable[[], float]) -> RobotBackend:
    if config.backend == "droid_nuc":
        return DroidNuc(config.nuc, clock)
    from robot_bridge.backends import ros_edge

    names = franka(config.robot).joint_names
    if config.backend in ("joint_trajectory", "sim"):
        return ros_edge.TopicTrajectory(node, config.arm_topic, names)
    if config.backend == "follow_joint_trajectory":
        return ros_edge.ActionTrajectory(node, config.arm_topic, names)
    if config.backend == "forward_position":
        return PositionStream(ros_edge.position_publisher(node, config.arm_topic), clock, config.command_rate)
    raise BackendError(f"no way to an arm is called '{config.backend}'")


def _gripper(config: BridgeConfig, node: Any) -> GripperBackend:
    from robot_bridge.backends import ros_edge

    if config.gripper in ("robotiq_forward", "sim"):
        return ros_edge.ForwardGripper(node, config.gripper_command_topic)
    if config.gripper == "robotiq_action":
        return ros_edge.RobotiqAction(node, config.gripper_action or ROBOTIQ_ACTION)
    if config.gripper == "franka_hand":
        return ros_edge.FrankaHand(node, config.gripper_action or FRANKA_GRIPPER)
    raise BackendError(f"no way to a gripper is called '{config.gripper}'")
