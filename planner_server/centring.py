"""The desired centre c of `view_geometry`, differentiable: how the commanded tool moves through each picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.cameras import Camera
from planner_server import rotations
from planner_server.constants import constant
from planner_server.view_geometry import NEAREST_DEPTH, desired_centres
from robot_model.conventions import PINCH_OFFSET


def centres_of(
    cameras: Sequence[Camera], image_size: tuple[int, int], poses: Tensor, beyond: Tensor | float = 0.0
) -> Tensor:
    """Image points of the pinch point for commanded flange poses, one per view, as `desired_centres` has them.

    Args:
        cameras: V of them.
        image_size: (rows, columns) of the pictures their matrices are for.
        poses: ``(..., 7)``.
        beyond: Metres past the pinch point along the approach direction, one or ``(...)``.

    Returns:
        ``(..., V, 2)`` x and y in image widths; gradients end where a point is outside the picture. V is 1, and nothing
        moves, without cameras.
    """
    height, width = image_size
    if not cameras:
        return constant(desired_centres(cameras, image_size, np.zeros(7)), poses).expand(*poses.shape[:-1], 1, 2)
    past = torch.as_tensor(beyond, dtype=poses.dtype, device=poses.device).expand(poses.shape[:-1])
    aim = constant(PINCH_OFFSET[:3, 3], poses) + past[..., None] * constant(PINCH_OFFSET[:3, 2], poses)
    tool = held_point(poses, aim)
    border, centres = constant((width, height), poses), []
    for camera in cameras:
        mount = constant(np.linalg.inv(np.array(camera.transform)), poses)
        point = aim if camera.rides else tool  # a camera on the flange never sees it move
        image = (point @ mount[:3, :3].T + mount[:3, 3]) @ constant(camera.matrix, poses).T
        pixel = image[..., :2] / image[..., 2:].clamp(min=NEAREST_DEPTH)
        centres.append(torch.minimum(pixel.clamp(min=0.0), border) / width)
    return torch.stack(centres, -2)


def held_point(poses: Tensor, point: Tensor) -> Tensor:
    """Where poses ``(..., 7)`` hold points ``(3,)`` or ``(..., 3)`` of the flange: ``(..., 3)``, metres."""
    return poses[..., :3] + rotations.turned(rotations.euler_to_quaternion(poses[..., 3:6]), point)
