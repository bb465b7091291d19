from __future__ import annotations

import numpy as np
import pytest

from robot_model import gripper
from robot_model.errors import InvalidArrayError, JointLimitError, RobotModelError, UnknownRobotError
from robot_model.franka import FR3, PANDA, Franka, franka
from robot_model.kinematics import ArmKinematics


@pytest.mark.parametrize("arm", [PANDA, FR3], ids=lambda arm: arm.name)
def test_urdf_says_the_same_as_the_table(arm: Franka) -> None:
    model = ArmKinematics(arm).model
    assert tuple(model.names)[1:] == arm.joint_names
    np.testing.assert_allclose(model.lowerPositionLimit, arm.lower)
    np.testing.assert_allclose(model.upperPositionLimit, arm.upper)
    np.testing.assert_allclose(model.velocityLimit, arm.velocity)


def test_the_two_arms_differ_in_joint_six() -> None:
    assert (PANDA.lower[5], PANDA.upper[5]) == (-0.0175, 3.7525)
    assert (FR3.lower[5], FR3.upper[5]) == (0.5445, 4.5169)
    q = np.array([0, 0, 0, -2, 0, 4.0, 0])
    assert FR3.within(q)
    assert not PANDA.within(q)


def test_a_joint_out_of_range_is_named_with_its_range() -> None:
    q = np.zeros((3, 7))
    q[:, 3], q[:, 5] = -1, 1
    PANDA.check(q)
    q[1, 6] = 3.0
    with pytest.raises(JointLimitError, match="panda_joint7 = 3 rad is outside") as caught:
        PANDA.check(q)
    error = caught.value
    assert (error.joint, error.value, error.lower, error.upper) == ("panda_joint7", 3.0, -2.8973, 2.8973)
    assert isinstance(error, RobotModelError)


def test_clipping_puts_joints_inside() -> None:
    q = np.full((2, 7), 10.0)
    assert PANDA.within(PANDA.clip(q))
    np.testing.assert_allclose(PANDA.clip(q)[1], PANDA.upper)


def test_unknown_robot_lists_the_known_ones() -> None:
    assert franka("fr3") is FR3
    with pytest.raises(UnknownRobotError, match="panda, fr3"):
        franka("ur5")


def test_limits_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        PANDA.upper[0] = 99.0


@pytest.mark.parametrize("bad", [np.zeros(6), np.float64(0), np.full(7, np.nan)])
def test_bad_joint_arrays_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(InvalidArrayError):
        PANDA.clip(bad)


def test_panda_velocity_limits_do_not_depend_on_the_posture() -> None:
    lower, upper = PANDA.velocity_limits(PANDA.upper)
    np.testing.assert_allclose(upper, PANDA.velocity)
    np.testing.assert_allclose(lower, -PANDA.velocity)


def test_fr3_slows_towards_its_limits_only() -> None:
    middle = (FR3.lower + FR3.upper) / 2
    np.testing.assert_allclose(FR3.velocity_limits(middle)[1], FR3.velocity)
    lower, upper = FR3.velocity_limits(FR3.upper)
    assert (upper < 0.1 * FR3.velocity).all()
    assert (upper >= 0).all()
    np.testing.assert_allclose(lower, -FR3.velocity)
    # Joint 1 half a radian from its end, by hand from the documentation: sqrt(12 (2.7501 - 2.2501)) - 0.3.
    near = middle.copy()
    near[0] = 2.2501
    assert FR3.velocity_limits(near)[1][0] == pytest.approx(np.sqrt(6) - 0.3)
    # Joint 6 near its lower end: sqrt(11 (0.64092 - 0.54092)) - 0.35, downwards.
    near[5] = 0.64092
    assert FR3.velocity_limits(near)[0][5] == pytest.approx(0.35 - np.sqrt(1.1))


def test_gripper_polarity_and_range() -> None:
    assert gripper.to_radians(0.0) == 0.0
    assert gripper.to_radians(1.0) == gripper.CLOSED_RADIANS
    assert gripper.to_radians(1.7) == gripper.CLOSED_RADIANS
    np.testing.assert_allclose(gripper.from_radians(gripper.to_radians(np.linspace(0, 1, 5))), np.linspace(0, 1, 5))
    np.testing.assert_allclose(gripper.from_radians(np.array([-0.1, 0.9])), [0, 1])
