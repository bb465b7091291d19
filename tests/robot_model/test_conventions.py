from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from robot_model.conventions import (
    PINCH_OFFSET,
    interpolate_pose,
    matrix_to_pose,
    pose_distance,
    pose_to_matrix,
)
from robot_model.errors import InvalidArrayError, RobotModelError

positions = arrays(float, 3, elements=st.floats(-1, 1, allow_subnormal=False))
angles = arrays(float, 3, elements=st.floats(-2 * np.pi, 2 * np.pi, allow_subnormal=False))
grippers = arrays(float, 1, elements=st.floats(0, 1, allow_subnormal=False))
poses = st.tuples(positions, angles, grippers).map(np.concatenate)
fractions = st.floats(0, 1, allow_subnormal=False)


def test_euler_angles_are_extrinsic_xyz() -> None:
    """R = Rz(yaw) Ry(pitch) Rx(roll), written out by hand."""
    roll, pitch, yaw = 0.3, -0.7, 1.1
    rx = [[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]]
    ry = [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
    rz = [[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]
    matrix = pose_to_matrix(np.array([1.0, 2.0, 3.0, roll, pitch, yaw, 0.5]))
    np.testing.assert_allclose(matrix[:3, :3], np.array(rz) @ ry @ rx, atol=1e-12)
    np.testing.assert_allclose(matrix[:, 3], [1, 2, 3, 1])
    np.testing.assert_allclose(matrix[3], [0, 0, 0, 1])


@given(poses)
def test_matrix_and_pose_round_trip(pose: np.ndarray) -> None:
    metres, radians = pose_distance(matrix_to_pose(pose_to_matrix(pose)), pose)
    assert metres < 1e-12
    assert radians < 1e-6


def test_leading_shapes_are_kept() -> None:
    stack = np.zeros((2, 3, 7))
    assert pose_to_matrix(stack).shape == (2, 3, 4, 4)
    assert matrix_to_pose(pose_to_matrix(stack)).shape == (2, 3, 6)
    assert pose_to_matrix(np.zeros((0, 6))).shape == (0, 4, 4)
    assert interpolate_pose(np.zeros(7), stack[0], np.zeros((2, 1))).shape == (2, 3, 7)
    metres, radians = pose_distance(np.zeros(6), stack)
    assert metres.shape == radians.shape == (2, 3)


@given(poses, poses)
def test_interpolation_ends_at_both_poses(start: np.ndarray, end: np.ndarray) -> None:
    first, last = interpolate_pose(start, end, np.array([0.0, 1.0]))
    assert max(pose_distance(first, start)) < 1e-6
    assert max(pose_distance(last, end)) < 1e-6
    np.testing.assert_allclose([first[6], last[6]], [start[6], end[6]], atol=1e-12)


@given(poses, poses, fractions)
def test_interpolation_covers_the_given_share_of_the_way(start: np.ndarray, end: np.ndarray, fraction: float) -> None:
    whole_metres, whole_radians = pose_distance(start, end)
    middle = interpolate_pose(start, end, fraction)
    before, after = pose_distance(start, middle), pose_distance(middle, end)
    np.testing.assert_allclose(before[0], fraction * whole_metres, atol=1e-9)
    np.testing.assert_allclose(before[1], fraction * whole_radians, atol=1e-6)
    np.testing.assert_allclose(after[1], (1 - fraction) * whole_radians, atol=1e-6)
    assert start[6] + fraction * (end[6] - start[6]) == pytest.approx(middle[6])


@given(st.floats(1e-3, 0.5), st.floats(-1.2, 1.2), st.floats(-np.pi, np.pi), fractions)
def test_interpolation_across_the_roll_wrap_takes_the_short_way(
    gap: float, pitch: float, yaw: float, fraction: float
) -> None:
    """Roll from just below +pi to just above -pi, as at DROID's reset posture: never through zero."""
    start = np.array([0.4, 0, 0.5, np.pi - gap / 2, pitch, yaw])
    end = np.array([0.4, 0, 0.5, -np.pi + gap / 2, pitch, yaw])
    assert pose_distance(start, end)[1] == pytest.approx(gap, abs=1e-6)
    middle = interpolate_pose(start, end, fraction)
    assert pose_distance(start, middle)[1] == pytest.approx(fraction * gap, abs=1e-6)
    assert abs(middle[3]) >= np.pi - gap / 2 - 1e-6


@given(poses, poses)
def test_distance_is_symmetric_and_ignores_full_turns(first: np.ndarray, second: np.ndarray) -> None:
    np.testing.assert_allclose(pose_distance(first, second), pose_distance(second, first), atol=1e-9)
    turned = second.copy()
    turned[3:6] += 2 * np.pi
    np.testing.assert_allclose(pose_distance(first, turned), pose_distance(first, second), atol=1e-6)


@pytest.mark.parametrize("bad", [np.zeros(5), np.float64(1.0), np.full(6, np.nan), [0, 0, 0, np.inf, 0, 0]])
def test_bad_poses_are_refused(bad: np.ndarray) -> None:
    for call in (pose_to_matrix, lambda pose: pose_distance(pose, np.zeros(6))):
        with pytest.raises(InvalidArrayError):
            call(bad)


def test_bad_interpolations_and_matrices_are_refused() -> None:
    with pytest.raises(RobotModelError, match="6 and 7"):
        interpolate_pose(np.zeros(6), np.zeros(7), 0.5)
    with pytest.raises(RobotModelError, match="fraction"):
        interpolate_pose(np.zeros(6), np.zeros(6), np.nan)
    with pytest.raises(RobotModelError, match="shape"):
        matrix_to_pose(np.eye(3))
    with pytest.raises(RobotModelError, match="rotation"):
        matrix_to_pose(np.zeros((4, 4)))


def test_pinch_offset_is_what_the_simulated_gripper_has() -> None:
    """Flange link8 (link7 + 0.107 m along z) -> site ``pinch`` of the compiled MuJoCo model."""
    mujoco = pytest.importorskip("mujoco")
    spec = importlib.util.find_spec("gym_hil")
    if spec is None or spec.origin is None:
        pytest.skip("gym_hil's assets are not installed (see the Makefile)")
    model = mujoco.MjModel.from_xml_path(str(Path(spec.origin).parent / "assets" / "panda.xml"))
    data = mujoco.MjData(model)
    data.qpos[:7] = [0.1, -0.5, 0.2, -2.0, 0.3, 1.9, 0.4]
    mujoco.mj_kinematics(model, data)
    link7, pinch = data.body("link7"), data.site("pinch")
    flange = np.eye(4)
    flange[:3, :3] = link7.xmat.reshape(3, 3)
    flange[:3, 3] = link7.xpos + flange[:3, :3] @ [0, 0, 0.107]
    expected = np.eye(4)
    expected[:3, :3] = pinch.xmat.reshape(3, 3)
    expected[:3, 3] = pinch.xpos
    np.testing.assert_allclose(flange @ PINCH_OFFSET, expected, atol=1e-6)


def test_pinch_offset_is_a_rigid_transform() -> None:
    assert Rotation.from_matrix(PINCH_OFFSET[:3, :3]).magnitude() == pytest.approx(np.pi / 4)
    np.testing.assert_allclose(PINCH_OFFSET[:3, 3], [0, 0, 0.1488])
