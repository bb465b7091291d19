"""The Franka's chain in torch: flange transform and Jacobian, batched and differentiable in the joints."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from robot_model.franka import ARM_JOINTS, PANDA
from robot_model.kinematics import ArmKinematics


class ArmChain(nn.Module):
    """Kinematics of `robot_model.kinematics`, read from the same URDF; Panda and FR3 share it. It has no weights."""

    links: Tensor
    flange: Tensor

    def __init__(self) -> None:
        super().__init__()
        arm = ArmKinematics(PANDA)
        placements = [arm.model.jointPlacements[joint] for joint in range(1, ARM_JOINTS + 1)]
        placements.append(arm.model.frames[arm.flange].placement)
        origins = torch.tensor(np.stack([placement.homogeneous for placement in placements])).float()
        # A link's transform is that of its joint, turned about z: linear in (1, cos, sin).
        fixed, cosine, sine = torch.zeros(3, 4, 4)
        fixed[2, 2] = fixed[3, 3] = cosine[0, 0] = cosine[1, 1] = sine[1, 0] = 1.0
        sine[0, 1] = -1.0
        self.register_buffer("links", origins[:-1, None] @ torch.stack([fixed, cosine, sine]), persistent=False)
        self.register_buffer("flange", origins[-1], persistent=False)

    def forward(self, joints: Tensor) -> tuple[Tensor, Tensor]:
        """Where the flange is, and how it moves.

        Args:
            joints: ``(B, 7)`` rad.

        Returns:
            Transforms ``(B, 4, 4)`` flange -> base in metres, and Jacobians ``(B, 6, 7)``: linear velocity of the
            flange's origin, then angular velocity, both along the base frame's axes.
        """
        parts = torch.stack([torch.ones_like(joints), joints.cos(), joints.sin()], dim=-1)
        links = torch.einsum("bjp,jprc->bjrc", parts, self.links.to(joints))
        frames = [links[:, 0]]
        for link in links.unbind(1)[1:]:
            frames.append(frames[-1] @ link)
        frame = frames[-1] @ self.flange.to(joints)
        stacked = torch.stack(frames, dim=-1)
        turning = stacked[:, :3, 2]
        levers = frame[:, :3, 3:] - stacked[:, :3, 3]
        return frame, torch.cat([torch.linalg.cross(turning, levers, dim=1), turning], dim=1)
