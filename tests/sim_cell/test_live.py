from __future__ import annotations

import math

import numpy as np
import pytest

from robot_model.franka import PANDA
from robot_model.gripper import CLOSED_RADIANS
from sim_cell.behaviours import PickNoise, pick
from sim_cell.cell import HOME_JOINTS
from sim_cell.errors import InvalidTrajectoryError, SimCellError
from sim_cell.hand import Hand
from sim_cell.live import LiveCell
from sim_cell.trajectory import parse_trajectory
from sim_cell.truth import Truth


def run(live: LiveCell, seconds: float) -> None:
    for _ in range(round(seconds * 120)):
        live.advance()


def test_a_trajectory_moves_the_arm_on_time(cell):
    live = LiveCell(cell, PANDA, seed=0)
    assert live.time == 1.0
    goal = HOME_JOINTS + np.array([0.2, 0.1, -0.1, 0.1, 0.0, 0.1, 0.3])
    points = [[list(goal)], [[0.0] * 7], [[]]]
    live.follow(parse_trajectory(PANDA, PANDA.joint_names, [1.0], points, 0.0, live.time))
    run(live, 0.5)
    np.testing.assert_allclose(live.cell.joints(), (HOME_JOINTS + goal) / 2, atol=0.005)
    run(live, 0.7)
    np.testing.assert_allclose(live.cell.joints(), goal, atol=0.003)
    assert live.time == pytest.approx(2.2)
    assert live.nanoseconds == 2_200_000_000


def test_gripper_commands_are_knuckle_radians(cell):
    live = LiveCell(cell, PANDA, seed=0)
    live.command_gripper([CLOSED_RADIANS])
    run(live, 1.0)
    assert cell.knuckle()[0] == pytest.approx(CLOSED_RADIANS, abs=0.02)
    live.command_gripper([-3.0])
    run(live, 1.0)
    assert cell.knuckle()[0] == pytest.approx(0.0, abs=0.02)
    for wrong in ([], [0.1, 0.2], [math.nan]):
        with pytest.raises(InvalidTrajectoryError):
            live.command_gripper(wrong)


def test_reset_drops_the_motion_under_way_but_not_the_clock(cell):
    live = LiveCell(cell, PANDA, seed=0)
    points = [[list(HOME_JOINTS + 0.3)], [[0.0] * 7], [[]]]
    live.follow(parse_trajectory(PANDA, PANDA.joint_names, [0.5], points, 0.0, live.time))
    run(live, 0.5)
    time = live.time
    live.reset(3)
    run(live, 0.5)
    assert live.time == pytest.approx(time + 0.5)
    np.testing.assert_allclose(cell.joints(), HOME_JOINTS, atol=0.002)
    with pytest.raises(SimCellError, match="banana"):
        live.reset(3, "banana")


def test_the_truth_tells_touched_lifted_and_in_the_bowl(cell):
    cell.reset(0, "fish")
    truth, hand, rng = Truth(cell), Hand(cell), np.random.default_rng(0)
    hand.start_at_joints(HOME_JOINTS, 0.0)
    assert (truth.touched, truth.lifted, truth.success()) == ([], [], False)
    for move in pick(hand, rng, "fish", PickNoise(0.0, 0.0)):
        hand.move(*move)
        truth.update()
    assert truth.touched[0] == "fish"
    assert truth.lifted == ["fish"]
    assert truth.in_bowl() == ["fish"]
    assert truth.success()
    truth.start()
    assert truth.touched == []


def test_the_report_holds_plain_values(cell):
    report = LiveCell(cell, PANDA, seed=2, target="carrot").report()
    assert report["target"] == "carrot"
    assert report["first_object"] is None
    assert {"carrot", "bowl"} <= set(report["objects"])
    assert report["success"] is False
    assert report["gripper"] < 0.02
