from __future__ import annotations

import numpy as np
import pytest
import torch
from planner_fakes import CAMERAS, SIZE, START

from planner_server.centring import centres_of
from planner_server.view_geometry import desired_centres
from robot_model.conventions import PINCH_OFFSET, pose_to_matrix

WIDTH = SIZE[1]


def test_scene_views_see_the_pinch_point_of_the_commanded_pose() -> None:
    x, y, z = (pose_to_matrix(START) @ PINCH_OFFSET)[:3, 3]
    left, right, _ = desired_centres(CAMERAS, SIZE, START)
    assert left * WIDTH == pytest.approx([40 + 60 * y / (1.3 - x), 24 - 60 * (z - 0.35) / (1.3 - x)])
    assert right * WIDTH == pytest.approx([40 + 60 * (x - 0.4) / (y + 0.9), 24 - 60 * (z - 0.35) / (y + 0.9)])


def test_the_wrist_view_has_one_point_whatever_the_pose() -> None:
    poses = np.stack([START, START + [0.1, -0.2, 0.05, 0.0, 0.2, 0.5, 1.0]])
    wrist = desired_centres(CAMERAS, SIZE, poses)[:, 2]
    assert np.allclose(wrist[0], wrist[1])
    assert wrist[0] * WIDTH == pytest.approx([40 - 60 * 0.05 / 0.1488, 24])


def test_points_outside_the_picture_stay_at_its_border() -> None:
    far = np.tile(START, (2, 3, 1))
    far[..., :3] = (2.0, 3.0, -1.0)  # behind the left camera, outside the right one
    centres = desired_centres(CAMERAS, SIZE, far)
    assert centres.shape == (2, 3, 3, 2)
    assert (centres >= 0).all()
    assert (centres <= [1, SIZE[0] / WIDTH]).all()


def test_without_calibrated_cameras_the_tool_belongs_into_the_middle_of_every_view() -> None:
    chunk = np.tile(START, (4, 5, 1))
    centres = desired_centres((), SIZE, chunk)
    assert centres.shape == (4, 5, 1, 2)
    assert (centres == [0.5, 0.5 * SIZE[0] / WIDTH]).all()
    assert np.allclose(centres_of((), SIZE, torch.from_numpy(chunk)), centres)
