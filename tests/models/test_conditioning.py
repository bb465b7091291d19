from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.conditioning import rotation_matrix
from models.errors import ShapeError
from robot_model.conventions import PINCH_OFFSET, pose_to_matrix


def test_rotations_are_those_of_the_conventions():
    euler = np.random.default_rng(0).uniform(-3.2, 3.2, (50, 3))
    pose = np.concatenate([np.zeros((50, 3)), euler], axis=1)
    ours = rotation_matrix(torch.tensor(euler)).numpy()
    assert np.abs(ours - pose_to_matrix(pose)[:, :3, :3]).max() < 1e-12


def test_the_roll_wrap_is_not_felt(bundle, scene):
    history, poses, actions = scene
    poses[..., 3], actions[..., 3] = math.pi - 1e-4, math.pi - 1e-4
    wrapped = actions.clone()
    wrapped[..., 3] -= 2 * math.pi
    straight, around = (bundle.world_model.condition(history, poses, a) for a in (actions, wrapped))
    assert (straight.features - around.features).abs().max() < 1e-4
    assert (straight.maps - around.maps).abs().max() < 1e-4


def test_heat_maps_peak_where_the_camera_sees_the_pinch_point(bundle, scene):
    history, poses, actions = scene
    maps = bundle.world_model.condition(history, poses, actions).maps
    assert maps.shape == (2, 6, 2, 18, 10)
    tool = pose_to_matrix(actions[0, -1].double().numpy()) @ PINCH_OFFSET
    for view, camera in enumerate(bundle.config.cameras[:2]):
        seen = np.linalg.inv(np.array(camera.transform)) @ np.append(tool[:3, 3], 1.0)
        pixel = np.array(camera.matrix) @ seen[:3]
        column, row = pixel[0] / pixel[2] / 8, pixel[1] / pixel[2] / 8
        spot = maps[0, 5, 0, 6 * view : 6 * view + 6]
        peak = divmod(int(spot.argmax()), 10)
        assert abs(peak[0] + 0.5 - row) <= 1
        assert abs(peak[1] + 0.5 - column) <= 1


def test_gradients_reach_every_pose_of_the_chunk_through_the_flow_map(bundle, scene):
    history, poses, actions = scene
    actions = actions.clone().requires_grad_(True)
    imagined = bundle.world_model.imagine(history, poses, actions, steps=2, generator=torch.Generator().manual_seed(0))
    relevance = bundle.semantic.relevance(imagined.latents, "carrot")
    value = bundle.value.expected(bundle.value(imagined, relevance))
    weight = 1 - bundle.uncertainty(imagined).h.mean(dim=(2, 3, 4))
    (weight * value).sum().backward()
    assert actions.grad.isfinite().all()
    assert (actions.grad.abs().amax(dim=0) > 0).all()  # each of the 5 poses, each of its 7 numbers


def test_wrong_widths_are_refused(bundle, scene):
    history, poses, actions = scene
    with pytest.raises(ShapeError, match="7 values"):
        bundle.world_model.condition(history, poses, actions[..., :6])
    with pytest.raises(ShapeError, match="imagines 5 frames"):
        bundle.world_model.imagine(history, poses, actions[:, :3])
