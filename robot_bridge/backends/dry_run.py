"""Nothing is sent: for footage, for arms that others move, and for robots without a gripper."""

from __future__ import annotations

from collections.abc import Callable

from robot_bridge.execution.smoothing import SentMotion
from robot_bridge.guard.reasons import Finding
from robot_bridge.sensing.synchroniser import JointSample


class NoArm:
    """Takes motions and does nothing."""

    def start(self, take_joints: Callable[[JointSample], object]) -> None:
        """See `RobotBackend.start`."""

    def send(self, motion: SentMotion) -> None:
        """See `RobotBackend.send`."""

    def trouble(self) -> Finding | None:
        """See `RobotBackend.trouble`."""
        return None

    def close(self) -> None:
        """See `RobotBackend.close`."""


class NoGripper:
    """Takes goals and does nothing."""

    def send(self, goal: float) -> None:
        """See `GripperBackend.send`."""

    def trouble(self) -> Finding | None:
        """See `GripperBackend.trouble`."""
        return None

    def close(self) -> None:
        """See `GripperBackend.close`."""
