"""Layers on the path in joint space: reach, singularities, end stops."""

from __future__ import annotations

import numpy as np
import pytest

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.chunk import PoseCurve
from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.steps import at_once
from robot_bridge.execution.trajectory import brake, follow
from robot_bridge.guard.collision import OVERSHOOT
from robot_bridge.guard.path import SLOWEST, Conditioning, JointMargin, PathGuard
from robot_bridge.guard.reasons import Reason
from robot_bridge.guard.workspace import FlangeBox
from robot_model.conventions import DROID_RESET_JOINTS, pose_distance
from robot_model.franka import PANDA
from robot_model.ik import IkResult, InverseKinematics
from robot_model.kinematics import ArmKinematics

KINEMATICS = ArmKinematics(PANDA)


def guard(**settings) -> PathGuard:
    config = BridgeConfig.from_mapping(settings)
    return PathGuard(config, InverseKinematics(KINEMATICS), JointLimits.of(PANDA, config))


def line(q: np.ndarray, step: np.ndarray, count: int = 5) -> PoseCurve:
    start = np.append(KINEMATICS.forward_pose(q), 0.0)
    return PoseCurve(10.0 + 0.2 * np.arange(count + 1), start + np.arange(count + 1)[:, None] * step)


def sample(q=DROID_RESET_JOINTS, condition=6.0) -> IkResult:
    return IkResult(np.array(q), 0.0, 0.0, True, condition)


def test_an_easy_path_is_followed_exactly():
    curve = line(DROID_RESET_JOINTS, np.array([0.03, 0.02, -0.03, 0.02, 0, 0.05, 0]))
    path = at_once(guard().walk(curve, 10.0, DROID_RESET_JOINTS))
    assert path.as_planned
    assert len(path.targets) == 15
    reached = KINEMATICS.forward_pose(path.targets)
    metres, radians = pose_distance(reached, curve.sample(10.0 + np.arange(1, 16) / 15))
    assert metres.max() < 1e-4
    assert radians.max() < 1e-3


def test_out_of_reach_the_path_is_cut():
    curve = line(DROID_RESET_JOINTS, np.array([0.12, 0, 0.05, 0, 0, 0, 0]))
    path = at_once(guard(condition_stop=2000.0, condition_slow=1000.0).walk(curve, 10.0, DROID_RESET_JOINTS))
    assert path.cut is not None
    assert path.cut.reason is Reason.IK_RESIDUAL
    assert 0 < len(path.targets) < 15


def test_towards_a_singularity_the_arm_slows_down_and_stops():
    curve = line(DROID_RESET_JOINTS, np.array([0.04, 0, 0.02, 0, 0, 0, 0]), count=9)  # to the arm's full stretch
    path = at_once(guard(condition_slow=8.0, condition_stop=11.0).walk(curve, 10.0, DROID_RESET_JOINTS))
    assert path.slowed is not None
    assert path.slowed.reason is Reason.CONDITIONING_SLOW
    assert path.cut is None or path.cut.reason is Reason.CONDITIONING_STOP
    conditions = [path_condition(q) for q in path.targets]
    assert 8 < max(conditions) < 11
    steps = np.linalg.norm(np.diff(KINEMATICS.forward(path.targets)[:, :3, 3], axis=0), axis=1)
    assert steps[-1] < 0.5 * steps.max()


def path_condition(q: np.ndarray) -> float:
    return InverseKinematics(KINEMATICS).solve(KINEMATICS.forward(q), q).condition


def test_pace():
    layer = Conditioning(BridgeConfig())
    assert layer.pace(6.0) == 1.0
    assert layer.pace(17.0) == 1.0
    assert layer.pace(23.5) == pytest.approx((1 + SLOWEST) / 2)
    assert layer.pace(1e9) == pytest.approx(SLOWEST)


def test_the_way_out_of_a_singularity_stays_open():
    layer = Conditioning(BridgeConfig())
    finding = layer.check(sample(condition=40.0), sample(condition=35.0))
    assert finding is not None
    assert finding.reason is Reason.CONDITIONING_STOP
    assert layer.check(sample(condition=40.0), sample(condition=45.0)) is None


def test_end_stops_are_kept_at_a_distance_and_left_freely():
    layer = JointMargin(BridgeConfig(joint_margin=0.1), PANDA)
    near, nearer = np.array(DROID_RESET_JOINTS), np.array(DROID_RESET_JOINTS)
    near[5], nearer[5] = 3.68, 3.70  # the upper stop is 3.7525
    finding = layer.check(sample(nearer), sample(near))
    assert finding is not None
    assert finding.reason is Reason.JOINT_MARGIN
    assert "panda_joint6" in finding.detail
    assert layer.check(sample(near), sample(nearer)) is None
    assert layer.check(sample(), sample()) is None


def test_a_path_into_an_end_stop_is_cut_before_it():
    q = np.array(DROID_RESET_JOINTS)
    q[6] = 2.6  # turning the flange further about its own axis moves joint 7 to its stop at 2.8973
    path = at_once(guard().walk(line(q, np.array([0, 0, 0, 0, 0, -0.15, 0])), 10.0, q))
    other = at_once(guard().walk(line(q, np.array([0, 0, 0, 0, 0, 0.15, 0])), 10.0, q))
    cuts = {found.cut.reason if found.cut else None for found in (path, other)}
    assert Reason.JOINT_MARGIN in cuts
    for found in (path, other):
        assert (np.abs(found.targets[:, 6]) <= 2.8973 - 0.1 + 1e-9).all()


def test_the_flange_stays_in_its_box_and_may_come_back():
    box = FlangeBox(BridgeConfig(), KINEMATICS)
    inside, outside = np.array(DROID_RESET_JOINTS), np.array(DROID_RESET_JOINTS)
    outside[0], further = 1.9, np.array(DROID_RESET_JOINTS)
    further[0] = 2.1  # turned away behind the box's front
    assert box.objection(inside, inside) is None
    finding = box.objection(outside, inside)
    assert finding is not None
    assert finding.reason is Reason.WORKSPACE
    assert box.objection(outside, further) is None
    assert box.objection(further, outside) is not None


def test_a_motion_is_refused_from_the_node_whose_braking_would_end_outside():
    asked = guard(table_height=0.25)
    targets = DROID_RESET_JOINTS + np.outer(np.arange(1, 31), [0, 0.02, 0, 0, 0, 0, 0])
    motion = follow(10.0, DROID_RESET_JOINTS, np.zeros(7), targets, asked.limits)
    node, finding = at_once(asked.first_objection(motion))
    assert finding.reason is Reason.SCENE_COLLISION
    assert asked.collision.objection(motion.positions[node - 1], DROID_RESET_JOINTS) is None
    before = brake(0.0, motion.positions[node - 1], motion.velocities[node - 1], asked.limits)
    assert asked.collision.objection(before.positions[-1], DROID_RESET_JOINTS, OVERSHOOT) is None
    assert at_once(asked.first_objection(brake(10.0, DROID_RESET_JOINTS, np.full(7, 0.1), asked.limits))) is None
