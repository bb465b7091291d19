"""The two Franka arms: names and limits of their joints.

Panda: "Robot and interface specifications" of the Franka Control Interface documentation, section *Limits for Panda*.
FR3: the same document, section *Limits for Franka Research 3*, with the rectangular position and velocity limits. The
kinematic chains are equal; the ranges are not (joint 6 is [-0.0175, 3.7525] on a Panda and [0.5445, 4.5169] on an FR3).
The velocities here are the largest the arm accepts anywhere in its range; an FR3 lowers them near its joint limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robot_model.errors import InvalidArrayError, JointLimitError, UnknownRobotError

ARM_JOINTS = 7


@dataclass(frozen=True, eq=False)
class Franka:
    """One model of arm. Every array is ``(7,)``, read-only, in the order of ``joint_names``.

    Attributes:
        name: ``panda`` or ``fr3``.
        joint_names: Names in URDF and in ``/joint_states``.
        lower: Smallest joint positions, rad.
        upper: Largest joint positions, rad.
        velocity: Largest joint speeds, rad/s.
        acceleration: Largest joint accelerations, rad/s^2.
        jerk: Largest joint jerks, rad/s^3.
    """

    name: str
    joint_names: tuple[str, ...]
    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray

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


def _arm(
    name: str,
    lower: Sequence[float],
    upper: Sequence[float],
    velocity: Sequence[float],
    acceleration: Sequence[float],
    jerk: Sequence[float],
) -> Franka:
    arrays = [np.array(values, dtype=float) for values in (lower, upper, velocity, acceleration, jerk)]
    for array in arrays:
        array.setflags(write=False)
    return Franka(name, tuple(f"{name}_joint{index}" for index in range(1, ARM_JOINTS + 1)), *arrays)


PANDA = _arm(
    "panda",
    lower=(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
    upper=(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
    velocity=(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
    acceleration=(15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0),
    jerk=(7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0),
)

FR3 = _arm(
    "fr3",
    lower=(-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159),
    upper=(2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159),
    velocity=(2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
    acceleration=(10.0,) * ARM_JOINTS,
    jerk=(5000.0,) * ARM_JOINTS,
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
