"""The pose conventions of DROID, in one place.

A *pose* is ``[x, y, z, roll, pitch, yaw]``, optionally followed by the gripper (0 open .. 1 closed): position of the
flange ``link8`` in the base frame ``link0`` in metres, and **extrinsic** xyz Euler angles in radians (scipy's lowercase
``"xyz"``; R = Rz(yaw) Ry(pitch) Rx(roll)). At the reset posture roll sits at +-pi, so Euler angles must never be
subtracted or interpolated directly: use `interpolate_pose` and `pose_distance`.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from robot_model.errors import InvalidArrayError

DROID_RESET_JOINTS = np.array([0.0, -np.pi / 5, 0.0, -4 * np.pi / 5, 0.0, 3 * np.pi / 5, 0.0])
"""Joints [rad] at which a DROID episode begins."""
DROID_RESET_JOINTS.setflags(write=False)

VIDEO_PERIOD = 0.2
"""Seconds between two video frames (5 Hz)."""

CONTROL_PERIOD = 1 / 15
"""Seconds between two control steps (15 Hz); state index = 3 x frame index."""

PINCH_OFFSET = np.array(
    [
        [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0],
        [-np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.1488],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""(4, 4) transform from the flange ``link8`` to the pinch point of the 2F-85, between its fingertips: z along the
approach, y along the fingers' closing direction. Measured on the compiled MuJoCo model of gym_hil 0.1.14 (3.8 mm mount,
145 mm gripper, turned by -45 degrees about the flange's z)."""
PINCH_OFFSET.setflags(write=False)


def pose_to_matrix(pose: np.ndarray) -> np.ndarray:
    """Homogeneous transforms of poses.

    Args:
        pose: ``(..., 6)`` or longer; what follows the sixth value (the gripper) is ignored.

    Returns:
        ``(..., 4, 4)`` transforms flange -> base.

    Raises:
        InvalidArrayError: Fewer than six values, or values that are not finite.
    """
    pose = _checked_pose(pose)
    matrix = np.zeros((*pose.shape[:-1], 4, 4))
    rotation = Rotation.from_euler("xyz", pose[..., 3:6].reshape(-1, 3)).as_matrix()
    matrix[..., :3, :3] = rotation.reshape(*pose.shape[:-1], 3, 3)
    matrix[..., :3, 3] = pose[..., :3]
    matrix[..., 3, 3] = 1.0
    return matrix


def matrix_to_pose(matrix: np.ndarray) -> np.ndarray:
    """Poses ``(..., 6)`` of homogeneous transforms ``(..., 4, 4)``; roll and yaw in [-pi, pi], pitch in [-pi/2, pi/2].

    Raises:
        InvalidArrayError: Not a stack of 4x4 matrices, values that are not finite, or an improper rotation.
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape[-2:] != (4, 4) or not np.isfinite(matrix).all():
        raise InvalidArrayError(f"need finite transforms (..., 4, 4), got shape {matrix.shape}")
    try:
        rotation = Rotation.from_matrix(matrix[..., :3, :3].reshape(-1, 3, 3))
    except ValueError as error:
        raise InvalidArrayError(f"the upper left 3x3 block is not a rotation: {error}") from error
    euler = rotation.as_euler("xyz").reshape(*matrix.shape[:-2], 3)
    return np.concatenate([matrix[..., :3, 3], euler], axis=-1)


def interpolate_pose(start: np.ndarray, end: np.ndarray, fraction: float | np.ndarray) -> np.ndarray:
    """Poses between ``start`` and ``end``: straight line for the position, SLERP for the rotation, gripper linear.

    The shorter way round is taken whatever side of +-pi the Euler angles lie on.

    Args:
        start: ``(..., 6)`` or ``(..., 7)`` poses.
        end: Poses of the same width, broadcast against ``start``.
        fraction: 0 (start) .. 1 (end), broadcast against the leading shape of the poses, e.g. ``(N,)`` for one pair.

    Returns:
        Poses of the same width and the broadcast leading shape.

    Raises:
        InvalidArrayError: Widths differ or are not 6 or 7, or values are not finite.
    """
    start, end, fraction = _checked_pose(start), _checked_pose(end), np.asarray(fraction, dtype=float)
    width = start.shape[-1]
    if end.shape[-1] != width or width not in (6, 7):
        raise InvalidArrayError(f"poses must both have 6 or 7 values, got {width} and {end.shape[-1]}")
    if not np.isfinite(fraction).all():
        raise InvalidArrayError("the fraction must be finite")
    shape = np.broadcast_shapes(start.shape[:-1], end.shape[:-1], fraction.shape)
    start, end = (np.broadcast_to(pose, (*shape, width)).reshape(-1, width) for pose in (start, end))
    weight = np.broadcast_to(fraction, shape).reshape(-1, 1)

    pose = start + weight * (end - start)
    first = Rotation.from_euler("xyz", start[:, 3:6])
    turn = (first.inv() * Rotation.from_euler("xyz", end[:, 3:6])).as_rotvec()
    pose[:, 3:6] = (first * Rotation.from_rotvec(weight * turn)).as_euler("xyz")
    return pose.reshape(*shape, width)


def pose_distance(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the positions [m] and angle between the rotations [rad, 0..pi], over the broadcast leading shape.

    Raises:
        InvalidArrayError: Fewer than six values, or values that are not finite.
    """
    first, second = np.broadcast_arrays(_checked_pose(first)[..., :6], _checked_pose(second)[..., :6])
    metres = np.linalg.norm(first[..., :3] - second[..., :3], axis=-1)
    a = Rotation.from_euler("xyz", first[..., 3:].reshape(-1, 3))
    b = Rotation.from_euler("xyz", second[..., 3:].reshape(-1, 3))
    return metres, (a.inv() * b).magnitude().reshape(metres.shape)


def _checked_pose(pose: np.ndarray) -> np.ndarray:
    pose = np.asarray(pose, dtype=float)
    if pose.ndim == 0 or pose.shape[-1] < 6:
        raise InvalidArrayError(f"a pose is [x, y, z, roll, pitch, yaw(, gripper)], got shape {pose.shape}")
    if not np.isfinite(pose).all():
        raise InvalidArrayError("a pose holds values that are not finite")
    return pose
