"""Reads the arm and the gripper out of joint states, whichever messages and order they come in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robot_bridge.sensing.synchroniser import JointSample
from robot_model.franka import franka
from robot_model.gripper import KNUCKLE_JOINT, from_radians


class JointReader:
    """Picks ``<robot>_joint1..7`` and the gripper's knuckle; remembers the gripper where it has messages of its own."""

    def __init__(self, robot: str) -> None:
        self.names = franka(robot).joint_names
        self.gripper = 0.0
        self.unknown: tuple[str, ...] = ()

    def read(
        self, stamp: float, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float]
    ) -> JointSample | None:
        """The arm at a stamp, or None where the message holds no complete arm (`unknown` then says what it held)."""
        at = {name: index for index, name in enumerate(names) if index < len(positions)}
        if KNUCKLE_JOINT in at and math.isfinite(positions[at[KNUCKLE_JOINT]]):
            self.gripper = float(from_radians(positions[at[KNUCKLE_JOINT]]))
        if any(name not in at for name in self.names):
            others = tuple(name for name in names if name != KNUCKLE_JOINT)
            self.unknown = others if KNUCKLE_JOINT not in at or len(others) >= len(self.names) else ()
            return None
        self.unknown = ()
        joints = np.array([positions[at[name]] for name in self.names])
        if not np.isfinite(joints).all():
            return None
        speeds = np.zeros(len(joints))
        if len(velocities) == len(names):
            speeds = np.nan_to_num(np.array([velocities[at[name]] for name in self.names]))
        return JointSample(stamp, joints, speeds, self.gripper)
