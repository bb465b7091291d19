"""Gripper goals: on edges only, with hysteresis, never two at once."""

from __future__ import annotations

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.gripper import GripperSwitch


def goals(wishes: list[float], period: float = 0.1, measured: float = 0.0) -> list[tuple[float, float]]:
    switch = GripperSwitch(BridgeConfig())
    switch.start_from(measured)
    sent = [(round(k * period, 3), switch.update(k * period, wish)) for k, wish in enumerate(wishes)]
    return [(time, goal) for time, goal in sent if goal is not None]


def test_one_goal_per_edge():
    assert goals([0.0] * 5 + [1.0] * 30 + [0.0] * 30) == [(0.5, 1.0), (3.5, 0.0)]


def test_hovering_about_the_middle_changes_nothing():
    assert goals([0.0, 0.55, 0.45, 0.59, 0.41] * 10) == []
    assert goals([1.0, 0.55, 0.45, 0.59, 0.41] * 10, measured=1.0) == []


def test_a_second_goal_waits_for_the_first():
    assert goals([1.0, 0.0, 1.0, 0.0] + [0.0] * 20) == [(0.0, 1.0), (0.8, 0.0)]


def test_begins_with_the_measured_gripper():
    assert goals([1.0] * 5, measured=0.9) == []
    assert goals([0.0] * 5, measured=0.9) == [(0.0, 0.0)]
