"""Rotations for the planner in torch, differentiable and batched, as unit quaternions ``[x, y, z, w]``.

`robot_model.conventions` holds the conventions; this file repeats only what gradients must flow through. Euler angles
are DROID's extrinsic xyz, R = Rz(yaw) Ry(pitch) Rx(roll).
"""

from __future__ import annotations

import torch
from torch import Tensor

from planner_server.constants import constant

TINY = 1e-12


def euler_to_quaternion(euler: Tensor) -> Tensor:
    """Unit quaternions ``(..., 4)`` of extrinsic xyz angles ``(..., 3)``, rad."""
    cr, cp, cy = torch.cos(euler / 2).unbind(-1)
    sr, sp, sy = torch.sin(euler / 2).unbind(-1)
    return torch.stack(
        [
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
            cr * cp * cy + sr * sp * sy,
        ],
        -1,
    )


def quaternion_to_euler(quaternion: Tensor) -> Tensor:
    """Extrinsic xyz angles ``(..., 3)`` of unit quaternions; roll and yaw in [-pi, pi], pitch in [-pi/2, pi/2]."""
    x, y, z, w = quaternion.unbind(-1)
    roll = torch.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    # Just inside +-1: the derivative of asin is infinite at the ends.
    pitch = torch.asin((2 * (w * y - z * x)).clamp(-1 + TINY, 1 - TINY))
    yaw = torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return torch.stack([roll, pitch, yaw], -1)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Product of quaternions: the rotation ``b`` followed by ``a``, both along the base frame's axes."""
    (u, s), (v, t) = a.split((3, 1), -1), b.split((3, 1), -1)
    vector = s * v + t * u + torch.linalg.cross(*torch.broadcast_tensors(u, v))
    return torch.cat([vector, s * t - (u * v).sum(-1, keepdim=True)], -1)


def conjugate(quaternion: Tensor) -> Tensor:
    """Inverse rotation of a unit quaternion."""
    return quaternion * constant((-1.0, -1.0, -1.0, 1.0), quaternion)


def turned(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Vectors ``(3,)`` or ``(..., 3)`` turned by unit quaternions ``(..., 4)``: ``(..., 3)``."""
    axis, vector = torch.broadcast_tensors(quaternion[..., :3], vector)
    once = torch.linalg.cross(axis, vector)
    return vector + 2 * (quaternion[..., 3:] * once + torch.linalg.cross(axis, once))


def exponential(rotation_vector: Tensor) -> Tensor:
    """Unit quaternions ``(..., 4)`` of rotation vectors ``(..., 3)``, rad; smooth at zero."""
    half = 0.5 * torch.sqrt((rotation_vector**2).sum(-1, keepdim=True) + TINY)
    return torch.cat([0.5 * rotation_vector * torch.sin(half) / half, torch.cos(half)], -1)


def logarithm(quaternion: Tensor) -> Tensor:
    """Rotation vectors ``(..., 3)`` of unit quaternions, the shorter way round (length at most pi)."""
    quaternion = torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
    vector, w = quaternion[..., :3], quaternion[..., 3:]
    sine = torch.sqrt((vector**2).sum(-1, keepdim=True) + TINY * TINY)
    # At zero the ratio tends to 2.
    return vector * torch.where(sine > 1e-7, 2 * torch.atan2(sine, w) / sine, torch.full_like(sine, 2.0))
