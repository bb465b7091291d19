"""The projection: whatever comes in, what comes out is feasible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from planner_fakes import LIMITS, PERIOD, START, H

from planner_server.limits import project
from robot_model.conventions import pose_distance, pose_to_matrix

POSES = arrays(float, (H, 7), elements=st.floats(-7, 7, width=32))
STARTS = st.tuples(
    st.floats(0.2, 0.75), st.floats(-0.45, 0.45), st.floats(0.05, 0.6), *[st.floats(-4, 4)] * 3, st.floats(0, 1)
).map(np.array)


@settings(max_examples=60, deadline=None)
@given(POSES, STARTS)
def test_every_projected_chunk_is_feasible(chunk: np.ndarray, start: np.ndarray) -> None:
    result = project(chunk, start, LIMITS)
    assert result.shape == chunk.shape
    assert np.isfinite(result).all()
    assert (result[:, :3] >= np.array(LIMITS.workspace_lower) - 1e-9).all()
    assert (result[:, :3] <= np.array(LIMITS.workspace_upper) + 1e-9).all()
    metres, radians = pose_distance(np.vstack([start, result[:-1]]), result)
    assert metres.max() <= LIMITS.max_linear_speed * PERIOD + 1e-9
    assert radians.max() <= LIMITS.max_angular_speed * PERIOD + 1e-6
    gripper = np.concatenate([[start[6]], result[:, 6]])
    assert (result[:, 6] >= 0).all()
    assert (result[:, 6] <= 1).all()
    assert np.abs(np.diff(gripper)).max() <= LIMITS.max_gripper_speed * PERIOD + 1e-9


@settings(max_examples=40, deadline=None)
@given(POSES, STARTS)
def test_projecting_twice_changes_nothing(chunk: np.ndarray, start: np.ndarray) -> None:
    once = project(chunk, start, LIMITS)
    twice = project(once, start, LIMITS)
    metres, radians = pose_distance(once, twice)
    assert metres.max() < 1e-9
    assert radians.max() < 1e-6
    assert np.allclose(once[:, 6], twice[:, 6], atol=1e-12)


def test_a_feasible_chunk_comes_back_as_it_was() -> None:
    chunk = np.tile(START, (H, 1))
    chunk[:, 0] += 0.02 * np.arange(1, H + 1)
    chunk[:, 6] = 0.3
    assert np.allclose(project(chunk, START, LIMITS), chunk, atol=1e-12)


@pytest.mark.parametrize("side", [1, -1])
def test_rolling_over_pi_is_a_small_turn(side: int) -> None:
    start = START.copy()
    start[3:6] = (side * (np.pi - 0.05), 0.0, 0.0)
    chunk = np.tile(start, (H, 1))
    chunk[:, 3] = -side * (np.pi - 0.05)  # 0.1 rad further, on the other side of the wrap
    result = project(chunk, start, LIMITS)
    _, radians = pose_distance(result, chunk)
    assert radians.max() < 1e-9


def test_a_start_outside_the_box_comes_back_at_full_speed() -> None:
    start = START.copy()
    start[2] = -0.1
    chunk = np.tile(start, (H, 1))
    result = project(chunk, start, LIMITS)
    heights = np.concatenate([[start[2]], result[:, 2]])
    assert np.allclose(np.diff(heights)[:3], LIMITS.max_linear_speed * PERIOD)
    assert np.allclose(heights[4:], LIMITS.workspace_lower[2])


def test_from_below_the_box_the_hand_comes_straight_up() -> None:
    start = START.copy()
    start[2] = LIMITS.workspace_lower[2] - 0.01
    chunk = np.tile(START + [0.1, 0.05, 0, 0, 0, 0, 0], (H, 1))
    chunk[:, 2] = LIMITS.workspace_lower[2]
    result = project(chunk, start, LIMITS)
    assert np.allclose(result[0, :3], [*start[:2], LIMITS.workspace_lower[2]])
    assert result[1, 0] > START[0] + 0.01
    almost = np.array([*start[:2], LIMITS.workspace_lower[2] - 1e-4, *start[3:]])
    assert project(chunk, almost, LIMITS)[0, 0] > START[0] + 0.01


def test_torch_and_numpy_agree_and_gradients_pass() -> None:
    rng = np.random.default_rng(0)
    chunk = np.tile(START, (H, 1)) + 0.03 * rng.normal(size=(H, 7))
    given_chunk = torch.tensor(chunk, dtype=torch.float32, requires_grad=True)
    result = LIMITS.project(given_chunk, torch.tensor(START, dtype=torch.float32))
    metres, radians = pose_distance(result.detach().numpy(), project(chunk, START, LIMITS))
    assert metres.max() < 1e-5
    assert radians.max() < 1e-3
    result.sum().backward()
    assert given_chunk.grad is not None
    assert torch.isfinite(given_chunk.grad).all()
    assert given_chunk.grad[:, :3].abs().sum() > 0


def test_batches_are_projected_row_by_row() -> None:
    rng = np.random.default_rng(1)
    chunks = np.tile(START, (4, H, 1)) + 0.2 * rng.normal(size=(4, H, 7))
    together = project(chunks, START, LIMITS)
    assert np.allclose(together, np.stack([project(chunk, START, LIMITS) for chunk in chunks]))


def test_what_is_held_may_only_be_kept_higher() -> None:
    floor = LIMITS.workspace_lower[2]
    assert LIMITS.above(floor + 0.1).workspace_lower == (*LIMITS.workspace_lower[:2], floor + 0.1)
    assert LIMITS.above(floor - 0.1) == LIMITS


def tilt(poses: np.ndarray) -> np.ndarray:
    """How far hands lean from straight down, rad."""
    return np.arccos(np.clip(-pose_to_matrix(poses[..., :6])[..., 2, 2], -1, 1))


@settings(max_examples=40, deadline=None)
@given(POSES)
def test_a_hand_that_points_down_leans_no_further_than_it_may(chunk: np.ndarray) -> None:
    level = replace(LIMITS, max_tilt=0.05)
    down = np.array([0.45, 0.0, 0.4, np.pi, 0.0, 0.3, 0.0])
    result = project(chunk, down, level)
    assert tilt(result).max() <= 0.06, "a slowed turn is an arc between two upright poses, and bulges a little"
    upright = project(chunk, down, LIMITS)
    assert np.allclose(result[:, :3], upright[:, :3], atol=1e-12)


def test_a_leaning_hand_comes_back_as_fast_as_it_may_turn_and_keeps_its_yaw() -> None:
    level = replace(LIMITS, max_tilt=0.05)
    leaning = np.array([0.45, 0.0, 0.4, np.pi - 0.5, 0.0, 0.3, 0.0])
    result = project(np.tile(leaning, (H, 1)), leaning, level)
    assert tilt(result) == pytest.approx([0.3, 0.1, 0.05, 0.05, 0.05], abs=1e-6)
    assert result[:, 5] == pytest.approx(np.full(H, 0.3), abs=0.01)


def test_what_leans_little_enough_is_not_touched() -> None:
    chunk = np.tile([0.45, 0.0, 0.4, np.pi - 0.03, 0.02, 0.3, 0.0], (H, 1))
    assert np.array_equal(project(chunk, chunk[0], replace(LIMITS, max_tilt=0.05)), chunk)
