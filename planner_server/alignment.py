"""How to hold the hand over what is looked for: fingers close across its long axis, as the riding camera sees it.

The paper's centring distance says where the tool should be; this is the same for how it should be turned. The relevance
map of a camera that rides on the arm, thrown onto the table, has a long axis; kinematics knows the hand's. Neither is
imagined, so that no hallucination can turn the hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.cameras import Camera
from planner_server import rotations
from robot_model.conventions import PINCH_OFFSET, pose_to_matrix

GRASP_PLANE = 0.02
"""Metres above the base's plane at which things that are grasped are taken to be."""
LONG = 1.45
"""Ratio of the two spreads on the table from which something counts as long."""
REACH = 1.6
"""rad of yaw, either way, that the hand may turn from the base's x."""


@dataclass(frozen=True)
class LongAxis:
    """The long axis of what is looked for.

    Attributes:
        angle: Of the axis, rad about the base frame's z, modulo pi.
        ratio: Spread along it, as a multiple of the spread across.
    """

    angle: float
    ratio: float


def long_axis(
    relevance: np.ndarray, camera: Camera, image_size: tuple[int, int], pose: np.ndarray, region: float
) -> LongAxis | None:
    """The long axis of the region of highest relevance in a riding camera's view; None when it is not long.

    Args:
        relevance: ``(a, b)`` of this view.
        camera: Rides on the flange.
        image_size: (rows, columns) of the pictures that its matrix is for.
        pose: ``(7,)`` flange pose at the picture.
        region: Share of the highest relevance from which a cell belongs to the region.
    """
    rows, columns = relevance.shape
    y, x = np.mgrid[:rows, :columns] + 0.5
    pixels = np.stack([x * image_size[1] / columns, y * image_size[0] / rows, np.ones_like(x)], -1)
    mount = pose_to_matrix(pose[:6]) @ np.array(camera.transform)
    rays = pixels @ (mount[:3, :3] @ np.linalg.inv(np.array(camera.matrix))).T
    depth = (GRASP_PLANE - mount[2, 3]) / np.where(rays[..., 2] < 0, rays[..., 2], -np.inf)
    weight = relevance * (relevance >= region * relevance.max()) * (depth > 0)
    if weight.sum() <= 0:
        return None
    places = depth[..., None] * rays[..., :2]
    offsets = places - np.average(places, axis=(0, 1), weights=np.broadcast_to(weight[..., None], places.shape))
    spread, axes = np.linalg.eigh(np.einsum("ab,abi,abj->ij", weight / weight.sum(), offsets, offsets))
    ratio = float(np.sqrt(spread[1] / max(spread[0], 1e-9)))
    return LongAxis(float(np.arctan2(axes[1, 1], axes[0, 1])), ratio) if ratio >= LONG else None


def turn_across(poses: Tensor, axis: LongAxis) -> Tensor:
    """Turn about the base's z ``(...)``, rad, after which a hand at poses ``(..., 7)`` grasps across an axis.

    The smaller of the two ways, unless it leads beyond `REACH`.
    """
    yaw = yaw_of(poses)
    turn = torch.remainder(axis.angle - yaw + torch.pi / 2, torch.pi) - torch.pi / 2
    return torch.where((yaw + turn).abs() <= REACH, turn, turn - torch.pi * turn.sign())


def yaw_of(poses: Tensor) -> Tensor:
    """Angle ``(...)`` of the hand's x axis, across which its fingers close, in the base's plane."""
    forward = rotations.turned(rotations.euler_to_quaternion(poses[..., 3:6]), poses.new_tensor(PINCH_OFFSET[:3, 0]))
    return torch.atan2(forward[..., 1], forward[..., 0])


def riding(cameras: Sequence[Camera]) -> int | None:
    """Index of the first camera that rides on the arm, if there is one."""
    return next((number for number, camera in enumerate(cameras) if camera.mount != "base"), None)
