"""Reads the arm and the gripper out of joint states, whichever messages and order they come in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robot_bridge.sensing.synchroniser import JointSample
from robot_model.franka import franka
from robot_model.gripper import KNUCKLE_JOINT, from_radians

FINGER_OPEN = 0.04
"""Metres that a finger of the open Franka Hand is from the middle."""


def finger_joints(robot: str) -> tuple[str, str]:
    """The Franka Hand's joints, as franka_ros2 calls them."""
    return f"{robot}_finger_joint1", f"{robot}_finger_joint2"


class JointReader:
    """Picks ``<robot>_joint1..7`` and the gripper: the 2F-85's knuckle, else a finger of the Franka Hand.

    The gripper is remembered where it has messages of its own.
    """

    def __init__(self, robot: str) -> None:
        self.names = franka(robot).joint_names
        self._fingers = finger_joints(robot)
        self.gripper = 0.0
        self.unknown: tuple[str, ...] = ()

    def read(
        self, stamp: float, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float]
    ) -> JointSample | None:
        """The arm at a stamp, or None where the message holds no complete arm (`unknown` then says what it held)."""
        at = {name: index for index, name in enumerate(names) if index < len(positions)}
        if KNUCKLE_JOINT in at and math.isfinite(positions[at[KNUCKLE_JOINT]]):
            self.gripper = float(from_radians(positions[at[KNUCKLE_JOINT]]))
        elif self._fingers[0] in at and math.isfinite(positions[at[self._fingers[0]]]):
            self.gripper = min(max(1.0 - positions[at[self._fingers[0]]] / FINGER_OPEN, 0.0), 1.0)
        if any(name not in at for name in self.names):
            others = tuple(name for name in names if name not in (KNUCKLE_JOINT, *self._fingers))
            grips = len(others) < len(names)
            self.unknown = others if not grips or len(others) >= len(self.names) else ()
            return None
        self.unknown = ()
        joints = np.array([positions[at[name]] for name in self.names])
        if not np.isfinite(joints).all():
            return None
        speeds = np.zeros(len(joints))
        if len(velocities) == len(names):
            speeds = np.nan_to_num(np.array([velocities[at[name]] for name in self.names]))
        return JointSample(stamp, joints, speeds, self.gripper)
