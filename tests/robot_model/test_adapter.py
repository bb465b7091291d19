from __future__ import annotations

import numpy as np
import pytest

from robot_model.adapter import integrate_joint_velocities
from robot_model.conventions import CONTROL_PERIOD, DROID_RESET_JOINTS
from robot_model.errors import InvalidArrayError, RobotModelError
from robot_model.franka import FR3, PANDA


def test_velocities_add_up() -> None:
    velocities = np.random.default_rng(0).uniform(-0.5, 0.5, (15, 7))
    joints = integrate_joint_velocities(DROID_RESET_JOINTS, velocities, CONTROL_PERIOD, PANDA)
    np.testing.assert_allclose(joints, DROID_RESET_JOINTS + np.cumsum(velocities, axis=0) / 15)


def test_speeds_and_positions_stay_inside_the_limits() -> None:
    velocities = np.full((200, 7), 50.0)
    joints = integrate_joint_velocities(DROID_RESET_JOINTS, velocities, 0.1, FR3)
    steps = np.diff(np.vstack([DROID_RESET_JOINTS, joints]), axis=0)
    assert (np.abs(steps) <= FR3.velocity * 0.1 + 1e-12).all()
    np.testing.assert_allclose(joints[-1], FR3.upper)


def test_a_joint_leaves_its_end_at_once_when_the_velocity_turns() -> None:
    q = PANDA.upper.copy()
    velocities = np.concatenate([np.full((10, 7), 1.0), np.full((1, 7), -1.0)])
    joints = integrate_joint_velocities(q, velocities, 0.1, PANDA)
    np.testing.assert_allclose(joints[9], PANDA.upper)
    np.testing.assert_allclose(joints[10], PANDA.upper - 0.1)


def test_arguments_are_left_alone_and_no_rows_are_fine() -> None:
    q = np.zeros(7)
    integrate_joint_velocities(q, np.ones((3, 7)), 0.1, PANDA)
    assert (q == 0).all()
    assert integrate_joint_velocities(q, np.zeros((0, 7)), 0.1, PANDA).shape == (0, 7)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(RobotModelError, match="period"):
        integrate_joint_velocities(np.zeros(7), np.zeros((1, 7)), 0.0, PANDA)
    with pytest.raises(InvalidArrayError):
        integrate_joint_velocities(np.zeros(7), np.full((1, 7), np.nan), 0.1, PANDA)
    with pytest.raises(InvalidArrayError):
        integrate_joint_velocities(np.zeros(6), np.zeros((1, 7)), 0.1, PANDA)
