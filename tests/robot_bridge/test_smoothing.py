"""What is sent: accelerations without steps, jerk within limits, exactly what a quintic interpolator reproduces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BPoly

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.smoothing import SentMotion, smooth
from robot_bridge.execution.trajectory import brake, follow
from robot_model.conventions import DROID_RESET_JOINTS as RESET
from robot_model.franka import FR3, PANDA


def wild(limits: JointLimits, seed: int = 0):
    random = np.random.default_rng(seed)
    return follow(1.0, RESET, np.zeros(7), RESET + np.cumsum(random.normal(0, 0.1, (30, 7)), axis=0), limits)


def quintic(message: SentMotion) -> BPoly:
    nodes = np.stack([message.positions, message.velocities, message.accelerations], axis=1)
    return BPoly.from_derivatives(message.times, nodes)


@pytest.mark.parametrize("arm", [PANDA, FR3], ids=lambda arm: arm.name)
@pytest.mark.parametrize("rate", [15.0, 100.0])
def test_jerk_stays_within_the_arms_limits_whatever_is_followed(arm, rate):
    limits = JointLimits.of(arm, BridgeConfig(robot=arm.name, control_rate=rate, acceleration_scale=1.0))
    for seed in range(3):
        message = smooth(wild(limits, seed), 1.0, limits)
        path = quintic(message)
        times = np.linspace(message.times[0], message.end, 20000)
        assert (np.abs(path(times, 3)) <= arm.jerk * 1.001).all()
        assert (np.abs(path(times, 2)) <= limits.acceleration * 1.001).all()
        assert (np.abs(path(times, 1)) <= limits.velocity + 1e-6).all()


def test_the_sent_motion_is_the_mean_of_the_schedule():
    limits = JointLimits.of(PANDA, BridgeConfig())
    schedule = wild(limits)
    message = smooth(schedule, 1.3, limits)
    for moment in np.random.default_rng(1).uniform(1.35, schedule.end - 0.05, 20):
        around = moment + limits.smoothing * ((np.arange(400) + 0.5) / 400 - 0.5)
        mean = np.mean([schedule.joints(time) for time in around], axis=0)
        assert message.state(moment)[0] == pytest.approx(mean, abs=1e-8)


def test_a_quintic_controller_is_told_exactly_this_motion():
    limits = JointLimits.of(PANDA, BridgeConfig())
    message = smooth(wild(limits), 1.2, limits)
    path = quintic(message)
    for moment in np.linspace(message.times[0], message.end, 200):
        q, v, a = message.full_state(moment)
        assert path(moment) == pytest.approx(q, abs=1e-9)
        assert path(moment, 1) == pytest.approx(v, abs=1e-6)
        assert path(moment, 2) == pytest.approx(a, abs=1e-3)


def test_a_change_of_mind_leaves_what_was_sent_until_then_alone():
    limits = JointLimits.of(PANDA, BridgeConfig())
    schedule = wild(limits)
    for now in np.linspace(1.05, 2.5, 40):
        begin = schedule.change_from(now, limits)
        assert begin - now <= 2.5 * limits.smoothing + 1e-9
        changed = schedule.then(brake(begin, *schedule.state(begin), limits))
        told = smooth(schedule.window(now - 0.05, 0.2, limits), now - 0.05, limits).full_state(now)
        new = smooth(changed.window(now, 0.2, limits), now, limits)
        if new.times[0] > now:  # it begins with a node that is about to come
            continue
        for before, after in zip(told, new.full_state(now), strict=True):
            assert after == pytest.approx(before, abs=1e-6)
        assert new.end - now <= limits.stop_time + 3 * limits.smoothing + limits.period + 1e-9


def test_standing_still_is_sent_as_standing_still():
    limits = JointLimits.of(PANDA, BridgeConfig())
    schedule = wild(limits)
    message = smooth(schedule.window(schedule.end + 1.0, 0.2, limits), schedule.end + 1.0, limits)
    assert (message.positions == schedule.positions[-1]).all()
    assert not message.velocities.any()
    assert not message.accelerations.any()
