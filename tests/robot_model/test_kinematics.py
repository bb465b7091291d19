from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robot_model.conventions import DROID_RESET_JOINTS, pose_distance, pose_to_matrix
from robot_model.errors import InvalidArrayError
from robot_model.franka import FR3, PANDA, Franka
from robot_model.kinematics import ArmKinematics

# Craig's Denavit-Hartenberg parameters of the arm from Franka's documentation: a [m], d [m], alpha [rad].
DENAVIT_HARTENBERG = [
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -np.pi / 2),
    (0.0, 0.316, np.pi / 2),
    (0.0825, 0.0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0.0, 0.0, np.pi / 2),
    (0.088, 0.0, np.pi / 2),
    (0.0, 0.107, 0.0),
]


def flange_by_hand(q: np.ndarray) -> np.ndarray:
    transform = np.eye(4)
    for (a, d, alpha), theta in zip(DENAVIT_HARTENBERG, [*q, 0.0], strict=True):
        ca, sa, ct, st = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
        transform = transform @ [
            [ct, -st, 0, a],
            [st * ca, ct * ca, -sa, -d * sa],
            [st * sa, ct * sa, ca, d * ca],
            [0, 0, 0, 1],
        ]
    return transform


def postures(arm: Franka, count: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(arm.lower, arm.upper, (count, 7))


@pytest.mark.parametrize("arm", [PANDA, FR3], ids=lambda arm: arm.name)
def test_forward_agrees_with_the_documented_chain(arm: Franka) -> None:
    kinematics = ArmKinematics(arm)
    q = postures(arm, 50)
    np.testing.assert_allclose(kinematics.forward(q), [flange_by_hand(row) for row in q], atol=1e-12)


def test_reset_posture_of_droid() -> None:
    pose = ArmKinematics(PANDA).forward_pose(DROID_RESET_JOINTS)
    metres, radians = pose_distance(pose, np.array([0.359703, 0, 0.489941, np.pi, 0, 0]))
    assert metres < 1e-6
    assert radians < 1e-6


def test_forward_equals_every_recorded_pose(droid: Path) -> None:
    kinematics = ArmKinematics(PANDA)
    episodes = sorted(droid.glob("annotation/*/*.json"))
    assert episodes
    for path in episodes:
        data = json.loads(path.read_text())
        recorded = []
        if "observation.state.joint_position" in data:
            recorded.append((data["observation.state.joint_position"], data["observation.state.cartesian_position"]))
        if "joints" in data:
            recorded.append((np.array(data["joints"])[:, :7], np.array(data["states"])[:, :6]))
        assert recorded, path
        for joints, poses in recorded:
            metres, radians = pose_distance(kinematics.forward_pose(np.array(joints)), np.array(poses))
            assert metres.max() < 1e-6, path
            assert radians.max() < 1e-6, path


@pytest.mark.parametrize("arm", [PANDA, FR3], ids=lambda arm: arm.name)
def test_jacobian_is_the_derivative_of_the_flange(arm: Franka) -> None:
    kinematics, step = ArmKinematics(arm), 1e-6
    for q in postures(arm, 5):
        jacobian = kinematics.jacobian(q)
        assert jacobian.shape == (6, 7)
        for joint in range(7):
            shift = step * np.eye(7)[joint]
            after, before = kinematics.forward(q + shift), kinematics.forward(q - shift)
            linear = (after[:3, 3] - before[:3, 3]) / (2 * step)
            angular = Rotation.from_matrix(after[:3, :3] @ before[:3, :3].T).as_rotvec() / (2 * step)
            np.testing.assert_allclose(jacobian[:, joint], [*linear, *angular], atol=1e-6)


def test_a_jacobian_stays_what_it_was_when_another_is_computed() -> None:
    kinematics = ArmKinematics(PANDA)
    first = kinematics.jacobian(DROID_RESET_JOINTS)
    kept = first.copy()
    kinematics.jacobian(DROID_RESET_JOINTS + 0.3)
    np.testing.assert_array_equal(first, kept)


def test_shapes() -> None:
    kinematics = ArmKinematics(PANDA)
    q = postures(PANDA, 6).reshape(2, 3, 7)
    assert kinematics.forward(q).shape == (2, 3, 4, 4)
    assert kinematics.forward_pose(q).shape == (2, 3, 6)
    np.testing.assert_allclose(pose_to_matrix(kinematics.forward_pose(q)), kinematics.forward(q), atol=1e-9)


@pytest.mark.parametrize("bad", [np.zeros(6), np.full(7, np.inf)])
def test_bad_joints_are_refused(bad: np.ndarray) -> None:
    kinematics = ArmKinematics(PANDA)
    for call in (kinematics.forward, kinematics.forward_pose, kinematics.jacobian):
        with pytest.raises(InvalidArrayError):
            call(bad)
