"""The joints' motion as planned: constant acceleration between nodes, so limits hold between the nodes as well.

`follow` makes it from the targets that inverse kinematics found, `brake` ends it, `Schedule.window` is what goes into
one message, once `robot_bridge.execution.smoothing` has taken the steps out of its acceleration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_bridge.execution.limits import JointLimits

AT_REST = 1e-6
"""Joint speeds below this, rad/s, count as rest, and times closer than this, s, as the same."""

MEMORY = 3.0
"""Seconds of past motion remembered: where the arm was commanded to be when an observation was made."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """Motion of the joints over time; at rest after its last node.

    Attributes:
        times: ``(N,)`` strictly increasing, seconds on the robot's clock.
        positions: ``(N, 7)`` rad.
        velocities: ``(N, 7)`` rad/s; zero at the last node.
    """

    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray

    @classmethod
    def resting(cls, time: float, joints: np.ndarray) -> Schedule:
        """Standing still at ``joints`` ``(7,)`` from ``time`` on."""
        return cls(np.array([time]), np.array([joints], dtype=float), np.zeros((1, len(joints))))

    @property
    def end(self) -> float:
        """When the arm comes to rest."""
        return float(self.times[-1])

    def state(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities ``(7,)`` at a time: exact, the acceleration between nodes being constant."""
        if time >= self.times[-1]:
            return self.positions[-1].copy(), np.zeros_like(self.positions[-1])
        if time <= self.times[0]:
            return self.positions[0].copy(), self.velocities[0].copy()
        i = int(np.searchsorted(self.times, time, side="right")) - 1
        elapsed, duration = time - self.times[i], self.times[i + 1] - self.times[i]
        acceleration = (self.velocities[i + 1] - self.velocities[i]) / duration
        velocity = self.velocities[i] + acceleration * elapsed
        return self.positions[i] + (self.velocities[i] + velocity) * elapsed / 2, velocity

    def joints(self, time: float) -> np.ndarray:
        """Positions ``(7,)`` at a time."""
        return self.state(time)[0]

    def then(self, later: Schedule) -> Schedule:
        """This motion until ``later`` begins, then that; of the past, `MEMORY` seconds are kept."""
        begin = later.times[0]
        kept = (self.times < begin - AT_REST) & (self.times > begin - MEMORY)
        return Schedule(
            np.concatenate([self.times[kept], later.times]),
            np.concatenate([self.positions[kept], later.positions]),
            np.concatenate([self.velocities[kept], later.velocities]),
        )

    def change_from(self, time: float, limits: JointLimits) -> float:
        """The first moment from ``time`` on at which this motion may change without changing what is sent already.

        What is sent at a moment rests on half a smoothing length after it, and no two nodes may be closer than two.
        """
        begin = time + limits.smoothing / 2
        i = int(np.searchsorted(self.times, begin, side="right")) - 1
        return max(begin, float(self.times[i]) + 2 * limits.smoothing) if i >= 0 else begin

    def window(self, time: float, length: float, limits: JointLimits) -> Schedule:
        """What a message at ``time`` is made of: the nodes around it and of the next ``length`` seconds, then braking.

        The arm that gets nothing more comes to rest by itself at the end of it. At least one node lies ahead, so that
        the braking begins after what is sent at ``time`` is settled.
        """
        length = max(length, limits.period + 5 * limits.smoothing)
        first = max(int(np.searchsorted(self.times, time - limits.smoothing / 2, side="right")) - 1, 0)
        last = max(int(np.searchsorted(self.times, time + length, side="right")), first + 1)
        nodes = slice(first, last)
        head = Schedule(self.times[nodes], self.positions[nodes], self.velocities[nodes])
        tail = brake(head.end, head.positions[-1], head.velocities[-1], limits)
        return Schedule(
            np.concatenate([head.times, tail.times[1:]]),
            np.concatenate([head.positions, tail.positions[1:]]),
            np.concatenate([head.velocities, tail.velocities[1:]]),
        )


def brake(time: float, q: np.ndarray, v: np.ndarray, limits: JointLimits) -> Schedule:
    """The quickest even braking from a state to rest, all joints together, so that the path keeps its direction.

    Where that would carry a joint past its end stop, every joint brakes as hard as it may on its own.

    Args:
        time: When braking begins.
        q: ``(7,)`` positions, rad.
        v: ``(7,)`` velocities, rad/s.
        limits: Accelerations allowed.
    """
    counts = np.ceil(np.abs(v) / (limits.acceleration * limits.period) - AT_REST)
    counts = np.where(np.abs(v) > AT_REST, np.maximum(counts, 1), 0)
    steps = int(counts.max())
    reach = q + v * steps * limits.period / 2
    together = bool(((reach >= limits.lower) & (reach <= limits.upper)).all())
    counts = np.full_like(counts, steps) if together else counts
    remaining = np.clip(1 - np.arange(steps + 1)[:, None] / np.maximum(counts, 1), 0, 1)
    velocities = np.where(counts > 0, v * remaining, 0.0)
    velocities[-1] = 0.0
    means = (velocities[1:] + velocities[:-1]) / 2
    positions = q + np.concatenate([np.zeros((1, len(q))), np.cumsum(means, axis=0) * limits.period])
    return Schedule(time + limits.period * np.arange(steps + 1), positions, velocities)


def follow(time: float, q: np.ndarray, v: np.ndarray, targets: np.ndarray, limits: JointLimits) -> Schedule:
    """Motion from a state along targets, within every limit, braking to rest after the last one.

    Each step aims at the targets' own speed plus what removes the present error, clamped to what acceleration, speed
    and the distance to the end stops allow.

    Args:
        time: Now.
        q: ``(7,)`` positions now, rad.
        v: ``(7,)`` velocities now, rad/s.
        targets: ``(N, 7)`` positions wanted at ``time + period``, ``time + 2 period``, ...
        limits: What the joints may do.
    """
    dt = limits.period
    path = np.concatenate([targets, targets[-1:]]) if len(targets) else np.array([q])
    times, positions, velocities = [time], [q], [v]
    for k in range(len(targets)):
        before = path[k - 1] if k else q
        wanted = (path[k + 1] - before) / (2 * dt)
        error = path[k] - (positions[-1] + (velocities[-1] + wanted) * dt / 2)
        velocity = _allowed(positions[-1], velocities[-1], wanted + error / dt, limits)
        positions.append(positions[-1] + (velocities[-1] + velocity) * dt / 2)
        velocities.append(velocity)
        times.append(time + (k + 1) * dt)
    tail = brake(times[-1], positions[-1], velocities[-1], limits)
    return Schedule(
        np.concatenate([times, tail.times[1:]]),
        np.concatenate([positions, tail.positions[1:]]),
        np.concatenate([velocities, tail.velocities[1:]]),
    )


def _allowed(q: np.ndarray, v: np.ndarray, wanted: np.ndarray, limits: JointLimits) -> np.ndarray:
    """The speed nearest to ``wanted`` after one period that keeps every limit; braking is always among the choices."""
    # Braking may begin between two nodes, where it takes up to this much more room than from either.
    reserve = limits.acceleration * limits.period**2 / 2
    highest = _approach(limits.upper - reserve - q, v, limits)
    lowest = -_approach(q - reserve - limits.lower, -v, limits)
    velocity = np.clip(wanted, np.maximum(lowest, -limits.velocity), np.minimum(highest, limits.velocity))
    change = limits.acceleration * limits.period
    return np.clip(velocity, v - change, v + change)


def _approach(room: np.ndarray, v: np.ndarray, limits: JointLimits) -> np.ndarray:
    """Largest speed after one period from which braking still ends within ``room``.

    Braking in steps from speed u takes at most u^2 / 2a + u dt / 2. With this period's travel (v + u) dt / 2 the
    largest u solves u^2 / 2a + u dt + v dt / 2 = room.
    """
    a, dt = limits.approach, limits.period
    left = np.maximum(room - v * dt / 2, 0.0)
    return a * (np.sqrt(dt**2 + 2 * left / a) - dt)
