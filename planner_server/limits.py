"""Projection of chunks onto what the robot may do: workspace box, speeds from the start pose, gripper continuity."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from planner_server import rotations
from planner_server.constants import constant

State = tuple[Tensor, Tensor, Tensor]
"""Position, rotation as a unit quaternion, gripper."""

BELOW = 1e-3
"""Metres under the box that count: what rounding and a servo's error make."""


@dataclass(frozen=True)
class Limits:
    """What every returned chunk satisfies.

    Attributes:
        workspace_lower: Lower corner of the flange's box, metres, base frame.
        workspace_upper: Upper corner.
        max_linear_speed: m/s between two successive poses.
        max_angular_speed: rad/s between two successive poses.
        max_gripper_speed: Change of the gripper per second.
        frame_period: Seconds between two poses.
        max_tilt: How far the hand may lean from straight down, rad.
        max_gripper: How far the fingers may be closed, 0 open .. 1 closed.
    """

    workspace_lower: tuple[float, float, float]
    workspace_upper: tuple[float, float, float]
    max_linear_speed: float
    max_angular_speed: float
    max_gripper_speed: float
    frame_period: float
    max_tilt: float = math.pi
    max_gripper: float = 1.0

    def above(self, height: float) -> Limits:
        """The same limits with a box that begins no lower than ``height``, metres of the flange above the base."""
        x, y, z = self.workspace_lower
        return replace(self, workspace_lower=(x, y, max(z, height)))

    def project(self, chunk: Tensor, start: Tensor) -> Tensor:
        """Nearest feasible poses, one after the other from the start.

        A pose is first moved into the box, then towards its predecessor until the speeds hold. From a start inside the
        box everything stays inside (the box is convex); from a start outside, the chunk comes back at full speed at
        most, and from below it straight up: aside, joints that start together might dip. Rotations move along the
        shortest arc, so Euler angles may lie on either side of +-pi. Rows that need no change come back untouched, and
        gradients pass through.

        Args:
            chunk: ``(..., H, 7)`` poses.
            start: ``(7,)`` or ``(..., 7)`` pose the arm has one frame before the chunk.

        Returns:
            ``(..., H, 7)`` poses, same dtype and device.
        """
        lower, upper = constant(self.workspace_lower, chunk), constant(self.workspace_upper, chunk)
        inside = torch.minimum(torch.maximum(chunk[..., :3], lower), upper)
        upright, levelled = self._level(rotations.euler_to_quaternion(chunk[..., 3:6]))
        squeezed = chunk[..., 6:].clamp(0.0, self.max_gripper)
        start = start.to(chunk).expand(chunk[..., 0, :].shape)
        state = (start[..., :3], rotations.euler_to_quaternion(start[..., 3:6]), start[..., 6:])
        states, hasty = [], []
        for k in range(chunk.shape[-2]):
            below = state[0][..., 2:] < lower[2] - BELOW
            place = torch.cat([torch.where(below, state[0][..., :2], inside[..., k, :2]), inside[..., k, 2:]], -1)
            state, slowed = self._step((place, upright[..., k, :], squeezed[..., k, :]), state)
            states.append(state)
            hasty.append(slowed)
        position, rotation, gripper = (torch.stack(part, -2) for part in zip(*states, strict=True))
        turned = torch.stack(hasty, -2) | levelled
        euler = torch.where(turned, rotations.quaternion_to_euler(rotation), chunk[..., 3:6])
        return torch.cat([position, euler, gripper], -1)

    def _step(self, wanted: State, previous: State) -> tuple[State, Tensor]:
        """As far towards the wanted state as one frame allows, and ``(..., 1)`` whose turn was slowed."""
        travel = self.max_linear_speed * self.frame_period
        turn = self.max_angular_speed * self.frame_period
        squeeze = self.max_gripper_speed * self.frame_period

        motion = wanted[0] - previous[0]
        length = torch.sqrt((motion**2).sum(-1, keepdim=True) + 1e-18)
        position = previous[0] + motion * (travel / length).clamp(max=1.0)

        rotation = rotations.logarithm(rotations.multiply(wanted[1], rotations.conjugate(previous[1])))
        angle = torch.sqrt((rotation**2).sum(-1, keepdim=True) + 1e-18)
        turned = rotations.multiply(rotations.exponential(rotation * (turn / angle).clamp(max=1.0)), previous[1])

        gripper = previous[2] + (wanted[2] - previous[2]).clamp(-squeeze, squeeze)
        return (position, turned, gripper), angle > turn

    def _level(self, rotation: Tensor) -> tuple[Tensor, Tensor]:
        """Quaternions ``(..., 4)`` brought upright the shortest way as far as needed; ``(..., 1)`` which were."""
        approach = rotations.turned(rotation, constant((0.0, 0.0, 1.0), rotation))
        down = constant((0.0, 0.0, -1.0), rotation)
        across = torch.linalg.cross(approach, down.expand_as(approach))
        sine = torch.sqrt((across**2).sum(-1, keepdim=True) + 1e-18)
        axis = torch.where(sine > 1e-6, across / sine, constant((1.0, 0.0, 0.0), rotation))  # straight up: any way
        excess = (torch.atan2(sine, -approach[..., 2:]) - self.max_tilt).clamp(min=0.0)
        return rotations.multiply(rotations.exponential(excess * axis), rotation), excess > 0


def project(chunk: np.ndarray, start: np.ndarray, limits: Limits) -> np.ndarray:
    """`Limits.project` for numpy arrays ``(..., H, 7)`` and ``(7,)``, in float64."""
    rows, origin = (torch.from_numpy(np.asarray(array, dtype=float)) for array in (chunk, start))
    return limits.project(rows, origin).numpy()
