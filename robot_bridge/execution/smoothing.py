"""From motion with steps of acceleration to what is sent: accelerations without steps, so that jerk has a limit.

Between its nodes a `Schedule` has constant acceleration, which steps at the nodes: infinite jerk. What is sent is the
mean of the schedule over ``smoothing`` seconds around each moment. A mean keeps every bound on position, velocity and
acceleration, and its acceleration changes linearly over that time, so jerk stays below 2 x acceleration / smoothing.
It differs from the schedule only that close to a node (at 7.5 rad/s^2 by at most 0.06 mrad).

A stock JointTrajectoryController that is given positions, velocities and accelerations interpolates with quintics; the
one quintic through both ends of a piece of constant jerk *is* that piece, so the arm is told exactly this motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.trajectory import AT_REST, Schedule

NEAREST = 0.002
"""Seconds between the first two points of a message, at least: rounding must not look like acceleration."""


@dataclass(frozen=True, eq=False)
class SentMotion:
    """Motion of the joints with constant jerk between nodes; at rest after its last node.

    Attributes:
        times: ``(N,)`` strictly increasing, seconds on the robot's clock.
        positions: ``(N, 7)`` rad.
        velocities: ``(N, 7)`` rad/s; zero at the last node.
        accelerations: ``(N, 7)`` rad/s^2; zero at the last node.
    """

    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    accelerations: np.ndarray

    @property
    def end(self) -> float:
        """When the arm has come to rest."""
        return float(self.times[-1])

    def full_state(self, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities and accelerations ``(7,)`` at a time."""
        i = int(np.searchsorted(self.times, time, side="right")) - 1
        if i < 0 or i == len(self.times) - 1:
            i = max(i, 0)
            return self.positions[i].copy(), self.velocities[i].copy(), self.accelerations[i].copy()
        s, duration = time - self.times[i], self.times[i + 1] - self.times[i]
        q, v, a = self.positions[i], self.velocities[i], self.accelerations[i]
        jerk = (self.accelerations[i + 1] - a) / duration
        return q + s * (v + s * (a / 2 + s * jerk / 6)), v + s * (a + s * jerk / 2), a + s * jerk

    def state(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities ``(7,)`` at a time."""
        return self.full_state(time)[:2]


def smooth(schedule: Schedule, time: float, limits: JointLimits) -> SentMotion:
    """The mean of a schedule over ``limits.smoothing`` seconds, from ``time`` on, with one more period of rest.

    The rest is there so that a controller that gets the message a little late does not find that it is over.

    Args:
        schedule: Nodes at least twice ``limits.smoothing`` apart, from before ``time`` on where it moved then.
        time: Where to begin.
        limits: The smoothing and the period.
    """
    whole = _mean(schedule, limits.smoothing / 2)
    coming = whole.times[(whole.times > time) & (whole.times < time + NEAREST)]
    time = float(coming[0]) if len(coming) else time
    first = whole.full_state(time)
    ahead = whole.times > time
    still = np.zeros_like(first[0])
    rest = (whole.positions[-1], still, still)
    end = max(whole.end, time) + limits.period
    nodes = (whole.positions, whole.velocities, whole.accelerations)
    q, v, a = (np.concatenate([[f], w[ahead], [r]]) for f, w, r in zip(first, nodes, rest, strict=True))
    return SentMotion(np.concatenate([[time], whole.times[ahead], [end]]), q, v, a)


def _mean(schedule: Schedule, half: float) -> SentMotion:
    """Nodes of the mean over ``2 half`` seconds: on both sides of each of the schedule's, where pieces of it begin."""
    times, v = schedule.times, schedule.velocities
    slopes = np.diff(v, axis=0) / np.diff(times)[:, None]
    still = np.zeros((1, v.shape[1]))
    # Before the first node the arm is at rest, or moved on as it does after it; the node itself is no corner then.
    at_rest = bool(np.abs(v[0]).max() <= AT_REST) or not len(slopes)
    before = np.concatenate([still if at_rest else slopes[:1], slopes])
    after = np.concatenate([slopes, still])
    moments = np.stack([times - half, times + half], axis=1).ravel()
    accelerations = np.stack([before, after], axis=1).reshape(len(moments), -1)
    kept = slice(0 if at_rest else 1, None)
    states = [schedule.state(moment) for moment in moments[kept]]
    positions = np.array([q for q, _ in states]) + accelerations[kept] * half**2 / 6
    return SentMotion(moments[kept], positions, np.array([v for _, v in states]), accelerations[kept])
