"""Calibrated cameras of a bundle, and the heat maps of the tool point seen through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

NEAREST_DEPTH = 0.02
"""Metres in front of a camera below which a point is treated as being at this depth."""


@dataclass(frozen=True)
class Camera:
    """One pinhole camera (OpenCV axes: x right, y down, z forward).

    Attributes:
        name: Its role, e.g. ``left``.
        matrix: K, 3x3 rows, in pixels of the bundle's image size.
        mount: ``base`` when fixed in the cell, ``flange`` when it rides on the arm.
        transform: 4x4 rows, camera -> mount.
    """

    name: str
    matrix: tuple[tuple[float, ...], ...]
    mount: str
    transform: tuple[tuple[float, ...], ...]

    @property
    def rides(self) -> bool:
        """Whether it moves with the arm."""
        return self.mount != "base"


class ToolHeatMaps(nn.Module):
    """Gaussian spots where each view sees the tool point and the table point below it.

    A camera that rides on the arm is held at the pose of the **newest observation**: its map says where in the current
    picture the tool will go. Differentiable in the points.
    """

    matrices: Tensor
    mounts: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, cameras: Sequence[Camera], image_size: tuple[int, int], latent_size: tuple[int, int]) -> None:
        super().__init__()
        self.image_size = image_size
        self.spread = 6.0 * image_size[0] / 48
        self.riding = [camera.rides for camera in cameras]
        self.register_buffer("matrices", torch.tensor([c.matrix for c in cameras]).float(), persistent=False)
        mounts = torch.tensor([c.transform for c in cameras]).float()
        self.register_buffer("mounts", mounts, persistent=False)
        rows, columns = latent_size
        self.register_buffer("rows", (torch.arange(rows) + 0.5) * image_size[0] / rows, persistent=False)
        self.register_buffer("columns", (torch.arange(columns) + 0.5) * image_size[1] / columns, persistent=False)

    def project(self, points: Tensor, flange: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels and depths of points in every view.

        Args:
            points: ``(B, N, 3)`` in the base frame, metres.
            flange: ``(B, 4, 4)`` flange -> base at the newest observation.

        Returns:
            Pixels ``(B, V, N, 2)`` (x, y) and depths ``(B, V, N)`` in metres.
        """
        camera_to_base = torch.stack(
            [
                flange @ mount if riding else mount.expand_as(flange)
                for riding, mount in zip(self.riding, self.mounts, strict=True)
            ],
            dim=1,
        )
        rotation, origin = camera_to_base[..., :3, :3], camera_to_base[..., :3, 3]
        seen = torch.einsum("bvnj,bvji->bvni", points[:, None] - origin[:, :, None], rotation)
        depth = seen[..., 2]
        image = torch.einsum("vij,bvnj->bvni", self.matrices, seen)
        return image[..., :2] / depth.clamp(min=NEAREST_DEPTH)[..., None], depth

    def forward(self, points: Tensor, flange: Tensor) -> Tensor:
        """Heat maps ``(B, N, 2, V*h, w)``: the point itself, and its shadow straight down on the table (z = 0)."""
        count = points.shape[1]
        shadows = torch.cat([points[..., :2], torch.zeros_like(points[..., 2:])], dim=-1)
        pixels, _ = self.project(torch.cat([points, shadows], dim=1), flange)
        height, width = self.image_size
        x = pixels[..., 0].clamp(-width, 2 * width)
        y = pixels[..., 1].clamp(-height, 2 * height)
        across = (-(self.columns - x[..., None]).square() / (2 * self.spread**2)).exp()
        down = (-(self.rows - y[..., None]).square() / (2 * self.spread**2)).exp()
        spots = down[..., :, None] * across[..., None, :]
        spots = spots.unflatten(2, (2, count)).permute(0, 3, 2, 1, 4, 5)
        return spots.flatten(3, 4)
