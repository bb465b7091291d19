"""Recovery as the bridge uses it: trips the stop when the arm stops itself, recovers when asked, and only then re-arms.

The order is: the bridge stops by itself (reflex or user stop), a person releases the user stop where it was pressed and
calls recover, errors, hardware and controller are brought in order, and a person re-arms. Nothing here moves the arm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from robot_bridge.backends.recovery import IN_WORDS, Phase, Recovery, RecoveryPort, RobotMode
from robot_bridge.guard.reasons import Finding, Reason

LOOK_PERIOD = 0.1
"""Seconds between two looks at the driver."""


FALLEN = {
    Phase.CLEARING_ERRORS: "the arm is in error, or no longer under this computer's control (look at Desk)",
    Phase.ACTIVATING_HARDWARE: "the arm's hardware component is not active any more",
    Phase.SWITCHING_CONTROLLER: "the arm's controller is not active any more",
}


class DriverPort(RecoveryPort, Protocol):
    """A driver that may not have said anything yet."""

    def known(self) -> bool:
        """The driver has told its mode, its hardware and its controllers."""
        ...

    def refresh(self, now: float) -> None:
        """Ask the driver for what it does not tell by itself; returns at once."""
        ...


class RecoveryDesk:
    """One robot's recovery.

    Attributes:
        phase: Where the arm stands: `Phase.READY` unless something is wrong.
    """

    def __init__(self, port: DriverPort, tell: Callable[[str], None]) -> None:
        """Create it.

        Args:
            port: The driver.
            tell: Takes every change in words.
        """
        self._port, self._tell = port, tell
        self._recovery = Recovery(port)
        self._running = self._was_ready = False
        self._looked = float("-inf")
        self.phase = Phase.READY

    def begin(self) -> tuple[bool, str]:
        """A person asks for recovery; returns whether it begins, and why or why not."""
        if not self._port.known():
            return False, "the arm's driver has said nothing yet: is it running, is driver_namespace right?"
        phase = self._recovery.needed()
        if phase in (Phase.READY, Phase.USER_STOPPED):
            return phase is Phase.READY, IN_WORDS[phase]
        self._recovery.retry()
        self._running = True
        return True, f"{IN_WORDS[phase]}; the arm does not move by this, re-arm afterwards"

    def step(self, now: float) -> Finding | None:
        """Look at the arm, go on with a recovery; returns why the bridge must stop, or None.

        Args:
            now: Seconds of a clock that does not jump.
        """
        if now - self._looked < LOOK_PERIOD:
            return None
        self._looked = now
        self._port.refresh(now)
        if not self._port.known():
            return None
        self._say(self._recovery.step(now) if self._running else self._recovery.needed())
        if self.phase in (Phase.READY, Phase.USER_STOPPED, Phase.FAILED):
            self._running = False
        mode = self._port.robot_mode()
        if mode is RobotMode.USER_STOPPED:
            return Finding(Reason.USER_STOPPED, IN_WORDS[Phase.USER_STOPPED])
        if mode is RobotMode.REFLEX and not self._running:
            return Finding(Reason.ROBOT_REFLEX, "the arm stopped itself: look why, then call /vidplan/recover")
        # A driver that starts up is not in order yet: only one that was, and is not any more, stops the bridge.
        self._was_ready |= self.phase is Phase.READY
        if self._was_ready and not self._running and self.phase in FALLEN:
            self._was_ready = False
            return Finding(Reason.BACKEND_ERROR, f"{FALLEN[self.phase]}: call /vidplan/recover, then re-arm")
        return None

    def objection(self) -> Finding | None:
        """Why the bridge must not be re-armed yet, or None."""
        if not self._port.known():
            return None
        phase = self._recovery.needed()
        return None if phase is Phase.READY else Finding(Reason.ROBOT_NOT_READY, IN_WORDS[phase])

    def _say(self, phase: Phase) -> None:
        if phase is not self.phase:
            self.phase = phase
            self._tell(IN_WORDS[phase])
