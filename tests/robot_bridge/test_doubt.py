"""Uncertain plans: slowly, not for long, and never after a person had to be asked."""

from __future__ import annotations

import numpy as np
import pytest

from plan_protocol.messages import Plan
from robot_bridge.doubt import Doubt, Stance, slowed
from robot_model.conventions import pose_distance

START = np.array([0.5, 0.0, 0.4, np.pi, 0.0, 0.0, 0.0])
H = 5


def plan(status: str = "uncertain") -> Plan:
    poses = np.tile(START, (H, 1))
    poses[:, 0] += 0.02 * np.arange(1, H + 1)
    poses[:, 5] += 0.1 * np.arange(1, H + 1)
    return Plan(10.0, 10.0 + 0.2 * np.arange(1, H + 1), poses, (), 0, False, (0.0, 0.0), 0.9, status=status)


def follow(doubt: Doubt, times: list[float], status: str = "uncertain") -> list[bool]:
    return [doubt.weigh(t, plan(status), START).plan is not None for t in times]


def test_a_confident_plan_is_followed_as_it_is() -> None:
    sure = plan("confident")
    weighed = Doubt(0.5, 3, 10.0).weigh(10.0, sure, START)
    assert weighed.plan is sure
    assert not weighed.detail


def test_an_uncertain_plan_is_followed_slowly_with_a_note() -> None:
    doubt = Doubt(0.5, 3, 10.0)
    weighed = doubt.weigh(10.0, plan(), START)
    assert weighed.plan is not None
    assert "50 %" in weighed.detail
    assert doubt.stance is Stance.EXPLORING
    assert weighed.plan.poses[-1, 0] - START[0] == pytest.approx(0.05)
    assert np.array_equal(weighed.plan.times, plan().times)


def test_after_too_many_the_operator_is_asked_until_a_confident_plan_comes() -> None:
    doubt = Doubt(0.5, 3, 100.0)
    assert follow(doubt, [10.0, 11.0, 12.0, 13.0, 14.0]) == [True, True, True, False, False]
    assert doubt.stance is Stance.ASKING
    assert "give another instruction" in doubt.weigh(15.0, plan(), START).detail
    assert follow(doubt, [16.0], "confident") == [True]
    assert doubt.stance is Stance.CONFIDENT
    assert follow(doubt, [17.0, 18.0, 19.0, 20.0]) == [True, True, True, False]


def test_after_too_long_the_operator_is_asked() -> None:
    doubt = Doubt(0.5, 100, 5.0)
    assert follow(doubt, [10.0, 12.0, 15.0, 15.1]) == [True, True, True, False]


def test_another_task_begins_without_doubt_and_a_clock_set_back_counts_from_there() -> None:
    doubt = Doubt(0.5, 100, 5.0)
    assert follow(doubt, [10.0, 16.0]) == [True, False]
    doubt.forget()
    assert doubt.stance is Stance.CONFIDENT
    assert follow(doubt, [16.2, 21.0, 3.0, 7.0, 9.0]) == [True, True, True, True, False]


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.9, 1.0])
def test_a_slowed_plan_keeps_to_the_path(speed: float) -> None:
    whole = plan()
    part = slowed(whole, START, speed)
    assert part.poses.shape == whole.poses.shape
    steps = np.diff(np.vstack([START, part.poses])[:, 0])
    assert np.allclose(steps, 0.02 * speed)
    _, turned = pose_distance(START, part.poses[-1])
    assert turned == pytest.approx(0.5 * speed, abs=1e-6)
    assert np.allclose(slowed(whole, START, 1.0).poses, whole.poses)


def test_the_fingers_wait_for_their_place_on_the_path() -> None:
    closing = plan()
    closing.poses[2:, 6] = 1.0
    assert slowed(closing, START, 0.5).poses[:, 6].tolist() == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.5])
    assert slowed(closing, START, 1.0).poses[:, 6].tolist() == pytest.approx([0, 0, 1, 1, 1])
