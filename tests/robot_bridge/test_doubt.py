"""Uncertain plans: slowly, not for long, and never after a person had to be asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cell_fakes import FakeCell, make_plan, straight

from plan_protocol.messages import Plan, PlanRequest
from robot_bridge.execution.states import State
from robot_bridge.planner.doubt import Doubt, Stance, slowed
from robot_model.conventions import pose_distance

START = np.array([0.5, 0.0, 0.4, np.pi, 0.0, 0.0, 0.0])
H = 5


def plan(status: str = "uncertain") -> Plan:
    poses = np.tile(START, (H, 1))
    poses[:, 0] += 0.02 * np.arange(1, H + 1)
    poses[:, 5] += 0.1 * np.arange(1, H + 1)
    return Plan(10.0, 10.0 + 0.2 * np.arange(1, H + 1), poses, (), 0, False, (0.0, 0.0), 0.9, status=status)


def follow(doubt: Doubt, times: list[float], status: str = "uncertain") -> list[bool]:
    return [doubt.weigh(t, plan(status)).speed > 0 for t in times]


def test_a_confident_plan_is_followed_as_it_is() -> None:
    weighed = Doubt(0.5, 3, 10.0).weigh(10.0, plan("confident"))
    assert weighed.speed == 1.0
    assert not weighed.detail


def test_an_uncertain_plan_is_followed_slowly_with_a_note() -> None:
    doubt = Doubt(0.5, 3, 10.0)
    weighed = doubt.weigh(10.0, plan())
    assert weighed.speed == 0.5
    assert "50 %" in weighed.detail
    assert doubt.stance is Stance.EXPLORING


def test_after_too_many_the_operator_is_asked_until_a_confident_plan_comes() -> None:
    doubt = Doubt(0.5, 3, 100.0)
    assert follow(doubt, [10.0, 11.0, 12.0, 13.0, 14.0]) == [True, True, True, False, False]
    assert doubt.stance is Stance.ASKING
    assert "give another instruction" in doubt.weigh(15.0, plan()).detail
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
def test_a_slowed_path_is_the_beginning_of_the_path(speed: float) -> None:
    whole = plan().poses
    part = slowed(whole, START, speed)
    assert part.shape == whole.shape
    steps = np.diff(np.vstack([START, part])[:, 0])
    assert np.allclose(steps, 0.02 * speed)
    _, turned = pose_distance(START, part[-1])
    assert turned == pytest.approx(0.5 * speed, abs=1e-6)
    assert np.allclose(slowed(whole, START, 1.0), whole)


def test_the_fingers_wait_for_their_place_on_the_path() -> None:
    closing = plan().poses
    closing[2:, 6] = 1.0
    assert slowed(closing, START, 0.5)[:, 6].tolist() == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.5])
    assert slowed(closing, START, 1.0)[:, 6].tolist() == pytest.approx([0, 0, 1, 1, 1])


class Planner:
    """Goes forward for ever, as sure of it as it is told to be."""

    def __init__(self) -> None:
        self.status = "uncertain"

    def __call__(self, request: PlanRequest) -> Plan:
        step = np.array([0.004, 0.0, -0.002, 0.0, 0.0, 0.0, 0.0])
        return replace(make_plan(request, straight(request, step)), status=self.status)


def told(cell: FakeCell, name: str) -> list[dict]:
    return [event for event in cell.events if event["event"] == name]


def flange(cell: FakeCell) -> np.ndarray:
    return cell.kinematics.forward_pose(cell.arm.state(cell.time)[0])


def test_the_bridge_explores_slowly_then_holds_and_asks_and_goes_on_when_the_planner_is_sure() -> None:
    planner = Planner()
    cell = FakeCell(planner, latency=0.3, uncertain_plans=4, uncertain_seconds=100.0)
    cell.run_until(lambda: len(told(cell, "plan")) == 1)
    slow = told(cell, "plan")[0]
    assert slow["accepted"]
    assert slow["status"] == "uncertain"
    assert [note["reason"] for note in slow["notes"]] == ["plan_uncertain"]
    asked, followed = (np.ptp(np.array(slow[key])[:, 0]) for key in ("poses", "guarded_poses"))
    assert followed == pytest.approx(cell.config.uncertain_speed * asked, rel=0.01)

    cell.run_until(lambda: cell.executor.state is State.HOLDING)
    assert "operator_needed" in [hold["reason"] for hold in told(cell, "hold")]
    cell.run(1.0)
    resting = flange(cell)
    cell.run(5.0)
    assert pose_distance(resting, flange(cell))[0] < 1e-6, "the arm holds, however often the planner guesses"
    assert [event["accepted"] for event in told(cell, "plan")[:6]] == [True] * 4 + [False] * 2
    assert len([hold for hold in told(cell, "hold") if hold["reason"] == "operator_needed"]) == 1, "asked once"

    planner.status = "confident"
    cell.run_until(lambda: cell.executor.state is State.EXECUTING)
    cell.run(2.0)
    assert pose_distance(resting, flange(cell))[0] > 0.01


def test_another_instruction_is_an_answer_too() -> None:
    cell = FakeCell(Planner(), latency=0.3, uncertain_plans=2, uncertain_seconds=100.0)
    cell.run_until(lambda: "operator_needed" in [hold["reason"] for hold in told(cell, "hold")])
    cell.executor.instruct("put the fish in the bowl")
    cell.run_until(lambda: cell.executor.state is State.EXECUTING)
    assert told(cell, "plan")[-1]["accepted"]
