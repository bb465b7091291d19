"""The flange's path through the waypoints of the active chunk, at absolute times.

Between two waypoints position follows the minimum-jerk (quintic) polynomial for the speeds at its ends, with no
acceleration there; rotation follows the same polynomial of the rotation vector relative to the segment's start, which
for rest-to-rest is SLERP with minimum-jerk timing. The speed at an inner waypoint is the mean of its two segments', so
the arm passes through it without stopping; at the first and last waypoint it is zero unless the path is extended.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from plan_protocol.messages import POSE_SIZE

SAME_TIME = 1e-6


class PoseCurve:
    """A smooth path of poses through waypoints.

    Attributes:
        times: ``(N,)`` absolute times of the waypoints, seconds on the robot's clock, strictly increasing.
        poses: ``(N, 7)`` flange poses (extrinsic xyz Euler) and gripper.
    """

    def __init__(self, times: np.ndarray, poses: np.ndarray) -> None:
        """Create it.

        Args:
            times: ``(N,)`` strictly increasing, N >= 1.
            poses: ``(N, 7)``.

        Raises:
            ValueError: The shapes disagree or the times do not increase.
        """
        self.times = np.array(times, dtype=float)
        self.poses = np.array(poses, dtype=float)
        if self.poses.shape != (len(self.times), POSE_SIZE) or not len(self.times):
            raise ValueError(f"need N times and (N, 7) poses, got {self.times.shape} and {self.poses.shape}")
        durations = np.diff(self.times)
        if (durations <= 0).any():
            raise ValueError("the waypoints' times must increase")
        self._rotations = Rotation.from_euler("xyz", self.poses[:, 3:6])
        self._turns = (
            (self._rotations[:-1].inv() * self._rotations[1:]).as_rotvec() if len(durations) else np.empty((0, 3))
        )
        self._velocities = _waypoint_rates(np.diff(self.poses[:, :3], axis=0), durations)
        # Angular velocities in the flange's frame: a segment's rotation vector is the same in both of its end frames.
        self._rates = _waypoint_rates(self._turns, durations)
        self._end_rates = _as_vector_rate(self._turns, self._rates[1:])

    @property
    def start(self) -> float:
        """Time of the first waypoint."""
        return float(self.times[0])

    @property
    def end(self) -> float:
        """Time of the last waypoint; the path rests there afterwards."""
        return float(self.times[-1])

    def pose(self, time: float) -> np.ndarray:
        """Pose ``(7,)`` at an absolute time; held before the first and after the last waypoint."""
        if time <= self.times[0] or len(self.times) == 1:
            return self.poses[0].copy()
        if time >= self.times[-1]:
            return self.poses[-1].copy()
        i = int(np.searchsorted(self.times, time, side="right")) - 1
        duration = self.times[i + 1] - self.times[i]
        fraction = (time - self.times[i]) / duration

        a, b = self.poses[i], self.poses[i + 1]
        position = a[:3] + _quintic(
            fraction, b[:3] - a[:3], self._velocities[i] * duration, self._velocities[i + 1] * duration
        )
        turn = self._turns[i]
        turned = _quintic(fraction, turn, self._rates[i] * duration, self._end_rates[i] * duration)
        euler = (self._rotations[i] * Rotation.from_rotvec(turned)).as_euler("xyz")
        gripper = a[6] + fraction * (b[6] - a[6])
        return np.concatenate([position, euler, [gripper]])

    def sample(self, times: np.ndarray) -> np.ndarray:
        """Poses ``(N, 7)`` at ``(N,)`` absolute times."""
        return np.array([self.pose(time) for time in times]).reshape(-1, POSE_SIZE)

    def continued(self, start: float, start_pose: np.ndarray, times: np.ndarray, poses: np.ndarray) -> PoseCurve:
        """The path that follows this one until ``start`` and a new chunk from there.

        Args:
            start: When the new chunk begins; waypoints after it are dropped.
            start_pose: ``(7,)`` pose at ``start``.
            times: ``(H,)`` times of the new waypoints, all after ``start``.
            poses: ``(H, 7)``.
        """
        kept = self.times < start - SAME_TIME
        return PoseCurve(
            np.concatenate([self.times[kept], [start], times]), np.concatenate([self.poses[kept], [start_pose], poses])
        )

    def since(self, time: float) -> PoseCurve:
        """The same path without the waypoints that no longer bear on it: one before ``time``'s segment is kept."""
        first = max(int(np.searchsorted(self.times, time, side="right")) - 2, 0)
        return PoseCurve(self.times[first:], self.poses[first:])


def _waypoint_rates(steps: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Rates ``(N, 3)`` at N waypoints from the ``(N-1, 3)`` steps between them: zero at both ends."""
    rates = np.zeros((len(durations) + 1, 3))
    if len(durations) > 1:
        slopes = steps / durations[:, None]
        # Of two segments the shorter-lived one says more about the speed at their common waypoint.
        before, after = durations[:-1, None], durations[1:, None]
        rates[1:-1] = (slopes[:-1] * after + slopes[1:] * before) / (before + after)
    return rates


def _quintic(s: float, change: np.ndarray, v0: np.ndarray, v1: np.ndarray) -> np.ndarray:
    """Minimum-jerk polynomial from 0 to ``change`` at fraction ``s``, rates ``v0`` and ``v1`` per unit of s."""
    s3 = s**3
    return (
        v0 * s
        + (10 * change - 6 * v0 - 4 * v1) * s3
        + (-15 * change + 8 * v0 + 7 * v1) * s3 * s
        + (6 * change - 3 * v0 - 3 * v1) * s3 * s * s
    )


def _as_vector_rate(turn: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Rate of the rotation vector at ``turn`` for a body rate ``rate`` (inverse right Jacobian, second order)."""
    return rate + np.cross(turn, rate) / 2 + np.cross(turn, np.cross(turn, rate)) / 12
