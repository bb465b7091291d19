"""Joint trajectories with the semantics of a stock ROS 2 JointTrajectoryController. No ROS here.

A message replaces the one before it, starting from the desired state of this moment. Between points the motion is
linear (positions only), cubic (velocities given) or quintic (accelerations too). After the last point the arm holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BPoly

from robot_model.franka import Franka
from sim_cell.errors import InvalidTrajectoryError

JOINTS = 7
END_SPEED = 1e-6  # rad/s; the stock controller refuses to end in motion


@dataclass(frozen=True)
class Trajectory:
    """N points of all seven joints, in the arm's order.

    Attributes:
        times: ``(N,)`` seconds of the robot's clock, strictly increasing.
        derivatives: ``(N, k, 7)`` positions, then velocities, then accelerations, as many as were given (k = 1..3).
    """

    times: np.ndarray
    derivatives: np.ndarray


def parse_trajectory(
    franka: Franka,
    joint_names: Sequence[str],
    offsets: Sequence[float],
    derivatives: Sequence[Sequence[Sequence[float]]],
    stamp: float,
    now: float,
) -> Trajectory:
    """Check a trajectory message and bring its joints into the arm's order.

    Args:
        franka: The arm whose joints and limits count.
        joint_names: Names as sent, any order.
        offsets: Seconds of each point from the start.
        derivatives: For positions, velocities and accelerations: for each point its values, empty when not given.
        stamp: Start of the trajectory in seconds; 0 means now.
        now: The robot's clock in seconds.

    Raises:
        InvalidTrajectoryError: Says what is wrong.
    """
    if sorted(joint_names) != sorted(franka.joint_names):
        raise InvalidTrajectoryError(f"joint names {list(joint_names)} are not those of the {franka.name}")
    if not len(offsets):
        raise InvalidTrajectoryError("the trajectory has no points")
    order = [list(joint_names).index(name) for name in franka.joint_names]
    given = [_stack(kind, rows, order) for kind, rows in zip(_KINDS, derivatives, strict=True)]
    if given[0] is None:
        raise InvalidTrajectoryError("the points have no positions")
    if given[1] is None and given[2] is not None:
        raise InvalidTrajectoryError("the points have accelerations but no velocities")
    stacked = np.stack([rows for rows in given if rows is not None], axis=1)
    times = (stamp or now) + np.asarray(offsets, dtype=float)

    if not np.isfinite(stacked).all():
        raise InvalidTrajectoryError("the trajectory holds values that are not finite")
    if offsets[0] < 0 or (np.diff(times) <= 0).any():
        raise InvalidTrajectoryError("time_from_start must not be negative and must increase from point to point")
    if not franka.within(stacked[:, 0]):
        raise InvalidTrajectoryError(f"a position lies outside the joint limits of the {franka.name}")
    if times[-1] < now:
        raise InvalidTrajectoryError(f"the trajectory ended {now - times[-1]:.3f} s ago")
    if stacked.shape[1] > 1 and np.abs(stacked[-1, 1]).max() > END_SPEED:
        raise InvalidTrajectoryError("the last point must have zero velocity (end with a braking tail)")
    return Trajectory(times, stacked)


_KINDS = ("positions", "velocities", "accelerations")


def _stack(kind: str, rows: Sequence[Sequence[float]], order: list[int]) -> np.ndarray | None:
    """``(N, 7)`` in the arm's order, or None when no point has this kind."""
    lengths = {len(row) for row in rows}
    if lengths == {0}:
        return None
    if lengths != {JOINTS}:
        raise InvalidTrajectoryError(f"every point needs {JOINTS} {kind} or none, got {sorted(lengths)}")
    return np.asarray(rows, dtype=float)[:, order]


class Follower:
    """The desired state of the arm over time."""

    def __init__(self, joints: np.ndarray):
        self.hold(joints)

    def hold(self, joints: np.ndarray) -> None:
        """Forget any trajectory and stay at ``joints`` (7,)."""
        self._end, self._last = -np.inf, np.array(joints, dtype=float)
        self._path: BPoly | None = None

    def follow(self, trajectory: Trajectory, now: float) -> None:
        """Replace what was followed, from the state desired at ``now`` (seconds)."""
        times, derivatives = trajectory.times, trajectory.derivatives
        if times[0] > now:
            joints, velocities = self.desired(now)
            moving = self._path is not None and now < self._end
            accelerations = self._path(now, 2) if self._path is not None and moving else np.zeros(JOINTS)
            state = np.stack([joints, velocities, accelerations])[: derivatives.shape[1]]
            times = np.concatenate([[now], times])
            derivatives = np.concatenate([state[None], derivatives])
        self.hold(derivatives[-1, 0])
        if len(times) > 1:  # a lone point that is due at once is just held
            self._end = times[-1]
            self._path = BPoly.from_derivatives(times, derivatives)

    def desired(self, now: float) -> tuple[np.ndarray, np.ndarray]:
        """Joints ``(7,)`` and velocities ``(7,)`` desired at ``now`` (seconds)."""
        if self._path is None or now >= self._end:
            return self._last, np.zeros(JOINTS)
        return self._path(now), self._path(now, 1)
