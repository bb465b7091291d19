"""The last gate: each kind of bad message is caught, whoever made it; good ones pass. And the latched stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robot_bridge.config import BridgeConfig
from robot_bridge.guard.command import CommandGate, Tracking
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.guard.stop import LatchedStop
from robot_bridge.limits import JointLimits
from robot_bridge.trajectory import Schedule, follow
from robot_model.conventions import DROID_RESET_JOINTS as RESET
from robot_model.franka import PANDA

LIMITS = JointLimits.of(PANDA, BridgeConfig())
MOTION = follow(5.0, RESET, np.zeros(7), RESET + np.outer(np.arange(1, 16), np.full(7, 0.01)), LIMITS)
GOOD = MOTION.window(5.3, 0.2, LIMITS)


def with_value(field: str, row: int, joint: int, value: float) -> Schedule:
    array = getattr(GOOD, field).copy()
    array[row, joint] = value
    return replace(GOOD, **{field: array})


def shifted(seconds: float = 0.0, radians: float = 0.0) -> Schedule:
    return replace(GOOD, times=GOOD.times + seconds, positions=GOOD.positions + radians)


def scaled(share: float) -> Schedule:
    """The same path, quicker."""
    return Schedule(5.3 + (GOOD.times - 5.3) / share, GOOD.positions, GOOD.velocities * share)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (GOOD, None),
        (with_value("positions", 2, 3, np.nan), Reason.COMMAND_POSITION),
        (with_value("velocities", 1, 0, np.inf), Reason.COMMAND_POSITION),
        (with_value("positions", 2, 0, 3.0), Reason.COMMAND_POSITION),
        (with_value("positions", 2, 3, 0.0), Reason.COMMAND_POSITION),
        (with_value("velocities", 1, 1, 0.8), Reason.COMMAND_VELOCITY),
        (replace(GOOD, times=GOOD.times[::-1]), Reason.COMMAND_VELOCITY),
        (with_value("positions", 2, 1, GOOD.positions[2, 1] + 0.05), Reason.COMMAND_ACCELERATION),
        (with_value("velocities", 1, 1, -0.7), Reason.COMMAND_ACCELERATION),
        (with_value("velocities", -1, 1, 0.001), Reason.COMMAND_NO_BRAKE),
        (shifted(radians=0.05), Reason.COMMAND_JUMP),
        (scaled(2.9), Reason.COMMAND_ACCELERATION),
    ],
)
def test_reason(message, reason):
    gate = CommandGate(PANDA, LIMITS)
    assert gate.check(MOTION.window(5.23, 0.2, LIMITS)) is None
    finding = gate.check(message)
    assert (finding.reason if finding else None) is reason


def test_a_refused_message_is_not_what_the_next_is_compared_with():
    gate = CommandGate(PANDA, LIMITS)
    assert gate.check(MOTION.window(5.23, 0.2, LIMITS)) is None
    assert gate.check(shifted(radians=0.05)) is not None
    assert gate.check(GOOD) is None


def test_the_first_message_continues_nothing():
    gate = CommandGate(PANDA, LIMITS)
    assert gate.check(shifted(radians=0.05)) is None
    assert gate.check(GOOD) is not None
    gate.forget()
    assert gate.check(GOOD) is None


def test_an_arm_measured_beyond_its_limit_may_come_back():
    start = np.array(RESET)
    start[5] = PANDA.upper[5] + 0.005
    back = follow(5.0, start, np.zeros(7), start - np.outer(np.arange(1, 16), np.eye(7)[5] * 0.01), LIMITS)
    gate = CommandGate(PANDA, LIMITS)
    for time in np.arange(5.0, back.end, LIMITS.period):
        assert gate.check(back.window(float(time), 0.2, LIMITS)) is None


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
