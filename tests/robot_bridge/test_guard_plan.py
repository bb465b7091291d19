"""Layers on plans: a good plan passes untouched; each fault is refused or mended by its own layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cell_fakes import SPEC

from plan_protocol.messages import Plan
from robot_bridge.config import BridgeConfig
from robot_bridge.execution.steps import at_once
from robot_bridge.guard.plan import Expected, PlanGuard, Proposal
from robot_bridge.guard.reasons import Finding, Reason
from robot_model.conventions import pose_distance

STAMP = 50.0
START = np.array([0.45, 0.0, 0.4, np.pi, 0.0, 0.0, 0.0])
STEP = np.array([0.02, 0.01, -0.01, 0.0, 0.02, 0.05, 0.0])
EXPECTED = Expected(STAMP, 2, SPEC)


def plan(poses: np.ndarray | None = None, **changes) -> Plan:
    poses = START + np.arange(1, 6)[:, None] * STEP if poses is None else poses
    times = STAMP + 0.2 * (2 + np.arange(1, len(poses) + 1))
    good = Plan(STAMP, times, poses, (), 0, False, (0.0, 0.0), 0.1)
    return replace(good, **changes)


def judge(plan: Plan, now: float = 50.3, commanded=lambda time: START, **settings) -> Proposal | Finding:
    config = BridgeConfig.from_mapping(settings)
    return at_once(PlanGuard(config, SPEC).check(Proposal.of(plan, EXPECTED, now, commanded)))


def moved(index: int, **axes: float) -> np.ndarray:
    poses = START + np.arange(1, 6)[:, None] * STEP
    for axis, value in axes.items():
        poses[index, ["x", "y", "z", "roll", "pitch", "yaw"].index(axis)] = value
    return poses


def test_a_good_plan_passes_untouched():
    outcome = judge(plan())
    assert isinstance(outcome, Proposal)
    assert outcome.notes == ()
    assert outcome.poses == pytest.approx(plan().poses)
    assert (outcome.start, outcome.times[0]) == (pytest.approx(50.4), pytest.approx(50.6))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (plan(observation_stamp=49.8), Reason.PLAN_MISMATCHED),
        (plan(poses=plan().poses[:4]), Reason.PLAN_MISMATCHED),
        (plan(poses=plan().poses[:, :6]), Reason.PLAN_MISMATCHED),
        (plan(times=plan().times[:4]), Reason.PLAN_MISMATCHED),
        (plan(times=plan().times + 0.2), Reason.PLAN_MISMATCHED),
        (plan(times=plan().times[::-1]), Reason.PLAN_MISMATCHED),
        (plan(times=plan().times * np.nan), Reason.PLAN_NON_FINITE),
        (plan(moved(3, z=np.nan)), Reason.PLAN_NON_FINITE),
        (plan(moved(0, roll=np.inf)), Reason.PLAN_NON_FINITE),
        (plan(moved(0, x=-1e200)), Reason.PLAN_NON_FINITE),
        (plan(START + [0.3, 0, 0, 0, 0, 0, 0] + np.zeros((5, 7))), Reason.FIRST_WAYPOINT_FAR),
        (plan(START + [0, 0, 0, 0, 0, 1.0, 0] + np.zeros((5, 7))), Reason.FIRST_WAYPOINT_FAR),
        (plan(moved(4, z=-0.3)), Reason.WORKSPACE),
        (plan(moved(2, x=0.75)), Reason.LINEAR_STEP),
        (plan(moved(2, yaw=2.0)), Reason.ANGULAR_STEP),
    ],
)
def test_faults_are_refused(bad, reason):
    outcome = judge(bad)
    assert isinstance(outcome, Finding)
    assert outcome.reason is reason
    assert outcome.detail


def test_an_old_observation_is_refused():
    outcome = judge(plan(), now=70.0)
    assert isinstance(outcome, Finding)
    assert outcome.reason is Reason.PLAN_STALE


def test_a_late_plan_begins_now_if_the_arm_has_waited_for_it():
    outcome = judge(plan(), now=51.0)
    assert isinstance(outcome, Proposal)
    assert outcome.start == 51.0
    assert outcome.times == pytest.approx(51.0 + 0.2 * np.arange(1, 6))


def test_a_late_plan_is_refused_if_the_arm_has_moved_on():
    outcome = judge(plan(), now=51.0, commanded=lambda time: START + (time - 50.4) * STEP)
    assert isinstance(outcome, Finding)
    assert outcome.reason is Reason.PLAN_LATE


def test_a_hair_too_late_is_not_late():
    outcome = judge(plan(), now=50.45, commanded=lambda time: START + (time - 50.4) * STEP * 5)
    assert isinstance(outcome, Proposal)
    assert outcome.times[0] == pytest.approx(50.65)


def test_small_excursions_from_the_workspace_are_moved_inside():
    poses = START + np.arange(1, 6)[:, None] * np.array([0.0, 0.0, 0.0, 0, 0, 0, 0])
    poses[:, 2] = [0.36, 0.32, 0.28, 0.24, 0.20]
    box = {"workspace_lower": (0.3, -0.4, 0.23), "workspace_upper": (0.7, 0.4, 0.7)}
    outcome = judge(plan(poses), **box)
    assert isinstance(outcome, Proposal)
    assert outcome.poses[-1, 2] == pytest.approx(0.23)
    assert [note.reason for note in outcome.notes] == [Reason.WORKSPACE]


def test_an_arm_that_starts_outside_may_come_back_in():
    box = {"workspace_lower": (0.6, -0.4, 0.2), "workspace_upper": (0.8, 0.4, 0.7), "workspace_slack": 0.01}
    inward = START + np.arange(1, 6)[:, None] * np.array([0.03, 0, 0, 0, 0, 0, 0])
    outcome = judge(plan(inward), **box)
    assert isinstance(outcome, Proposal)
    outward = START - np.arange(1, 6)[:, None] * np.array([0.03, 0, 0, 0, 0, 0, 0])
    refused = judge(plan(outward), **box)
    assert isinstance(refused, Finding)
    assert refused.reason is Reason.WORKSPACE


def test_the_narrower_of_both_boxes_counts():
    assert isinstance(judge(plan(moved(4, z=0.1))), Finding), "0.1 m is 260 mm below the step before"
    low = START + np.arange(1, 6)[:, None] * np.array([0, 0, -0.045, 0, 0, 0, 0])
    outcome = judge(plan(low), workspace_lower=(0.2, -0.5, 0.2))
    assert isinstance(outcome, Proposal)
    assert outcome.poses[-1, 2] == pytest.approx(0.2)


def test_long_steps_are_shortened_and_caught_up():
    poses = START + np.arange(1, 6)[:, None] * np.array([0.02, 0, 0, 0, 0, 0.05, 0])
    poses[1] += [0.05, 0, 0, 0, 0, 0.2, 0]
    outcome = judge(plan(poses))
    assert isinstance(outcome, Proposal)
    path = np.concatenate([START[None], outcome.poses])
    metres, radians = pose_distance(path[:-1], path[1:])
    assert metres.max() <= 0.05 + 1e-9
    assert radians.max() <= 0.2 + 1e-9
    assert {note.reason for note in outcome.notes} == {Reason.LINEAR_STEP, Reason.ANGULAR_STEP}
    assert outcome.poses[-1] == pytest.approx(poses[-1])


def test_shortened_rotations_survive_the_roll_wrap():
    poses = np.tile(START, (5, 1))
    poses[:, 3] = [-np.pi + 0.3, -np.pi + 0.3, -np.pi + 0.3, -np.pi + 0.3, -np.pi + 0.3]
    outcome = judge(plan(poses))
    assert isinstance(outcome, Proposal)
    assert pose_distance(START, outcome.poses[0])[1] == pytest.approx(0.2)
    assert pose_distance(START, outcome.poses[1])[1] == pytest.approx(0.3)
