"""Where the arm is, against where it is told to be: at rest, and while it moves."""

from __future__ import annotations

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.commanded import CommandedMotion
from robot_bridge.guard.command import Tracking
from robot_bridge.guard.observation import JointAge, Senses
from robot_bridge.guard.reasons import Finding
from robot_bridge.sensing.synchroniser import JointSample

SETTLED = 0.4
"""Seconds at rest after which the measured arm should be where it was commanded."""


class Following:
    """Compares the measured arm with the commanded motion."""

    def __init__(self, config: BridgeConfig, motion: CommandedMotion) -> None:
        self._tolerance, self._motion = config.anchor_tolerance, motion
        self._joint_age = JointAge(config)
        self._tracking = Tracking(config, motion.path_guard.ik.kinematics.franka)

    def astray(self, now: float, joints: JointSample) -> float | None:
        """How far an arm that has come to rest is from its command, rad, where that is too far."""
        if now <= self._motion.schedule.end + SETTLED:
            return None
        off = float(np.abs(joints.joints - self._motion.schedule.joints(now)).max())
        return off if off > self._tolerance else None

    def trouble(self, joints: JointSample, senses: Senses) -> Finding | None:
        """What is wrong with an arm that moves: its state is old, or it lags."""
        told = self._motion.schedule.joints(joints.stamp)
        return self._joint_age.check(senses) or self._tracking.check(told, joints.joints)
