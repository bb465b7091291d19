"""The last look at what is about to be sent, and at what the arm made of it.

Independent of how the motion was made: whatever the layers above did, a message that fails here is never sent.
"""

from __future__ import annotations

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.smoothing import SentMotion
from robot_bridge.execution.trajectory import AT_REST
from robot_bridge.guard.collision import OVERSHOOT, Collision
from robot_bridge.guard.reasons import Finding, Reason
from robot_model.franka import Franka

ROUNDING = 1e-6
"""Relative excess that is arithmetic, not motion."""

STAMP_NOISE = 1e-6
"""Radians that a position seems off where times since 1970 are exact to 2e-7 s only."""

FRACTIONS = np.linspace(0.0, 1.0, 5)
"""Where between two nodes the controller's quintic is looked at."""

LOOKS = 8
"""Nodes of a message at most that are looked at for collisions; the others lie between them."""

JUMP = (5e-4, 0.05, 0.2)
"""How much a message may differ from the last one where it takes over: rad, rad/s, share of the acceleration limit."""


class CommandGate:
    """Every message: within the limits between its nodes too, touching nothing, continuing the last, ending at rest."""

    def __init__(self, arm: Franka, limits: JointLimits, collision: Collision) -> None:
        self.arm = arm
        self.names = arm.joint_names
        self.limits = limits
        self.collision = collision
        self._last: SentMotion | None = None

    def check(self, message: SentMotion) -> Finding | None:
        """Objection to a message, or None; then it is remembered as sent."""
        finding = (
            self._numbers(message)
            or self._motion(message)
            or self._brake(message)
            or self._jump(message)
            or self._collision(message)
        )
        if finding is None:
            self._last = message
        return finding

    def forget(self) -> None:
        """The next message need not continue the last one: the arm stood still and was measured anew."""
        self._last = None

    def _numbers(self, message: SentMotion) -> Finding | None:
        arrays = (message.times, message.positions, message.velocities, message.accelerations)
        if not all(np.isfinite(array).all() for array in arrays):
            return Finding(Reason.COMMAND_POSITION, "a command is not finite")
        if (np.diff(message.times) <= 0).any():
            return Finding(Reason.COMMAND_VELOCITY, "the times of the points do not increase")
        return None

    def _motion(self, message: SentMotion) -> Finding | None:
        limits, first = self.limits, message.positions[0]
        if len(message.times) < 2:
            return None
        steps = np.diff(message.times)[:, None]
        q, v, a, j = quintics(steps, message.positions, message.velocities, message.accelerations)
        # Where the arm itself stands outside (sensor noise at an end stop) it may come back in.
        beyond = np.maximum(q - np.maximum(limits.upper, first), np.minimum(limits.lower, first) - q)
        slowest, fastest = self.arm.velocity_limits(np.clip(q, self.arm.lower, self.arm.upper))
        fast = np.maximum(np.abs(v) - limits.velocity, np.maximum(v - fastest, slowest - v))
        noisy = (0.0, 2 * STAMP_NOISE / steps, 6 * STAMP_NOISE / steps**2, 60 * STAMP_NOISE / steps**3)
        return (
            self._worst(beyond - ROUNDING, Reason.COMMAND_POSITION, "rad beyond its position limit")
            or self._worst(fast - ROUNDING - noisy[1], Reason.COMMAND_VELOCITY, "rad/s above its velocity limit")
            or self._worst(
                np.abs(a) - limits.acceleration * (1 + 1e-3) - noisy[2], Reason.COMMAND_ACCELERATION, "rad/s^2 too much"
            )
            or self._worst(np.abs(j) - limits.jerk - noisy[3], Reason.COMMAND_JERK, "rad/s^3 too much")
        )

    def _brake(self, message: SentMotion) -> Finding | None:
        if max(np.abs(message.velocities[-1]).max(), np.abs(message.accelerations[-1]).max()) > AT_REST:
            return Finding(Reason.COMMAND_NO_BRAKE, "the message does not end at rest")
        return None

    def _jump(self, message: SentMotion) -> Finding | None:
        if self._last is None or message.times[0] < self._last.times[0]:
            return None
        told = self._last.full_state(float(message.times[0]))
        now = (message.positions[0], message.velocities[0], message.accelerations[0])
        allowed = (JUMP[0], JUMP[1], JUMP[2] * self.limits.acceleration)
        units = ("rad", "rad/s", "rad/s^2")
        for was, is_now, limit, unit in zip(told, now, allowed, units, strict=True):
            words = f"{unit} more than allowed from the last command"
            finding = self._worst(np.abs(is_now - was) - limit, Reason.COMMAND_JUMP, words)
            if finding:
                return finding
        return None

    def _collision(self, message: SentMotion) -> Finding | None:
        looks = np.unique(np.linspace(0, len(message.times) - 1, min(LOOKS, len(message.times))).astype(int))
        for q in message.positions[looks[1:]]:
            finding = self.collision.objection(q, message.positions[0], 2 * OVERSHOOT)
            if finding:
                return Finding(Reason.COMMAND_COLLISION, finding.detail)
        return None

    def _worst(self, over: np.ndarray, reason: Reason, words: str) -> Finding | None:
        most = over.reshape(-1, len(self.names)).max(axis=0)
        joint = int(most.argmax())
        return Finding(reason, f"{self.names[joint]}: {most[joint]:.4g} {words}") if most[joint] > 0 else None


def quintics(
    steps: np.ndarray, q: np.ndarray, v: np.ndarray, a: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a stock JointTrajectoryController makes of nodes with positions, velocities and accelerations.

    Args:
        steps: ``(N-1, 1)`` seconds between the nodes.
        q: ``(N, 7)`` positions; ``v`` and ``a`` likewise.
        v: Velocities.
        a: Accelerations.

    Returns:
        Positions, velocities, accelerations and jerks, each ``(F, N-1, 7)`` at `FRACTIONS` of each piece.
    """
    s = FRACTIONS[:, None, None]
    v0, v1, a0, a1 = v[:-1] * steps, v[1:] * steps, a[:-1] * steps**2, a[1:] * steps**2
    change = np.diff(q, axis=0) - v0 - a0 / 2
    slope, bend = v1 - v0 - a0, a1 - a0
    c3 = 10 * change - 4 * slope + bend / 2
    c4 = -15 * change + 7 * slope - bend
    c5 = 6 * change - 3 * slope + bend / 2
    position = q[:-1] + v0 * s + a0 * s**2 / 2 + c3 * s**3 + c4 * s**4 + c5 * s**5
    velocity = v0 + a0 * s + 3 * c3 * s**2 + 4 * c4 * s**3 + 5 * c5 * s**4
    acceleration = a0 + 6 * c3 * s + 12 * c4 * s**2 + 20 * c5 * s**3
    jerk = 6 * c3 + 24 * c4 * s + 60 * c5 * s**2
    return position, velocity / steps, acceleration / steps**2, jerk / steps**3


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
