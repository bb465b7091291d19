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


def centres_of(cameras: Sequence[Camera], image_size: tuple[int, int], poses: Tensor, beyond: float = 0.0) -> Tensor:
    """Image points of the pinch point for commanded flange poses, one per view, as `desired_centres` has them.

    Args:
        cameras: V of them.
        image_size: (rows, columns) of the pictures their matrices are for.
        poses: ``(..., 7)``.
        beyond: Metres past the pinch point along the approach direction.

    Returns:
        ``(..., V, 2)`` x and y in image widths; gradients end where a point is outside the picture. V is 1, and nothing
        moves, without cameras.
    """
    height, width = image_size
    aim = constant((PINCH_OFFSET @ [0.0, 0.0, beyond, 1.0])[:3], poses)
    tool = poses[..., :3] + rotations.turned(rotations.euler_to_quaternion(poses[..., 3:6]), aim)
    riding = desired_centres(cameras, image_size, np.zeros(7), beyond)  # a camera on the flange never sees it move
    if not cameras:
        return constant(riding, poses).expand(*poses.shape[:-1], 1, 2)
    border, centres = constant((width, height), poses), []
    for number, camera in enumerate(cameras):
        if camera.mount == "base":
            world = constant(np.linalg.inv(np.array(camera.transform)), poses)
            image = (tool @ world[:3, :3].T + world[:3, 3]) @ constant(camera.matrix, poses).T
            pixel = image[..., :2] / image[..., 2:].clamp(min=NEAREST_DEPTH)
            centres.append(torch.minimum(pixel.clamp(min=0.0), border) / width)
        else:
            centres.append(constant(riding[number], poses).expand(*poses.shape[:-1], 2))
    return torch.stack(centres, -2)
