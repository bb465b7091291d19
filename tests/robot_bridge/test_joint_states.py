"""Joint states: any order of names, the gripper in the same or in its own message, other arms noticed."""

from __future__ import annotations

import numpy as np
import pytest

from robot_bridge.sensing.joint_states import JointReader
from robot_model.franka import FR3, PANDA
from robot_model.gripper import CLOSED_RADIANS, KNUCKLE_JOINT

ANGLES = [0.1, -0.2, 0.3, -1.4, 0.5, 1.6, 0.7]


@pytest.mark.parametrize("arm", [PANDA, FR3], ids=lambda arm: arm.name)
def test_any_order_and_extra_joints(arm):
    names = ["head", *reversed(arm.joint_names), KNUCKLE_JOINT]
    sample = JointReader(arm.name).read(1.0, names, [9.0, *reversed(ANGLES), CLOSED_RADIANS / 2], [])
    assert sample is not None
    assert sample.joints.tolist() == ANGLES
    assert sample.gripper == pytest.approx(0.5)
    assert (sample.velocities == 0).all()


def test_the_gripper_may_have_messages_of_its_own():
    reader = JointReader("panda")
    assert reader.read(1.0, [KNUCKLE_JOINT], [CLOSED_RADIANS], []) is None
    assert reader.unknown == ()
    sample = reader.read(1.1, PANDA.joint_names, ANGLES, [0.5] * 7)
    assert sample is not None
    assert sample.gripper == 1.0
    assert (sample.velocities == 0.5).all()


@pytest.mark.parametrize(("finger", "gripper"), [(0.04, 0.0), (0.01, 0.75), (-0.001, 1.0)])
def test_the_franka_hand_is_read_by_its_finger(finger, gripper):
    reader = JointReader("fr3")
    assert reader.read(1.0, ["fr3_finger_joint1", "fr3_finger_joint2"], [finger, finger], []) is None
    assert reader.unknown == ()
    sample = reader.read(1.1, FR3.joint_names, ANGLES, [])
    assert sample is not None
    assert sample.gripper == pytest.approx(gripper)


def test_another_arm_is_noticed():
    reader = JointReader("panda")
    assert reader.read(1.0, FR3.joint_names, ANGLES, []) is None
    assert reader.unknown[0] == "fr3_joint1"


def test_another_arm_is_noticed_beside_the_gripper_that_is_ours():
    reader = JointReader("panda")
    assert reader.read(1.0, [KNUCKLE_JOINT, *FR3.joint_names], [0.0, *ANGLES], []) is None
    assert reader.unknown == FR3.joint_names


@pytest.mark.parametrize("positions", [ANGLES[:5], [], [np.nan] * 7])
def test_incomplete_or_broken_states_are_not_taken(positions):
    assert JointReader("panda").read(1.0, PANDA.joint_names, positions, []) is None
