"""When to send a gripper goal: on edges of the plan's wish, with hysteresis, one goal at a time."""

from __future__ import annotations

from robot_bridge.config import BridgeConfig

OPEN, CLOSED = 0.0, 1.0


class GripperSwitch:
    """Turns the path's gripper value into rare open and close goals."""

    def __init__(self, config: BridgeConfig) -> None:
        self.close_above = config.gripper_close_above
        self.open_below = config.gripper_open_below
        self.interval = config.gripper_interval
        self.goal: float | None = None
        self._sent_at: float | None = None

    def start_from(self, measured: float) -> None:
        """Take the measured gripper (0 open .. 1 closed) as the present goal, so that nothing moves unasked."""
        if self.goal is None:
            self.goal = CLOSED if measured >= self.close_above else OPEN

    def update(self, time: float, wish: float) -> float | None:
        """The goal to send now, or None.

        Args:
            time: Seconds on the robot's clock.
            wish: The path's gripper value, 0 open .. 1 closed.
        """
        wanted = CLOSED if wish > self.close_above else OPEN if wish < self.open_below else self.goal
        if wanted is None or wanted == self.goal:
            return None
        if self._sent_at is not None and 0 <= time - self._sent_at < self.interval:
            return None
        self.goal, self._sent_at = wanted, time
        return wanted
