from __future__ import annotations

import torch

from models.advection import PLANE, Advection
from models.cameras import ToolHeatMaps
from models.conditioning import Conditioner, rotation_matrix
from models.testing import random_bundle_config

SIZE, LATENT = (48, 80), (6, 10)
CAMERAS = random_bundle_config().cameras


def flange_pose(x: float, y: float, z: float, yaw: float = 0.0) -> torch.Tensor:
    """A hand that points straight down."""
    return torch.tensor([x, y, z, torch.pi, 0.0, yaw, 0.0])


def transform(pose: torch.Tensor) -> torch.Tensor:
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation_matrix(pose[3:6]), pose[:3]
    return matrix


def test_a_point_of_the_plane_is_found_where_the_earlier_wrist_view_showed_it():
    now, later = transform(flange_pose(0.45, 0.0, 0.40)), transform(flange_pose(0.49, -0.03, 0.33, yaw=0.3))
    point = torch.tensor([[[0.47, 0.02, PLANE]]])
    project = ToolHeatMaps(CAMERAS, SIZE, LATENT).project
    before, after = (project(point, flange[None])[0][0, 2, 0] for flange in (now, later))
    assert (after - before).norm() > 3, "pixels: the view moved"

    advection = Advection(CAMERAS, SIZE, LATENT)
    advection.pixels = torch.cat([after, torch.ones(1)])[None, None]
    source = advection._through_plane(2, now[None], later[None, None])[0, 0, 0, 0]
    torch.testing.assert_close(source, before, atol=1e-3, rtol=0)


def test_a_still_view_is_shifted_by_the_way_of_the_tool():
    advection = Advection(CAMERAS, SIZE, LATENT)
    tools = torch.tensor([[[0.45, 0.0, 0.2], [0.50, 0.1, 0.1]]])
    flange = transform(flange_pose(0.45, 0.0, 0.35))[None]
    pixels, _ = ToolHeatMaps(CAMERAS, SIZE, LATENT).project(tools, flange)
    source = advection._with_tool(0, tools[:, 0], tools[:, 1:])
    torch.testing.assert_close(
        (advection.pixels[..., :2] - source[0, 0]).mean((0, 1)), (pixels[0, 0, 1] - pixels[0, 0, 0]), atol=1e-3, rtol=0
    )


def test_nothing_moves_under_a_chunk_that_stays_and_gradients_reach_one_that_goes():
    history = torch.randn(1, 2, 48, 18, 10)
    pose = flange_pose(0.45, 0.0, 0.40)
    actions = pose.repeat(1, 5, 1).requires_grad_()
    condition = Conditioner(CAMERAS, SIZE, LATENT)(history, pose.repeat(1, 2, 1), actions)
    torch.testing.assert_close(condition.advected, torch.zeros_like(condition.advected), atol=1e-4, rtol=0)
    for view in (slice(0, 6), slice(12, 18)):
        (gradient,) = torch.autograd.grad(
            (condition.advected[:, :, :, view] * torch.randn(1, 5, 48, 6, 10)).sum(), actions, retain_graph=True
        )
        assert (gradient[..., :3].abs().sum(-1) > 1e-3).all()
