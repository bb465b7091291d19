from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.conditioning import POSE_FEATURES, POSE_PARTS, PoseFeatures, rotation_matrix
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


def test_the_nineteen_numbers_of_a_pose_by_hand():
    """A hand that points down goes 10 cm along x, 20 cm up, turns a quarter about the vertical, and closes."""
    before = [0.49, 0.0, 0.30, math.pi, 0.0, 0.0, 0.0]
    after = [0.59, 0.0, 0.50, math.pi, 0.0, math.pi / 2, 1.0]
    described = PoseFeatures()(torch.tensor([[before]]), torch.tensor([[after]]))
    named = [dict(zip(POSE_PARTS, row.split(list(POSE_PARTS.values())), strict=True)) for row in described.features[0]]
    still, moved = ({name: part.tolist() for name, part in row.items()} for row in named)
    near = {"abs": 1e-5}
    assert still["way"] == pytest.approx([0, 0, 0], **near)
    assert still["turn"] == pytest.approx([0] * 6, **near)
    assert moved["way"] == pytest.approx([1, 0, 2], **near)
    # Seen from a hand that points down, a quarter to the left is one to the right: columns (0, -1, 0) and (1, 0, 0),
    # less those of the identity, doubled.
    assert moved["turn"] == pytest.approx([-2, -2, 0, 2, -2, 0], **near)
    assert (still["gripper"], moved["gripper"]) == ([-1], [1])
    # The pinch point hangs 148.8 mm below the flange; the centre is 0.15 m above the table.
    assert still["tool"] == pytest.approx([0, 0, (0.30 - 0.1488 - 0.15) * 5], **near)
    assert moved["tool"] == pytest.approx([0.5, 0, (0.50 - 0.1488 - 0.15) * 5], **near)
    assert still["rotation"] == pytest.approx([1, 0, 0, 0, -1, 0], **near)
    assert moved["rotation"] == pytest.approx([0, 1, 0, 1, 0, 0], **near)
    assert POSE_FEATURES == described.features.shape[-1] == 19


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
