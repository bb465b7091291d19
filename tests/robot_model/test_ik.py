from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_model.conventions import CONTROL_PERIOD, DROID_RESET_JOINTS, interpolate_pose, pose_distance, pose_to_matrix
from robot_model.errors import InvalidArrayError, JointLimitError, RobotModelError
from robot_model.franka import FR3, PANDA, Franka
from robot_model.ik import MAX_POSTURE_STEP, InverseKinematics
from robot_model.kinematics import ArmKinematics

ARMS = pytest.mark.parametrize("arm", [PANDA, FR3], ids=lambda arm: arm.name)
STEP = PANDA.velocity * CONTROL_PERIOD


def solver(arm: Franka = PANDA) -> InverseKinematics:
    return InverseKinematics(ArmKinematics(arm))


def follow(ik: InverseKinematics, poses: np.ndarray, start: np.ndarray, max_step: np.ndarray | None) -> np.ndarray:
    """Joints ``(N, 7)`` of a trajectory, each solve started from the previous solution."""
    joints, q = [], start
    for target in pose_to_matrix(poses):
        q = ik.solve(target, q, max_step).q
        joints.append(q)
    return np.array(joints)


@pytest.mark.parametrize("max_step", [None, STEP], ids=["free", "within the velocity limits"])
def test_every_recorded_trajectory_is_tracked(droid: Path, max_step: np.ndarray | None) -> None:
    """Better than 1 mm and 0.5 degrees, and no step faster than the arm allows that the recording does not have."""
    ik = solver()
    episodes = sorted(droid.glob("annotation/*/*.json"))
    assert len(episodes) >= 11
    for path in episodes:
        data = json.loads(path.read_text())
        recorded = np.array(data["observation.state.joint_position"])
        poses = np.array(data["observation.state.cartesian_position"])
        joints = follow(ik, poses, recorded[0], max_step)
        metres, radians = pose_distance(ik.kinematics.forward_pose(joints), poses)
        assert metres.max() < 1e-3, path
        assert np.degrees(radians.max()) < 0.5, path
        too_fast = np.abs(np.diff(joints, axis=0)) > STEP + 1e-12
        assert not (too_fast & ~(np.abs(np.diff(recorded, axis=0)) > STEP)).any(), path
        PANDA.check(joints)


def test_a_line_across_the_roll_wrap_is_tracked_smoothly() -> None:
    """The flange tips from roll +170 to -170 degrees (through 180) while it moves 20 cm."""
    ik = solver()
    start = np.array([0.45, -0.1, 0.4, np.radians(170), 0, 0])
    end = np.array([0.45, 0.1, 0.4, np.radians(-170), 0, 0])
    poses = interpolate_pose(start, end, np.linspace(0, 1, 30))
    first = ik.solve(pose_to_matrix(start), DROID_RESET_JOINTS)
    assert first.converged
    joints = follow(ik, poses, first.q, STEP)
    metres, radians = pose_distance(ik.kinematics.forward_pose(joints), poses)
    assert metres.max() < 1e-4
    assert radians.max() < 1e-3
    assert np.abs(np.diff(joints, axis=0)).max() < 0.08


@ARMS
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_reachable_targets_near_the_seed_are_reached(arm: Franka, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ik = solver(arm)
    margin = 0.15 * (arm.upper - arm.lower)
    q = rng.uniform(arm.lower + margin, arm.upper - margin)
    target = ik.kinematics.forward(q + rng.uniform(-0.1, 0.1, 7))
    result = ik.solve(target, q)
    assert arm.within(result.q)
    reached = ik.kinematics.forward(result.q)
    assert np.linalg.norm(reached[:3, 3] - target[:3, 3]) == pytest.approx(result.position_error, abs=1e-12)
    assert result.position_error < 1e-3
    assert result.rotation_error < 0.01


@ARMS
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), step=st.floats(0, 0.3))
def test_no_joint_leaves_its_box_whatever_the_target(arm: Franka, seed: int, step: float) -> None:
    rng = np.random.default_rng(seed)
    q = rng.uniform(arm.lower, arm.upper)
    target = pose_to_matrix(np.concatenate([rng.uniform(-1.5, 1.5, 3), rng.uniform(-np.pi, np.pi, 3)]))
    result = solver(arm).solve(target, q, step)
    assert arm.within(result.q)
    assert np.abs(result.q - q).max() <= step + 1e-12
    assert np.isfinite([result.position_error, result.rotation_error]).all()


def test_a_target_out_of_reach_is_reported_not_raised() -> None:
    target = pose_to_matrix(np.array([2.0, 0, 0.5, np.pi, 0, 0]))
    result = solver().solve(target, DROID_RESET_JOINTS)
    assert not result.converged
    assert result.position_error > 1.0
    assert PANDA.within(result.q)


def test_a_target_beyond_max_step_is_approached() -> None:
    ik = solver()
    target = ik.kinematics.forward(DROID_RESET_JOINTS)
    target[2, 3] -= 0.1
    result = ik.solve(target, DROID_RESET_JOINTS, 0.02)
    assert not result.converged
    assert 0.05 < result.position_error < 0.1


def test_other_joints_take_over_when_one_is_at_its_end() -> None:
    """The wrist pushes against its upper limit; the redundant arm still reaches a neighbouring pose."""
    ik = solver()
    q = DROID_RESET_JOINTS.copy()
    q[6] = PANDA.upper[6]
    target = ik.kinematics.forward(q)
    turn = pose_to_matrix(np.array([0, 0, 0, 0, 0, 0.05]))
    for candidate in (target @ turn, target @ turn.T):
        result = ik.solve(candidate, q)
        assert PANDA.within(result.q)
        assert result.converged


def test_condition_tells_a_singular_posture() -> None:
    ik = solver()
    reset = ik.solve(ik.kinematics.forward(DROID_RESET_JOINTS), DROID_RESET_JOINTS)
    assert reset.condition < 10
    stretched = np.array([0, 1.2077, 0, -0.467, 0, 2.3042, 0])  # the elbow in line: as far forward as the arm goes
    assert ik.solve(ik.kinematics.forward(stretched), stretched, 0.0).condition > 1000


def test_the_redundant_joint_drifts_slowly_to_the_middle_without_moving_the_flange() -> None:
    ik = solver()
    q = start = np.array([0.8, -0.4, -0.9, -2.3, 0.6, 2.0, 0.3])
    target = ik.kinematics.forward(start)
    for _ in range(60):
        result = ik.solve(target, q)
        assert result.converged
        # The null-space motion and the small correction of what its curvature displaced.
        assert np.abs(result.q - q).max() < 2 * MAX_POSTURE_STEP
        q = result.q
    assert np.linalg.norm(q - ik.middle) < 0.9 * np.linalg.norm(start - ik.middle)


def test_a_seed_just_outside_is_moved_inside_and_one_far_outside_is_refused() -> None:
    ik = solver()
    target = ik.kinematics.forward(DROID_RESET_JOINTS)
    q = DROID_RESET_JOINTS.copy()
    q[6] = PANDA.upper[6] + 0.005
    assert PANDA.within(ik.solve(target, q).q)
    q[5] = 4.2  # an FR3's joint 6
    with pytest.raises(JointLimitError) as caught:
        ik.solve(target, q)
    assert (caught.value.joint, caught.value.value) == ("panda_joint6", 4.2)


def test_bad_arguments_are_refused() -> None:
    ik = solver()
    target = ik.kinematics.forward(DROID_RESET_JOINTS)
    mirrored = target.copy()
    mirrored[:3, 0] *= -1
    for bad in (np.eye(3), np.full((4, 4), np.nan), mirrored, 2 * np.eye(4)):
        with pytest.raises(InvalidArrayError):
            ik.solve(bad, DROID_RESET_JOINTS)
    for seed in (np.zeros(6), np.full(7, np.nan), np.zeros((2, 7))):
        with pytest.raises(InvalidArrayError):
            ik.solve(target, seed)
    for step in (-0.1, np.nan, np.zeros(3)):
        with pytest.raises(RobotModelError, match="max_step"):
            ik.solve(target, DROID_RESET_JOINTS, step)
