"""Names of ROS topics and services, in one place (strings only; nothing of ROS is imported).

The robot's names are those of a stock franka_ros2 + JointTrajectoryController + ZED set-up, so that the simulated cell
and a real one are interchangeable.
"""

from __future__ import annotations

CAMERAS = ("left", "right", "wrist")
"""Roles of the three cameras of a DROID cell; each is the left eye of a stereo pair."""

JOINT_STATES = "/joint_states"
"""sensor_msgs/JointState: the seven arm joints (position, velocity) and the gripper's knuckle."""

GRIPPER_COMMANDS = "/robotiq_gripper_controller/commands"
"""std_msgs/Float64MultiArray, one value: knuckle angle in radians (a stock forward_command_controller)."""

CLOCK = "/clock"
SIM_TRUTH = "/sim/truth"
"""std_msgs/String holding JSON: what really happened in simulation. For evaluation only, never for planning."""

SIM_RESET = "/sim/reset"
"""std_srvs/Trigger; the seed of the next scene is the simulation node's parameter ``seed``."""

SIM_TASK = "/sim/task"
"""std_msgs/String holding JSON, e.g. ``{"task": "carrot", "seed": 3}``: reset to that scene of that task."""

SIM_TASK_STATE = "/sim/task_state"
"""std_msgs/String holding JSON, latched: how far the task is. For evaluation only, never for planning."""

INSTRUCTION = "/vidplan/instruction"
"""std_msgs/String: the task in words."""

STATUS = "/vidplan/status"
"""std_msgs/String holding JSON: one message per event of the bridge."""


def camera_topic(name: str) -> str:
    """Image topic of the camera ``name`` (sensor_msgs/Image, bgra8, rectified left eye)."""
    return f"/zed_{name}/zed_node/left/color/rect/image"


def camera_info_topic(name: str) -> str:
    """Calibration topic of the camera ``name`` (sensor_msgs/CameraInfo)."""
    return f"/zed_{name}/zed_node/left/color/rect/camera_info"


def arm_topic(robot: str) -> str:
    """Command topic of the arm ``robot``, e.g. ``panda`` (trajectory_msgs/JointTrajectory)."""
    return f"/{robot}_arm_controller/joint_trajectory"
