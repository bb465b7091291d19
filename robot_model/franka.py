"""The two Franka arms: names and limits of their joints.

Source: Franka Control Interface documentation, "Robot and interface specifications", sections *Limits for Panda* and
*Limits for Franka Research 3*. The kinematic chains are equal; the limits are not (joint 6 is [-0.0175, 3.7525] on a
Panda and [0.5445, 4.5169] on an FR3), and an FR3 aborts a motion that runs too fast *towards* a joint's end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_model.errors import InvalidArrayError, JointLimitError, UnknownRobotError

ARM_JOINTS = 7


@dataclass(frozen=True, eq=False)
class VelocityTaper:
    """FR3's position-dependent velocity limit: ``max(0, sqrt(slope * distance) - offset)``, arrays ``(7,)``.

    Attributes:
        lower: Joint positions from which the distance to the lower end counts, rad.
        upper: The same for the upper end.
        slope: Twice the deceleration the limit follows, rad/s^2.
        offset: Margin, rad/s.
    """

    lower: np.ndarray
    upper: np.ndarray
    slope: np.ndarray
    offset: np.ndarray

    def speed(self, distance: np.ndarray) -> np.ndarray:
        """Largest speed [rad/s] towards an end that is ``distance`` ``(..., 7)`` rad away."""
        return np.maximum(0.0, np.sqrt(self.slope * np.maximum(0.0, distance)) - self.offset)


@dataclass(frozen=True, eq=False)
class Franka:
    """One model of arm. Every array is ``(7,)``, read-only, in the order of ``joint_names``.

    Attributes:
        name: ``panda`` or ``fr3``.
        joint_names: Names in URDF and in ``/joint_states``.
        lower: Smallest joint positions, rad.
        upper: Largest joint positions, rad.
        velocity: Largest joint speeds, rad/s, far from the ends of the range; see `velocity_limits`.
        acceleration: Largest joint accelerations, rad/s^2.
        jerk: Largest joint jerks, rad/s^3.
        taper: How the speed must fall towards the ends of the range, or None where it need not.
    """

    name: str
    joint_names: tuple[str, ...]
    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray
    taper: VelocityTaper | None = None

    def clip(self, q: np.ndarray) -> np.ndarray:
        """Joints ``(..., 7)`` moved into the position limits."""
        return np.clip(checked_joints(q), self.lower, self.upper)

    def within(self, q: np.ndarray) -> bool:
        """Whether all joints ``(..., 7)`` lie inside the position limits."""
        q = checked_joints(q)
        return bool((q >= self.lower).all() and (q <= self.upper).all())

    def check(self, q: np.ndarray) -> None:
        """Raise for the first joint of ``q`` ``(..., 7)`` outside its position limits.

        Raises:
            JointLimitError: Carries the joint, its value and its range.
            InvalidArrayError: Not ``(..., 7)`` finite numbers.
        """
        rows = checked_joints(q).reshape(-1, ARM_JOINTS)
        outside = np.argwhere((rows < self.lower) | (rows > self.upper))
        if len(outside):
            row, joint = outside[0]
            raise JointLimitError(
                self.joint_names[joint], float(rows[row, joint]), float(self.lower[joint]), float(self.upper[joint])
            )

    def velocity_limits(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lowest (<= 0) and highest (>= 0) joint velocities [rad/s] at joints ``q`` ``(..., 7)``, of the same shape."""
        q = checked_joints(q)
        full = np.broadcast_to(self.velocity, q.shape)
        if self.taper is None:
            return -full, full
        return -np.minimum(full, self.taper.speed(q - self.taper.lower)), np.minimum(
            full, self.taper.speed(self.taper.upper - q)
        )


def checked_joints(q: np.ndarray) -> np.ndarray:
    """``q`` as float64 ``(..., 7)``.

    Raises:
        InvalidArrayError: Another shape, or values that are not finite.
    """
    q = np.asarray(q, dtype=float)
    if q.shape[-1:] != (ARM_JOINTS,):
        raise InvalidArrayError(f"need {ARM_JOINTS} joints in the last dimension, got shape {q.shape}")
    if not np.isfinite(q).all():
        raise InvalidArrayError(f"joint values must be finite, got {q}")
    return q


def _row(*values: float) -> np.ndarray:
    array = np.array(values, dtype=float)
    array.setflags(write=False)
    return array


PANDA = Franka(
    name="panda",
    joint_names=tuple(f"panda_joint{index}" for index in range(1, ARM_JOINTS + 1)),
    lower=_row(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
    upper=_row(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
    velocity=_row(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
    acceleration=_row(15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0),
    jerk=_row(7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0),
)

FR3 = Franka(
    name="fr3",
    joint_names=tuple(f"fr3_joint{index}" for index in range(1, ARM_JOINTS + 1)),
    lower=_row(-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159),
    upper=_row(2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159),
    velocity=_row(2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
    acceleration=_row(*[10.0] * ARM_JOINTS),
    jerk=_row(*[5000.0] * ARM_JOINTS),
    taper=VelocityTaper(
        lower=_row(-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196),
        upper=_row(2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196),
        slope=_row(12.0, 5.17, 7.0, 8.0, 34.0, 11.0, 34.0),
        offset=_row(0.3, 0.2, 0.2, 0.3, 0.35, 0.35, 0.35),
    ),
)

_ARMS = {arm.name: arm for arm in (PANDA, FR3)}


def franka(name: str) -> Franka:
    """The arm called ``name``.

    Raises:
        UnknownRobotError: Not ``panda`` or ``fr3``.
    """
    if name not in _ARMS:
        raise UnknownRobotError(name, tuple(_ARMS))
    return _ARMS[name]
