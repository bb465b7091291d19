"""The joints' motion: every limit holds for any targets, between the nodes as well, and braking is always possible."""

from __future__ import annotations

import numpy as np
import pytest
from cell_fakes import EmptySpace
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.smoothing import smooth
from robot_bridge.execution.trajectory import Schedule, brake, follow
from robot_bridge.guard.command import CommandGate
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import FR3, PANDA

ARMS = {"panda": PANDA, "fr3": FR3}
LIMITS = {name: JointLimits.of(arm, BridgeConfig(robot=name)) for name, arm in ARMS.items()}


def check(schedule: Schedule, limits: JointLimits) -> None:
    steps = np.diff(schedule.times)[:, None]
    acceleration = np.abs(np.diff(schedule.velocities, axis=0)) / steps
    assert (schedule.positions >= limits.lower - 1e-9).all()
    assert (schedule.positions <= limits.upper + 1e-9).all()
    assert (np.abs(schedule.velocities) <= limits.velocity + 1e-9).all()
    assert (acceleration <= limits.acceleration * (1 + 1e-6) + 1e-6).all()
    travelled = (schedule.velocities[1:] + schedule.velocities[:-1]) / 2 * steps
    assert np.diff(schedule.positions, axis=0) == pytest.approx(travelled, abs=1e-6), "positions follow the speeds"
    assert (schedule.velocities[-1] == 0).all()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(ARMS)),
    st.integers(0, 2**31),
    st.sampled_from([0.003, 0.03, 0.3, 3.0, 100.0]),
    st.sampled_from([0.0, 1.8e9]),
)
def test_any_targets_are_followed_within_every_limit(name, seed, size, epoch):
    limits, random = LIMITS[name], np.random.default_rng(seed)
    q = random.uniform(limits.lower, limits.upper)
    targets = q + np.cumsum(random.normal(0, size, (30, 7)), axis=0)
    schedule = follow(epoch + 1.0, q, np.zeros(7), targets, limits)
    if epoch == 0.0:
        check(schedule, limits)
    assert schedule.end - schedule.times[30] <= limits.stop_time + 1e-6
    gate = CommandGate(ARMS[name], limits, EmptySpace())
    for time in epoch + 1.0 + np.cumsum(random.uniform(0.03, 0.1, 25)):
        assert gate.check(smooth(schedule.window(float(time), 0.2, limits), float(time), limits)) is None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.0, 2.0))
def test_braking_from_any_moment_ends_within_the_stop_time(seed, moment):
    limits, random = LIMITS["panda"], np.random.default_rng(seed)
    q = random.uniform(limits.lower, limits.upper)
    schedule = follow(0.0, q, np.zeros(7), q + np.cumsum(random.normal(0, 0.2, (30, 7)), axis=0), limits)
    stopping = brake(moment, *schedule.state(moment), limits)
    check(stopping, limits) if len(stopping.times) > 1 else None
    assert stopping.end - moment <= limits.stop_time + 1e-9


def test_a_smooth_path_is_tracked_closely():
    limits = LIMITS["panda"]
    time = limits.period * np.arange(1, 46)
    targets = DROID_RESET_JOINTS + np.outer(0.15 * (1 - np.cos(2 * time)), np.ones(7))
    schedule = follow(0.0, DROID_RESET_JOINTS, np.zeros(7), targets, limits)
    assert np.abs(schedule.positions[1:46] - targets).max() < 2e-3


def test_the_state_between_nodes_has_constant_acceleration():
    schedule = Schedule(np.array([1.0, 2.0]), np.array([[0.0] * 7, [0.5] * 7]), np.array([[1.0] * 7, [0.0] * 7]))
    q, v = schedule.state(1.5)
    assert v == pytest.approx(np.full(7, 0.5))
    assert q == pytest.approx(np.full(7, 0.375))
    assert (schedule.state(5.0)[1] == 0).all()


def test_a_message_is_short_and_ends_at_rest():
    limits = LIMITS["panda"]
    targets = DROID_RESET_JOINTS + np.outer(np.arange(1, 31), np.full(7, 0.02))
    schedule = follow(0.0, DROID_RESET_JOINTS, np.zeros(7), targets, limits)
    message = smooth(schedule.window(0.5, 0.2, limits), 0.5, limits)
    assert message.times[0] == pytest.approx(0.5, abs=0.002)
    assert message.end - 0.5 <= 0.2 + limits.stop_time + limits.smoothing + limits.period + 1e-9
    assert (message.velocities[-1] == 0).all()
    assert (message.accelerations[-1] == 0).all()
    for time in np.arange(0.5, 0.65, 0.01):
        assert message.state(time)[0] == pytest.approx(schedule.joints(time), abs=1e-4), "it is the schedule"


def test_remembers_the_recent_past_when_the_motion_changes():
    limits = LIMITS["panda"]
    schedule = follow(0.0, DROID_RESET_JOINTS, np.zeros(7), DROID_RESET_JOINTS + np.full((15, 7), 0.1), limits)
    joined = schedule.then(brake(0.5, *schedule.state(0.5), limits))
    assert joined.joints(0.25) == pytest.approx(schedule.joints(0.25), abs=1e-3)
    assert joined.end < 0.8
