"""Where what is looked for lies, and how high a hand comes to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planner_fakes import CAMERAS, SIZE, START

from planner_server.approach import OVER, beyond, metres_aside
from planner_server.centring import centres_of
from planner_server.config import PlannerConfig
from planner_server.ground import GRASP_PLANE, metres_apart, place_of
from planner_server.view_geometry import desired_centres
from robot_model.conventions import PINCH_OFFSET, matrix_to_pose, pose_to_matrix

CELLS = (24, 40)
CONFIG = PlannerConfig()


def hand(x: float, y: float, z: float) -> np.ndarray:
    """Flange pose of a hand that points down, its pinch point there."""
    pinch = np.eye(4)
    pinch[:3, :3], pinch[:3, 3] = np.diag([1.0, -1.0, -1.0]), (x, y, z)
    return np.array([*matrix_to_pose(pinch @ np.linalg.inv(PINCH_OFFSET)), 0.0])


def spot(view: int, point: tuple[float, float, float], pose: np.ndarray) -> np.ndarray:
    """Relevance ``(V, a, b)``: the cell in which one view shows a point."""
    camera = CAMERAS[view]
    mount = (np.eye(4) if camera.mount == "base" else pose_to_matrix(pose[:6])) @ np.array(camera.transform)
    image = np.array(camera.matrix) @ (np.linalg.inv(mount) @ [*point, 1.0])[:3]
    column, row = (image[:2] / image[2] / 2).astype(int)
    relevance = np.zeros((len(CAMERAS), *CELLS), np.float32)
    relevance[view, row, column] = 0.9
    return relevance


def place(relevance: np.ndarray, pose: np.ndarray) -> np.ndarray | None:
    return place_of(relevance, CAMERAS, SIZE, pose, visible=0.3, region=0.5)


def test_the_riding_camera_tells_where_a_thing_lies() -> None:
    pose = hand(0.45, 0.05, 0.2)
    found = place(spot(2, (0.44, 0.08, GRASP_PLANE), pose), pose)
    assert found == pytest.approx([0.44, 0.08], abs=0.01)


def test_fixed_cameras_count_where_the_riding_one_sees_nothing() -> None:
    low = hand(0.45, 0.05, 0.2)
    down = [[0, -1, 0, 0.4], [-1, 0, 0, 0.0], [0, 0, -1, 1.0], [0, 0, 0, 1]]
    over = type(CAMERAS[0])("over", CAMERAS[0].matrix, "base", tuple(tuple(row) for row in down))
    relevance = np.zeros((1, *CELLS), np.float32)
    relevance[0, 12, 20] = 0.9  # beside the middle of the picture: the camera looks straight down at (0.4, 0)
    found = place_of(relevance, (over,), SIZE, low, visible=0.3, region=0.5)
    assert found == pytest.approx([0.4, 0.0], abs=0.02)


def test_what_no_view_shows_lies_nowhere() -> None:
    pose = hand(0.45, 0.05, 0.2)
    assert place(0.2 * spot(2, (0.44, 0.08, GRASP_PLANE), pose), pose) is None
    assert place(np.zeros((3, *CELLS), np.float32), pose) is None


def test_things_are_as_far_apart_as_the_views_that_show_both_say() -> None:
    pose = hand(0.45, 0.05, 0.2)
    carrot, bowl = (spot(2, (0.44, y, GRASP_PLANE), pose) for y in (0.02, 0.08))
    elsewhere = np.zeros_like(bowl)
    elsewhere[0, -1, 5] = 0.9  # in a view that shows nothing else
    rest = CAMERAS, SIZE, pose, 0.3, 0.5
    assert metres_apart(carrot, bowl, *rest) == pytest.approx(0.06, abs=0.01)
    assert metres_apart(carrot, np.maximum(bowl, elsewhere), *rest) == pytest.approx(0.06, abs=0.01)
    assert metres_apart(carrot, elsewhere, *rest) == np.inf
    assert metres_apart(carrot, bowl, (), SIZE, pose, 0.3, 0.5) == np.inf


def test_beside_the_object_the_hand_aims_high_over_it_down() -> None:
    target = np.array([0.45, 0.05])
    poses = torch.from_numpy(np.stack([hand(0.45 + aside, 0.05, 0.1) for aside in (0.0, OVER, OVER + 0.04, 0.5)]))
    aside, unknown = metres_aside(poses, target), metres_aside(poses, None)
    assert beyond(aside, False, CONFIG).tolist() == pytest.approx([0.0, 0.0, 0.04, CONFIG.hover], abs=1e-6)
    assert beyond(unknown, False, CONFIG).tolist() == [0.0] * 4
    assert beyond(aside, True, CONFIG).tolist() == pytest.approx([CONFIG.carry_height] * 4)


def test_aside_is_seen_from_above() -> None:
    poses = torch.from_numpy(np.stack([hand(0.45, 0.05, 0.3), hand(0.42, 0.09, 0.02)]))
    assert metres_aside(poses, np.array([0.45, 0.05])).tolist() == pytest.approx([0.0, 0.05], abs=1e-5)
    assert metres_aside(poses, None).tolist() == [0.0, 0.0]


def test_the_desired_centre_of_each_pose_lies_as_far_past_it_as_asked() -> None:
    poses = np.stack([START, START + [0.05, 0.02, -0.1, 0, 0, 0.3, 0]])
    past = np.array([0.02, 0.09])
    together = desired_centres(CAMERAS, SIZE, poses, past)
    for row in range(2):
        assert np.allclose(together[row], desired_centres(CAMERAS, SIZE, poses[row], past[row]))
    torched = centres_of(CAMERAS, SIZE, torch.from_numpy(poses), torch.from_numpy(past))
    assert np.allclose(torched.numpy(), together, atol=1e-9)


def test_the_funnel_has_a_gradient() -> None:
    pose = torch.from_numpy(hand(0.52, 0.05, 0.1)).requires_grad_()
    aside = metres_aside(pose[None], np.array([0.45, 0.05]))
    (slope,) = torch.autograd.grad(beyond(aside, False, CONFIG).sum(), pose)
    assert float(slope[0]) == pytest.approx(1.0, abs=1e-3)
