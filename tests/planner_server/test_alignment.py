"""The hand across what is looked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planner_fakes import CAMERAS, KINEMATICS, SIZE, START, ToyBundle, ToyContext, request, toy_planner

from planner_server.alignment import REACH, ROOM, LongAxis, long_axis, riding, turn_across, yaw_of, yaw_reach
from planner_server.config import PlannerConfig
from planner_server.ground import GRASP_PLANE
from planner_server.local_planners.interfaces import displace
from planner_server.objective import LocalObjective
from robot_model.conventions import DROID_RESET_JOINTS, PINCH_OFFSET, matrix_to_pose, pose_to_matrix
from robot_model.franka import PANDA

CELLS = (24, 40)
WRIST = CAMERAS[2]
OVER = np.array([0.45, 0.05, 0.20])
"""Where the pinch point is, metres."""


def hand(yaw: float) -> np.ndarray:
    """Flange pose ``(7,)`` of a hand that points down at `OVER`, its x axis at ``yaw``."""
    c, s = np.cos(yaw), np.sin(yaw)
    pinch = np.eye(4)
    pinch[:3, :3], pinch[:3, 3] = [[c, s, 0], [s, -c, 0], [0, 0, -1]], OVER
    return np.array([*matrix_to_pose(pinch @ np.linalg.inv(PINCH_OFFSET)), 0.0])


def seen(pose: np.ndarray, angle: float, long: float, short: float) -> np.ndarray:
    """Relevance of a rectangle of half sizes ``long``, ``short`` below the camera, its long side at ``angle``."""
    mount = pose_to_matrix(pose[:6]) @ np.array(WRIST.transform)
    x, y = np.meshgrid((np.arange(CELLS[1]) + 0.5) * 2, (np.arange(CELLS[0]) + 0.5) * 2)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ (mount[:3, :3] @ np.linalg.inv(np.array(WRIST.matrix))).T
    places = mount[:2, 3] + (GRASP_PLANE - mount[2, 3]) / rays[..., 2:] * rays[..., :2]
    offsets = (places - mount[:2, 3]) @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((np.abs(offsets) <= [long, short]).all(-1) * 0.9).astype(np.float32)


@pytest.mark.parametrize("angle", [-1.2, -0.4, 0.0, 0.7, 1.5])
@pytest.mark.parametrize("yaw", [-0.6, 0.0, 0.9])
def test_the_axis_lies_in_the_base_frame_however_the_hand_is_turned(angle: float, yaw: float) -> None:
    axis = long_axis(seen(hand(yaw), angle, 0.06, 0.02), WRIST, SIZE, hand(yaw), 0.5)
    assert axis is not None
    assert axis.ratio == pytest.approx(3.0, rel=0.15)
    assert np.sin(axis.angle - angle) == pytest.approx(0.0, abs=0.06)


def test_what_is_round_or_not_there_has_no_long_axis() -> None:
    assert long_axis(seen(hand(0.0), 0.3, 0.03, 0.03), WRIST, SIZE, hand(0.0), 0.5) is None
    assert long_axis(np.zeros(CELLS, np.float32), WRIST, SIZE, hand(0.0), 0.5) is None


def test_a_camera_that_looks_away_from_the_table_sees_no_axis() -> None:
    up = hand(0.0)
    up[3:6] = matrix_to_pose(pose_to_matrix(up[:6]) @ np.diag([1.0, -1.0, -1.0, 1.0]))[3:6]
    assert long_axis(np.ones(CELLS, np.float32), WRIST, SIZE, up, 0.5) is None


@pytest.mark.parametrize("first", [-0.6, 0.0, 0.6])
@pytest.mark.parametrize("angle", np.linspace(-1.5, 1.5, 7))
def test_no_turn_leads_the_last_joint_to_its_end_stop(first: float, angle: float) -> None:
    for last in np.linspace(PANDA.lower[6] + ROOM, PANDA.upper[6] - ROOM, 6):
        joints = np.array([first, *DROID_RESET_JOINTS[1:6], last])
        pose = np.append(KINEMATICS.forward_pose(joints), 0.0)
        axis = LongAxis(angle, 3.0, yaw_reach(pose, joints, PANDA))
        turned = last - float(turn_across(torch.from_numpy(pose), axis))
        assert PANDA.lower[6] + ROOM - 1e-6 <= turned <= PANDA.upper[6] - ROOM + 1e-6
        assert np.ptp(axis.reach) >= np.pi - 1e-9


@pytest.mark.parametrize("angle", [-3.0, -1.4, -0.2, 0.0, 0.9, 1.5, 2.8])
@pytest.mark.parametrize("yaw", [-1.5, -0.5, 0.0, 1.5])
def test_after_the_turn_the_hand_lies_across_and_within_reach(angle: float, yaw: float) -> None:
    pose = torch.from_numpy(hand(yaw))[None]
    assert float(yaw_of(pose)) == pytest.approx(yaw)
    offset = torch.zeros_like(pose)
    offset[:, 5] = turn_across(pose, LongAxis(angle, 3.0))
    turned = float(yaw_of(displace(pose, offset)))
    assert np.sin(turned - angle) == pytest.approx(0.0, abs=1e-6)
    assert abs(yaw + float(offset[0, 5])) <= REACH + 1e-6


def test_j_is_highest_across_and_says_how_far_to_turn() -> None:
    bundle, config = ToyBundle(), PlannerConfig(approach=0.0)
    judged = toy_planner(config, bundle).judge(request(), ToyContext())
    assert judged.long_axis is None, "the toy pictures show nothing long"
    yaw = float(yaw_of(torch.from_numpy(START)))
    J = LocalObjective(bundle, replace(judged, long_axis=LongAxis(yaw + 0.3, 3.0)), config, seed=3)  # type: ignore[arg-type]
    still = torch.from_numpy(np.tile(START, (5, 1))).float()
    assert J.turn(still) is not None
    assert J.turn(still).numpy() == pytest.approx(np.full(5, 0.3), abs=1e-5)  # type: ignore[union-attr]
    turned = torch.zeros(3, 5, 7)
    turned[:, :, 5] = torch.tensor([0.0, 0.3, 0.6])[:, None]
    along, across, beyond = J(displace(still.expand(3, -1, -1), turned)).tolist()
    assert across > along + 5 * 0.08
    assert across > beyond
    plain = LocalObjective(bundle, judged, config, seed=3)  # type: ignore[arg-type]
    assert plain.turn(still) is None


def test_the_riding_camera_is_found() -> None:
    assert riding(CAMERAS) == 2
    assert riding(CAMERAS[:2]) is None
