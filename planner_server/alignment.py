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
from planner_server.constants import constant
from planner_server.ground import on_table
from robot_model.conventions import PINCH_OFFSET
from robot_model.franka import Franka

LONG = 1.45
"""Ratio of the two spreads on the table from which something counts as long."""
REACH = 1.6
"""rad of yaw, either way, that the hand may turn from the base's x."""
ROOM = 0.3
"""rad that the last joint keeps off its end stops: what the guard keeps, and what the way of the arm turns it by."""


@dataclass(frozen=True)
class LongAxis:
    """The long axis of what is looked for.

    Attributes:
        angle: Of the axis, rad about the base frame's z, modulo pi.
        ratio: Spread along it, as a multiple of the spread across.
        reach: Least and largest yaw of a hand across it, at least pi apart, rad.
    """

    angle: float
    ratio: float
    reach: tuple[float, float] = (-REACH, REACH)


def long_axis(
    relevance: np.ndarray, camera: Camera, image_size: tuple[int, int], pose: np.ndarray, region: float
) -> LongAxis | None:
    """The long axis of the region of highest relevance in a riding camera's view; None when it is not long.

    Args:
        relevance: ``(a, b)`` of this view.
        camera: Rides on the flange.
        image_size: See `ground.on_table`.
        pose: See `ground.on_table`.
        region: See `ground.on_table`.
    """
    thrown = on_table(relevance, camera, image_size, pose, region)
    if thrown is None:
        return None
    places, weight = thrown
    offsets = places - (weight[..., None] * places).sum((0, 1))
    spread, axes = np.linalg.eigh(np.einsum("ab,abi,abj->ij", weight, offsets, offsets))
    ratio = float(np.sqrt(spread[1] / max(spread[0], 1e-9)))
    return LongAxis(float(np.arctan2(axes[1, 1], axes[0, 1])), ratio) if ratio >= LONG else None


def turn_across(poses: Tensor, axis: LongAxis) -> Tensor:
    """Turn about the base's z ``(...)``, rad, after which a hand at poses ``(..., 7)`` grasps across an axis.

    The smaller of the two ways, unless it leads beyond the axis' reach.
    """
    yaw = yaw_of(poses)
    turn = torch.remainder(axis.angle - yaw + torch.pi / 2, torch.pi) - torch.pi / 2
    least, largest = axis.reach
    return turn + torch.pi * (yaw + turn < least) - torch.pi * (yaw + turn > largest)


def yaw_reach(pose: np.ndarray, joints: np.ndarray, arm: Franka) -> tuple[float, float]:
    """`LongAxis.reach` of a hand that points down: `REACH`, as far as the last joint goes, which turns it.

    Args:
        pose: ``(7,)`` flange pose.
        joints: ``(7,)`` of the arm there, rad.
        arm: Whose joints they are.
    """
    yaw = float(yaw_of(torch.from_numpy(pose)))
    least = max(-REACH, yaw - (arm.upper[6] - ROOM - joints[6]))  # seen from above, the joint turns the other way
    largest = min(REACH, yaw + (joints[6] - arm.lower[6] - ROOM))
    if largest - least >= np.pi:
        return least, largest
    return (least, least + np.pi) if least > -REACH else (largest - np.pi, largest)


def yaw_of(poses: Tensor) -> Tensor:
    """Angle ``(...)`` of the hand's x axis, across which its fingers close, in the base's plane."""
    forward = rotations.turned(rotations.euler_to_quaternion(poses[..., 3:6]), constant(PINCH_OFFSET[:3, 0], poses))
    return torch.atan2(forward[..., 1], forward[..., 0])


def riding(cameras: Sequence[Camera]) -> int | None:
    """Index of the first camera that rides on the arm, if there is one."""
    return next((number for number, camera in enumerate(cameras) if camera.rides), None)
