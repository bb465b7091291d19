"""Back to work after a reflex or a user stop, in the order that franka_ros2 needs.

First the errors are cleared (``/action_server/error_recovery``), then the hardware component is made active again, then
the controllers are switched on; each step only once the one before has taken effect. A pressed user stop is never
touched: a person releases it. Moving again is a person's decision as well: the bridge's latched stop stays until it is
re-armed.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Protocol

ATTEMPTS = 3
PATIENCE = 5.0
"""Seconds a step may take to have its effect."""


class RobotMode(IntEnum):
    """``robot_mode`` of franka_msgs/FrankaRobotState, as far as it matters here."""

    OTHER = 0
    IDLE = 1
    MOVE = 2
    GUIDING = 3
    REFLEX = 4
    USER_STOPPED = 5
    AUTOMATIC_ERROR_RECOVERY = 6


class RecoveryPort(Protocol):
    """The robot's side. The three actions only ask; whether they had an effect is read from the three states."""

    def robot_mode(self) -> RobotMode:
        """The arm's mode."""
        ...

    def hardware_active(self) -> bool:
        """The hardware component is active."""
        ...

    def controller_active(self) -> bool:
        """The arm's controller is active."""
        ...

    def recover_errors(self) -> None:
        """Ask for error recovery."""
        ...

    def activate_hardware(self) -> None:
        """Ask for the hardware component to be activated."""
        ...

    def switch_controller(self) -> None:
        """Ask for the arm's controller to be switched on."""
        ...


class Phase(str, Enum):
    """Where recovery stands."""

    READY = "ready"
    USER_STOPPED = "user_stopped"
    CLEARING_ERRORS = "clearing_errors"
    ACTIVATING_HARDWARE = "activating_hardware"
    SWITCHING_CONTROLLER = "switching_controller"
    FAILED = "failed"


IN_WORDS = {
    Phase.READY: "the arm is ready; re-arm to move again",
    Phase.USER_STOPPED: "the user stop is pressed: release it where the arm can be seen",
    Phase.CLEARING_ERRORS: "clearing the arm's errors",
    Phase.ACTIVATING_HARDWARE: "activating the hardware component",
    Phase.SWITCHING_CONTROLLER: "switching the arm's controller on",
    Phase.FAILED: "recovery failed three times: look at the driver's log and at the arm's own desk",
}


class Recovery:
    """One `step` now and then until `Phase.READY` or `Phase.FAILED`; blocks nowhere."""

    def __init__(self, port: RecoveryPort) -> None:
        self.port = port
        self.phase = Phase.READY
        self._asked_at = 0.0
        self._attempts = 0

    def step(self, now: float) -> Phase:
        """Look at the robot and ask for what it needs next.

        Args:
            now: Seconds of any clock that does not jump.
        """
        needed = self.needed()
        if needed in (Phase.READY, Phase.USER_STOPPED):
            self.phase, self._attempts = needed, 0
        elif self.phase is not Phase.FAILED:
            self._go(needed, now)
        return self.phase

    def retry(self) -> None:
        """Try again after a failure: a person has looked at it."""
        self.phase, self._attempts = Phase.READY, 0

    def needed(self) -> Phase:
        """What stands between the arm and motion, looked at only."""
        mode = self.port.robot_mode()
        if mode is RobotMode.USER_STOPPED:
            return Phase.USER_STOPPED
        if mode in (RobotMode.REFLEX, RobotMode.AUTOMATIC_ERROR_RECOVERY, RobotMode.OTHER):
            return Phase.CLEARING_ERRORS
        if not self.port.hardware_active():
            return Phase.ACTIVATING_HARDWARE
        return Phase.READY if self.port.controller_active() else Phase.SWITCHING_CONTROLLER

    def _go(self, needed: Phase, now: float) -> None:
        fresh = needed is not self.phase
        if not fresh and now - self._asked_at < PATIENCE:
            return
        self._attempts = 1 if fresh else self._attempts + 1
        if self._attempts > ATTEMPTS:
            self.phase = Phase.FAILED
            return
        self.phase, self._asked_at = needed, now
        if needed is Phase.CLEARING_ERRORS:
            self.port.recover_errors()
        elif needed is Phase.ACTIVATING_HARDWARE:
            self.port.activate_hardware()
        else:
            self.port.switch_controller()
