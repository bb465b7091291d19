"""What the networks are told of the robot: history frames and poses, and the commanded poses of the chunk.

Every pose becomes the same vector, relative to the **newest measured pose**: no Euler angle is ever subtracted, so the
wrap at +-pi (DROID's reset posture sits on it) cannot be felt. All of it is differentiable in the poses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.advection import Advection
from models.cameras import Camera, ToolHeatMaps
from models.errors import ShapeError
from robot_model.conventions import PINCH_OFFSET

POSE_PARTS = {"way": 3, "turn": 6, "gripper": 1, "tool": 3, "rotation": 6}
"""What a pose is described by, and in how many numbers, in this order; see `PoseFeatures`."""
POSE_FEATURES = sum(POSE_PARTS.values())
FINGER_GAP = 0.085
"""Metres between the fingertips of an open 2F-85."""
METRES = 10.0
"""Scale of translations: one unit is 10 cm."""
TABLE_CENTRE = (0.49, 0.0, 0.15)
"""Tool points are given relative to this point of the base frame, metres."""


@dataclass(frozen=True)
class Condition:
    """Everything an action-conditioned denoiser or head may look at.

    Attributes:
        history: ``(B, T, C, V*h, w)`` latents of the history frames.
        history_poses: ``(B, T, 7)`` measured poses.
        actions: ``(B, H, 7)`` commanded poses.
        features: ``(B, T + H, 19)`` one vector per pose, history first, see `PoseFeatures`.
        maps: ``(B, 1 + H, 2, V*h, w)`` tool heat maps of the newest measured pose and of each commanded one.
        hand: ``(B, 1 + H, 2, V*h, w)`` heat maps of the fingertips and of the flange, same poses.
        advected: ``(B, H, C, V*h, w)`` the newest frame advected to each commanded pose, less that frame.
    """

    history: Tensor
    history_poses: Tensor
    actions: Tensor
    features: Tensor
    maps: Tensor
    hand: Tensor
    advected: Tensor

    def describes(self, history: Tensor, history_poses: Tensor, actions: Tensor) -> bool:
        """Whether it was made from these very tensors, with all the gradients that are wanted now."""
        given = (history, history_poses, actions)
        wanted = torch.is_grad_enabled() and any(part.requires_grad for part in given)
        same = all(a is b for a, b in zip(given, (self.history, self.history_poses, self.actions), strict=True))
        return same and (self.advected.requires_grad or not wanted)

    def rows(self, rows: slice) -> Condition:
        """The conditions of some rows of the batch."""
        return Condition(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def with_history(self, history: Tensor) -> Condition:
        """The same conditions with other history latents, e.g. noised ones."""
        return replace(self, history=history)

    def without_actions(self, rows: Tensor) -> Condition:
        """The same conditions with nothing told of the poses in the given rows ``(B,)`` bool (guidance)."""
        told = ~rows

        def keep(value: Tensor) -> Tensor:
            return value * told.reshape(-1, *([1] * (value.ndim - 1)))

        return replace(
            self,
            features=keep(self.features),
            maps=keep(self.maps),
            hand=keep(self.hand),
            advected=keep(self.advected),
        )


def rotation_matrix(euler: Tensor) -> Tensor:
    """Rotation matrices ``(..., 3, 3)`` of extrinsic xyz Euler angles ``(..., 3)``: Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, cp, cy), (sr, sp, sy) = euler.cos().unbind(-1), euler.sin().unbind(-1)
    rows = [
        torch.stack([cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr], -1),
        torch.stack([sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr], -1),
        torch.stack([-sp, cp * sr, cp * cr], -1),
    ]
    return torch.stack(rows, -2)


def pose_matrix(poses: Tensor) -> Tensor:
    """Transforms ``(..., 4, 4)`` flange -> base of poses ``(..., 7)``."""
    last = torch.eye(4, device=poses.device)[3].expand(*poses.shape[:-1], 1, 4)
    upper = torch.cat([rotation_matrix(poses[..., 3:6]), poses[..., :3, None]], dim=-1)
    return torch.cat([upper, last], dim=-2)


def six_dimensional(rotation: Tensor) -> Tensor:
    """The first two columns of rotations ``(..., 3, 3)`` as ``(..., 6)`` (Zhou et al. 2019)."""
    return rotation[..., :, :2].transpose(-1, -2).flatten(-2)


class DescribedPoses(NamedTuple):
    """T measured and H commanded poses.

    Attributes:
        poses: ``(B, T + H, 7)``.
        flanges: ``(B, T + H, 4, 4)`` flange -> base.
        tools: ``(B, T + H, 3)`` pinch points, base frame, metres.
        features: ``(B, T + H, 19)``, see `PoseFeatures`.
    """

    poses: Tensor
    flanges: Tensor
    tools: Tensor
    features: Tensor


class PoseFeatures(nn.Module):
    """Describes poses by 19 numbers each (`POSE_PARTS`), whichever cameras there are. It has no weights.

    * ``way``: how far the flange is from where it was at the newest measured pose, base frame, 10 cm.
    * ``turn``: how it is turned against then, in its own frame of then; two columns of the rotation less the
      identity's, doubled.
    * ``gripper``: -1 open .. 1 closed.
    * ``tool``: the pinch point from `TABLE_CENTRE`, base frame, 20 cm.
    * ``rotation``: two columns of the flange's rotation, base frame.
    """

    pinch_offset: Tensor
    centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pinch_offset", torch.tensor(PINCH_OFFSET[:3, 3].copy()).float(), persistent=False)
        self.register_buffer("centre", torch.tensor(TABLE_CENTRE), persistent=False)

    def forward(self, history_poses: Tensor, actions: Tensor) -> DescribedPoses:
        """Describe measured poses ``(B, T, 7)`` and commanded ones ``(B, H, 7)``.

        Raises:
            ShapeError: Poses are not 7 wide.
        """
        if history_poses.shape[-1] != 7 or actions.shape[-1] != 7:
            raise ShapeError(f"poses have 7 values, got {tuple(history_poses.shape)} and {tuple(actions.shape)}")
        poses = torch.cat([history_poses, actions], dim=1)
        flanges = pose_matrix(poses)
        place, rotation = poses[..., :3], flanges[..., :3, :3]
        newest = slice(history_poses.shape[1] - 1, history_poses.shape[1])
        tools = place + rotation @ self.pinch_offset
        identity = six_dimensional(torch.eye(3, device=poses.device))
        parts = {
            "way": (place - place[:, newest]) * METRES,
            "turn": (six_dimensional(rotation[:, newest].transpose(-1, -2) @ rotation) - identity) * 2,
            "gripper": poses[..., 6:] * 2 - 1,
            "tool": (tools - self.centre) * METRES / 2,
            "rotation": six_dimensional(rotation),
        }
        features = torch.cat([parts[name] for name in POSE_PARTS], dim=-1)
        return DescribedPoses(poses, flanges, tools, features)


class Conditioner(nn.Module):
    """Turns poses into a `Condition`. It has no weights; its cameras come from the bundle."""

    across_fingers: Tensor
    _kept: Condition | None = None

    def __init__(self, cameras: Sequence[Camera], image_size: tuple[int, int], latent_size: tuple[int, int]) -> None:
        super().__init__()
        self.describe = PoseFeatures()
        self.heat_maps = ToolHeatMaps(cameras, image_size, latent_size)
        self.advection = Advection(cameras, image_size, latent_size)
        across = torch.tensor(PINCH_OFFSET[:3, 1].copy()).float() * FINGER_GAP / 2
        self.register_buffer("across_fingers", across, persistent=False)

    def forward(self, history: Tensor, history_poses: Tensor, actions: Tensor) -> Condition:
        """Describe the poses.

        Args:
            history: ``(B, T, C, V*h, w)``.
            history_poses: ``(B, T, 7)``.
            actions: ``(B, H, 7)``.

        Raises:
            ShapeError: Batch sizes differ or poses are not 7 wide.
        """
        if not history.shape[0] == history_poses.shape[0] == actions.shape[0]:
            raise ShapeError(
                f"batch sizes differ: history {history.shape[0]}, poses {history_poses.shape[0]}, "
                f"actions {actions.shape[0]}"
            )
        kept = self._kept
        if kept is not None and kept.describes(history, history_poses, actions):
            return kept
        count = history_poses.shape[1]
        poses, flanges, tools, features = self.describe(history_poses, actions)
        flange, rotation = flanges[:, count - 1], flanges[..., :3, :3]
        spread = rotation @ self.across_fingers * (1 - poses[..., 6:])
        now = slice(count - 1, None)
        points = torch.stack([tools, tools + spread, tools - spread, poses[..., :3]], dim=2)[:, now]
        spots = self.heat_maps(points.flatten(1, 2), flange).unflatten(1, (-1, 4))
        advected = self.advection(history[:, -1], flange, flanges[:, count:], tools[:, count - 1], tools[:, count:])
        return Condition(
            history,
            history_poses,
            actions,
            features,
            spots[:, :, 0],
            torch.stack([spots[:, :, 1, 0] + spots[:, :, 2, 0], spots[:, :, 3, 0]], dim=2),
            advected - history[:, -1:],
        )

    def keep(self, condition: Condition) -> None:
        """Answer with this one when its history and poses are asked about again, until the next is kept.

        The heads judge a video right after it was imagined. They are then spared the description of what it was
        imagined from, forwards and backwards.
        """
        self._kept = condition

    def __getstate__(self) -> dict[str, Any]:
        """Copies begin without what was kept: a tensor with a graph cannot be copied."""
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}
