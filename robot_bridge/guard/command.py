"""The last look at what is about to be sent, and at what the arm made of it.

Independent of how the motion was made: whatever the layers above did, a message that fails here is never sent.
"""

from __future__ import annotations

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.limits import JointLimits
from robot_bridge.trajectory import AT_REST, Schedule
from robot_model.franka import Franka

ROUNDING = 1e-6
"""Relative excess that is arithmetic, not motion."""


class CommandGate:
    """Every message: within position, velocity and acceleration limits, continuing the last one, ending at rest."""

    def __init__(self, arm: Franka, limits: JointLimits) -> None:
        self.names = arm.joint_names
        self.limits = limits
        self._last: Schedule | None = None

    def check(self, message: Schedule) -> Finding | None:
        """Objection to a message, or None; then it is remembered as sent."""
        finding = self._position(message) or self._speed(message) or self._brake(message) or self._jump(message)
        if finding is None:
            self._last = message
        return finding

    def forget(self) -> None:
        """The next message need not continue the last one: the arm stood still and was measured anew."""
        self._last = None

    def _position(self, message: Schedule) -> Finding | None:
        q, limits = message.positions, self.limits
        if not (np.isfinite(q).all() and np.isfinite(message.velocities).all() and np.isfinite(message.times).all()):
            return Finding(Reason.COMMAND_POSITION, "a command is not finite")
        # Where the arm itself stands outside (sensor noise at an end stop) it may come back in.
        first = q[0]
        over = np.maximum(q - np.maximum(self.limits.upper, first), np.minimum(limits.lower, first) - q).max(axis=0)
        return self._worst(over - ROUNDING, Reason.COMMAND_POSITION, "rad beyond its position limit")

    def _speed(self, message: Schedule) -> Finding | None:
        over = np.abs(message.velocities).max(axis=0) - self.limits.velocity * (1 + ROUNDING)
        finding = self._worst(over, Reason.COMMAND_VELOCITY, "rad/s above its velocity limit")
        if finding or len(message.times) < 2:
            return finding
        steps = np.diff(message.times)[:, None]
        if (steps <= 0).any():
            return Finding(Reason.COMMAND_VELOCITY, "the times of the points do not increase")
        # Between two points a cubic runs; its acceleration at either end, from positions and velocities.
        slope = np.diff(message.positions, axis=0) / steps
        v0, v1 = message.velocities[:-1], message.velocities[1:]
        ends = np.stack([6 * slope - 4 * v0 - 2 * v1, 2 * v0 + 4 * v1 - 6 * slope]) / steps
        # Times since 1970 are exact to 2e-7 s only; close points amplify that, and the last term covers it.
        allowed = self.limits.acceleration * (1 + 1e-3) + 2e-6 / steps**2
        return self._worst((np.abs(ends) - allowed).max(axis=(0, 1)), Reason.COMMAND_ACCELERATION, "rad/s^2 too much")

    def _brake(self, message: Schedule) -> Finding | None:
        if np.abs(message.velocities[-1]).max() > AT_REST:
            return Finding(Reason.COMMAND_NO_BRAKE, "the message does not end at rest")
        return None

    def _jump(self, message: Schedule) -> Finding | None:
        if self._last is None:
            return None
        time = float(message.times[0])
        q, v = self._last.state(time)
        allowed = self.limits.velocity * self.limits.period / 10
        finding = self._worst(
            np.abs(message.positions[0] - q) - allowed,
            Reason.COMMAND_JUMP,
            "rad more than allowed from the last command",
        )
        if finding or time < self._last.times[0]:
            return finding
        change = np.abs(message.velocities[0] - v) - self.limits.acceleration * self.limits.period
        return self._worst(
            change - ROUNDING, Reason.COMMAND_JUMP, "rad/s more than allowed from the last command's speed"
        )

    def _worst(self, over: np.ndarray, reason: Reason, words: str) -> Finding | None:
        joint = int(over.argmax())
        return Finding(reason, f"{self.names[joint]}: {over[joint]:.4g} {words}") if over[joint] > 0 else None


class Tracking:
    """The measured arm must follow the commanded one; where it does not, something holds it."""

    def __init__(self, config: BridgeConfig, arm: Franka) -> None:
        self.limit = config.max_tracking_error
        self.names = arm.joint_names

    def check(self, commanded: np.ndarray, measured: np.ndarray) -> Finding | None:
        """Objection to the difference of two ``(7,)`` joint vectors of the same moment, or None."""
        difference = np.abs(commanded - measured)
        joint = int(difference.argmax())
        if not difference[joint] <= self.limit:
            return Finding(
                Reason.TRACKING_ERROR,
                f"{self.names[joint]} is {difference[joint]:.2f} rad from its command (limit {self.limit:g}); "
                "is the arm blocked, or its controller inactive?",
            )
        return None
