"""The last gate: each kind of bad message is caught, whoever made it; good ones pass. And the latched stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cell_fakes import EmptySpace
from scipy.interpolate import BPoly

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.smoothing import SentMotion, smooth
from robot_bridge.execution.trajectory import Schedule, follow
from robot_bridge.guard.collision import Collision
from robot_bridge.guard.command import FRACTIONS, CommandGate, Tracking, quintics
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.guard.stop import LatchedStop
from robot_model.conventions import DROID_RESET_JOINTS as RESET
from robot_model.franka import FR3, PANDA
from robot_model.kinematics import ArmKinematics

LIMITS = JointLimits.of(PANDA, BridgeConfig())
MOTION = follow(5.0, RESET, np.zeros(7), RESET + np.outer(np.arange(1, 16), np.full(7, 0.01)), LIMITS)


def message_at(time: float, motion: Schedule = MOTION) -> SentMotion:
    return smooth(motion.window(time, 0.2, LIMITS), time, LIMITS)


GOOD = message_at(5.3)


def gate() -> CommandGate:
    return CommandGate(PANDA, LIMITS, EmptySpace())


def with_value(field: str, row: int, joint: int, value: float) -> SentMotion:
    array = getattr(GOOD, field).copy()
    array[row, joint] = value
    return replace(GOOD, **{field: array})


def shifted(radians: float) -> SentMotion:
    return replace(GOOD, positions=GOOD.positions + radians)


def scaled(share: float) -> SentMotion:
    """The same path, quicker."""
    times = GOOD.times[0] + (GOOD.times - GOOD.times[0]) / share
    return SentMotion(times, GOOD.positions, GOOD.velocities * share, GOOD.accelerations * share**2)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (GOOD, None),
        (with_value("positions", 2, 3, np.nan), Reason.COMMAND_POSITION),
        (with_value("velocities", 1, 0, np.inf), Reason.COMMAND_POSITION),
        (with_value("accelerations", 1, 0, np.nan), Reason.COMMAND_POSITION),
        (with_value("positions", 2, 0, 3.0), Reason.COMMAND_POSITION),
        (with_value("positions", 2, 3, 0.0), Reason.COMMAND_POSITION),
        (with_value("velocities", 1, 1, 0.9), Reason.COMMAND_VELOCITY),
        (replace(GOOD, times=GOOD.times[::-1]), Reason.COMMAND_VELOCITY),
        (with_value("positions", 2, 1, GOOD.positions[2, 1] + 0.001), Reason.COMMAND_ACCELERATION),
        (with_value("accelerations", 3, 1, 5.0), Reason.COMMAND_ACCELERATION),
        (with_value("accelerations", 2, 1, GOOD.accelerations[2, 1] + 3.0), Reason.COMMAND_JERK),
        (with_value("velocities", -1, 1, 0.0001), Reason.COMMAND_NO_BRAKE),
        (with_value("accelerations", -1, 1, 0.01), Reason.COMMAND_NO_BRAKE),
        (shifted(0.002), Reason.COMMAND_JUMP),
        (scaled(2.9), Reason.COMMAND_ACCELERATION),
    ],
)
def test_reason(message, reason):
    asked = gate()
    assert asked.check(message_at(5.23)) is None
    finding = asked.check(message)
    assert (finding.reason if finding else None) is reason


def test_the_gate_sees_what_a_stock_controller_makes_of_a_message():
    q, v, a, j = quintics(np.diff(GOOD.times)[:, None], GOOD.positions, GOOD.velocities, GOOD.accelerations)
    path = BPoly.from_derivatives(GOOD.times, np.stack([GOOD.positions, GOOD.velocities, GOOD.accelerations], axis=1))
    for k, share in enumerate(FRACTIONS[:-1]):
        times = GOOD.times[:-1] + share * np.diff(GOOD.times)
        for order, found in enumerate((q, v, a, j)):
            assert found[k] == pytest.approx(path(times, order), abs=1e-6 * 1000**order)


def test_a_refused_message_is_not_what_the_next_is_compared_with():
    asked = gate()
    assert asked.check(message_at(5.23)) is None
    assert asked.check(shifted(0.002)) is not None
    assert asked.check(GOOD) is None


def test_the_first_message_continues_nothing():
    asked = gate()
    assert asked.check(shifted(0.002)) is None
    assert asked.check(GOOD) is not None
    asked.forget()
    assert asked.check(GOOD) is None


def test_an_arm_measured_beyond_its_limit_may_come_back():
    start = np.array(RESET)
    start[5] = PANDA.upper[5] + 0.005
    back = follow(5.0, start, np.zeros(7), start - np.outer(np.arange(1, 16), np.eye(7)[5] * 0.01), LIMITS)
    asked = gate()
    for time in np.arange(5.0, back.end, LIMITS.period):
        assert asked.check(message_at(float(time), back)) is None


def test_the_last_look_sees_collisions_too():
    config = BridgeConfig(table_height=0.3)
    asked = CommandGate(PANDA, LIMITS, Collision(config, ArmKinematics(PANDA)))
    down = follow(5.0, RESET, np.zeros(7), RESET + np.outer(np.arange(1, 16), [0, 0.03, 0, 0, 0, 0, 0]), LIMITS)
    findings = [asked.check(message_at(float(time), down)) for time in np.arange(5.0, down.end, LIMITS.period)]
    first = next(finding for finding in findings if finding)
    assert first.reason is Reason.COMMAND_COLLISION
    assert "fingertips" in first.detail
    assert "table" in first.detail


def test_an_fr3_is_slowed_towards_the_end_of_a_joints_range():
    limits = JointLimits.of(FR3, BridgeConfig(robot="fr3", velocity_scale=1.0, acceleration_scale=1.0))
    start = np.array(RESET)
    fast = follow(5.0, start, np.zeros(7), start + np.outer(np.arange(1, 61), [0, 0.2, 0, 0, 0, 0, 0]), limits)
    message = smooth(fast, 5.0, limits)
    asked = CommandGate(FR3, limits, EmptySpace())
    assert asked.check(message) is None
    assert fast.positions[-1, 1] > FR3.upper[1] - 0.05, "it still gets there"
    near = int(np.argmax(FR3.velocity_limits(fast.positions)[1][:, 1] < 1.0))
    wild = message.velocities.copy()
    wild[2 * near :, 1] += 0.6
    finding = asked.check(replace(message, velocities=wild))
    assert finding is not None


def test_an_arm_that_does_not_follow_is_noticed():
    tracking = Tracking(BridgeConfig(), PANDA)
    assert tracking.check(RESET, RESET + 0.2) is None
    finding = tracking.check(RESET, RESET + [0, 0, 0, 0.3, 0, 0, 0])
    assert finding is not None
    assert finding.reason is Reason.TRACKING_ERROR
    assert "panda_joint4" in finding.detail
    assert tracking.check(RESET, RESET * np.nan) is not None


def test_the_stop_is_latched_until_it_is_rearmed():
    stop = LatchedStop()
    first, second = Finding(Reason.STOPPED, "first"), Finding(Reason.TRACKING_ERROR, "second")
    assert stop.finding is None
    assert stop.trip(first)
    assert not stop.trip(second)
    assert stop.finding is first
    assert stop.rearm()
    assert stop.finding is None
    assert not stop.rearm()
