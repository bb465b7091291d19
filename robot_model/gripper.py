"""Robotiq 2F-85: the normalised opening of DROID and the knuckle angle of ROS."""

from __future__ import annotations

import numpy as np

KNUCKLE_JOINT = "robotiq_85_left_knuckle_joint"
"""The one actuated joint of the 2F-85; every other finger joint mimics it."""

CLOSED_RADIANS = 0.7929
"""Knuckle angle at which the fingertips touch; 0 rad is fully open (85 mm)."""


def to_radians(gripper: float | np.ndarray) -> np.ndarray:
    """Knuckle angle [rad] of a gripper value (0 open .. 1 closed), any shape; values outside are clipped."""
    return np.clip(gripper, 0.0, 1.0) * CLOSED_RADIANS


def from_radians(radians: float | np.ndarray) -> np.ndarray:
    """Gripper value (0 open .. 1 closed) of a knuckle angle [rad], any shape; angles outside are clipped."""
    return np.clip(np.asarray(radians) / CLOSED_RADIANS, 0.0, 1.0)
