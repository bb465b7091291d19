"""The plain dynamics action adapter: joint velocities integrated to joint positions.

It is exact for an arm that carries out what it is told, as the simulated cell's does. DROID's impedance controller does
not; the learned adapters for that are in `models.adapter`.
"""

from __future__ import annotations

import numpy as np

from robot_model.errors import RobotModelError
from robot_model.franka import Franka, checked_joints

STEP_ANGLE = 0.2
"""rad per control step (15 Hz) at a DROID joint velocity of 1.0, were it carried out in full: 3 rad/s."""


def integrate_joint_velocities(q: np.ndarray, velocities: np.ndarray, period: float, franka: Franka) -> np.ndarray:
    """Joints reached by holding each velocity for one period.

    Speeds are clipped to the arm's velocity limits and every position to its range, step by step, so that a joint
    pressed against its end leaves it at once when the velocity turns round.

    Args:
        q: ``(7,)`` joints at the start, rad.
        velocities: ``(N, 7)`` joint velocities, rad/s.
        period: Seconds each one lasts, e.g. `robot_model.conventions.CONTROL_PERIOD`.
        franka: The arm whose limits hold.

    Returns:
        ``(N, 7)`` joints after each period, rad.

    Raises:
        InvalidArrayError: Wrong shapes, or values that are not finite.
        RobotModelError: The period is not positive.
    """
    if not 0 < period < np.inf:
        raise RobotModelError(f"the period must be positive and finite, got {period} s")
    q, velocities = checked_joints(q), checked_joints(velocities)
    joints = np.empty_like(velocities)
    for index, velocity in enumerate(velocities):
        speed = np.minimum(np.maximum(velocity, -franka.velocity), franka.velocity)
        q = joints[index] = np.minimum(np.maximum(q + period * speed, franka.lower), franka.upper)
    return joints
