"""Where the current picture goes when the arm moves, as far as geometry alone can tell.

A camera on the wrist moves with a known pose over a known table: every later frame is about the current one seen
through the homography of the table's plane. In a camera that stands still, what moves is the hand: the current picture
shifted by the way of the tool point shows where it will be. The denoiser is shown both and takes from them what it
needs (Finn et al. 2016 advect pixels so; here it is latents). Differentiable in the poses, so that the planner's
gradient knows of the camera's motion too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.autoencoder import FOLD, split_views, stack_views
from models.cameras import NEAREST_DEPTH, Camera

PLANE = 0.015
"""Height [m] of the plane that the wrist view is taken for: a little above the table, where the objects are."""
STEEPEST = -0.05
"""Largest vertical part of a ray that still counts as going down; flatter ones would meet the plane nowhere near."""


class Advection(nn.Module):
    """Advects the latents of the newest frame to the poses of a chunk. No weights."""

    matrices: Tensor
    inverses: Tensor
    mounts: Tensor
    pixels: Tensor

    def __init__(self, cameras: Sequence[Camera], image_size: tuple[int, int], latent_size: tuple[int, int]) -> None:
        super().__init__()
        self.image_size = image_size
        self.riding = [camera.rides for camera in cameras]
        matrices = torch.tensor([c.matrix for c in cameras]).float()
        rows, columns = latent_size[0] * FOLD, latent_size[1] * FOLD
        y = (torch.arange(rows) + 0.5) * image_size[0] / rows
        x = (torch.arange(columns) + 0.5) * image_size[1] / columns
        down, across = torch.meshgrid(y, x, indexing="ij")
        for name, values in (
            ("matrices", matrices),
            ("inverses", torch.linalg.inv(matrices)),
            ("mounts", torch.tensor([c.transform for c in cameras]).float()),
            ("pixels", torch.stack([across, down, torch.ones_like(across)], -1)),
        ):
            self.register_buffer(name, values, persistent=False)

    def forward(self, current: Tensor, flange: Tensor, flanges: Tensor, tool: Tensor, tools: Tensor) -> Tensor:
        """Advect.

        Args:
            current: ``(B, C, V*h, w)`` latents of the newest frame.
            flange: ``(B, 4, 4)`` measured flange -> base then.
            flanges: ``(B, H, 4, 4)`` commanded.
            tool: ``(B, 3)`` tool point then, base frame, metres.
            tools: ``(B, H, 3)`` commanded.

        Returns:
            ``(B, H, C, V*h, w)``; where a view would have to show what it has not seen, its border is repeated.
        """
        batch, horizon = tools.shape[:2]
        sources = torch.stack(
            [
                self._through_plane(view, flange, flanges) if riding else self._with_tool(view, tool, tools)
                for view, riding in enumerate(self.riding)
            ],
            dim=2,
        )
        height, width = self.image_size
        grid = torch.stack([sources[..., 0] / width, sources[..., 1] / height], dim=-1) * 2 - 1
        views = functional.pixel_shuffle(split_views(current[:, None], len(self.riding))[:, 0].flatten(0, 1), FOLD)
        views = views.unflatten(0, (batch, 1, -1)).expand(-1, horizon, -1, -1, -1, -1).flatten(0, 2)
        moved = functional.grid_sample(views, grid.flatten(0, 2), padding_mode="border", align_corners=False)
        return stack_views(functional.pixel_unshuffle(moved, FOLD).unflatten(0, (batch, horizon, -1)))

    def _through_plane(self, view: int, flange: Tensor, flanges: Tensor) -> Tensor:
        """Pixels ``(B, H, r, c, 2)`` of the current view that show what each later pixel shows of the plane."""
        now, later = flange @ self.mounts[view], flanges @ self.mounts[view]
        rays = torch.einsum("bhij,jk,rck->bhrci", later[..., :3, :3], self.inverses[view], self.pixels)
        origin = later[:, :, None, None, :3, 3]
        reach = (PLANE - origin[..., 2]) / rays[..., 2].clamp(max=STEEPEST)
        points = origin + reach[..., None] * rays
        seen = torch.einsum("bhrcj,bji->bhrci", points - now[:, None, None, None, :3, 3], now[:, :3, :3])
        image = torch.einsum("ij,bhrcj->bhrci", self.matrices[view], seen)
        return image[..., :2] / image[..., 2:].clamp(min=NEAREST_DEPTH)

    def _with_tool(self, view: int, tool: Tensor, tools: Tensor) -> Tensor:
        """Pixels ``(B, H, r, c, 2)`` shifted back by the tool point's way through a view that stands still."""
        mount = self.mounts[view]
        seen = (torch.cat([tool[:, None], tools], dim=1) - mount[:3, 3]) @ mount[:3, :3]
        image = seen @ self.matrices[view].T
        spots = image[..., :2] / image[..., 2:].clamp(min=NEAREST_DEPTH)
        return self.pixels[..., :2] - (spots[:, 1:] - spots[:, :1])[:, :, None, None]
