"""What a way to a robot must promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from robot_bridge.errors import BridgeError
from robot_bridge.execution.smoothing import SentMotion
from robot_bridge.guard.reasons import Finding
from robot_bridge.sensing.synchroniser import JointSample


class BackendError(BridgeError):
    """A robot cannot be commanded this way here; the message says what is missing."""


class RobotBackend(Protocol):
    """An arm that can be commanded.

    It promises: what it does between messages is the motion it was handed and nothing else; a new motion replaces the
    one before it; after the end of a motion the arm rests, also when nothing more comes; no call waits for the robot;
    whatever goes wrong is told by `trouble`, never swallowed; after `close` nothing moves.
    """

    def start(self, take_joints: Callable[[JointSample], object]) -> None:
        """Connect, before the first motion.

        Args:
            take_joints: Takes joint states, where they come this way and not over a topic.

        Raises:
            BackendError: The robot cannot be reached.
        """
        ...

    def send(self, motion: SentMotion) -> None:
        """Hand over a guarded motion that begins now and ends at rest."""
        ...

    def trouble(self) -> Finding | None:
        """What went wrong since it was last asked, or None. The bridge stops on it."""
        ...

    def close(self) -> None:
        """Let go of the robot."""
        ...


class GripperBackend(Protocol):
    """A gripper that can be commanded. `send` never waits; one goal at a time, the newest counts."""

    def send(self, goal: float) -> None:
        """Go to an opening: 0 open .. 1 closed."""
        ...

    def trouble(self) -> Finding | None:
        """What went wrong since it was last asked, or None."""
        ...

    def close(self) -> None:
        """Let go of the gripper."""
        ...
