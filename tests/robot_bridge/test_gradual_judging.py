"""At high control rates a plan is judged over several ticks: little work in each, and never a stale take-over."""

from __future__ import annotations

import numpy as np
import pytest
from cell_fakes import FakeCell, make_plan, straight

from plan_protocol.messages import Plan, PlanRequest
from robot_bridge.config import BridgeConfig
from robot_bridge.execution.states import State
from robot_bridge.execution.steps import JUDGING_TIME, at_once, judging_time, steps_per_tick
from robot_bridge.guard.reasons import Finding, Reason
from robot_model.ik import InverseKinematics

FORWARD = np.array([0.015, 0.0, -0.01, 0.0, 0.0, 0.05, 0.0])


def forward(request: PlanRequest) -> Plan:
    return make_plan(request, straight(request, FORWARD))


def judging(cell: FakeCell) -> bool:
    return cell.executor.judge.busy


def test_slow_ticks_judge_at_once_and_so_does_a_dry_run():
    for config in (BridgeConfig(), BridgeConfig(dry_run=True, control_rate=100.0)):
        assert judging_time(config) == 0.0
        assert steps_per_tick(config) is None
    assert judging_time(BridgeConfig(control_rate=50.0)) == JUDGING_TIME


def test_steps_give_back_what_they_return():
    def three():
        yield
        yield
        return 3

    assert at_once(three()) == 3


@pytest.mark.parametrize("rate", [50.0, 100.0])
def test_no_tick_judges_more_than_its_share_and_chunks_still_follow_each_other(monkeypatch, rate: float):
    cell = FakeCell(forward, latency=0.3, control_rate=rate)
    solved = [0]
    solve = InverseKinematics.solve

    def counted(*arguments):
        solved[0] += 1
        return solve(*arguments)

    monkeypatch.setattr(InverseKinematics, "solve", counted)
    most, speeds = 0, []
    cell.run_until(lambda: cell.executor.state is State.EXECUTING)
    while cell.executor.plans < 4:
        solved[0] = 0
        cell.step()
        most = max(most, solved[0])
        speeds.append(cell.speed())
    assert 0 < most <= steps_per_tick(cell.config) + 1
    assert min(speeds[len(speeds) // 4 :]) > 0.01, "one motion, without a stop between the chunks"
    assert "hold" not in cell.names()
    assert all(event["accepted"] for event in cell.events if event["event"] == "plan")


def test_a_stop_in_the_middle_of_judging_drops_the_plan():
    cell = FakeCell(forward, latency=0.3, control_rate=100.0)
    cell.run_until(lambda: cell.speed() > 0.03)
    cell.run_until(lambda: judging(cell))
    cell.executor.stop(Finding(Reason.STOPPED, "operator"))
    cell.step()
    assert not judging(cell)
    cell.run(1.0)
    assert cell.speed() == 0.0
    assert cell.executor.stopped


def test_a_planner_lost_in_the_middle_of_judging_stops_the_arm():
    cell = FakeCell(forward, latency=0.3, control_rate=100.0)
    cell.run_until(lambda: cell.speed() > 0.03)
    cell.run_until(lambda: judging(cell))
    cell.link.up = False
    lost = cell.time
    cell.run_until(lambda: cell.speed() == 0.0, seconds=0.3)
    assert cell.time - lost <= 0.3
    assert not judging(cell)


def test_a_take_over_that_was_missed_is_judged_again_for_later():
    cell = FakeCell(forward, latency=0.3, control_rate=100.0)
    cell.run_until(lambda: judging(cell))  # at rest: waiting costs nothing but time
    begins = []
    while judging(cell):
        begins.append(cell.executor.judge._case.begin)
        cell.step(0.06 if len(set(begins)) == 1 else None)
    assert len(set(begins)) == 2, "once too late, once in time"
    plans = [event for event in cell.events if event["event"] == "plan"]
    assert [plan["accepted"] for plan in plans] == [True], "told once, counted once"
    assert cell.executor.plans == 1
    cell.run_until(lambda: cell.speed() > 0.03)


def test_what_was_judged_for_another_motion_is_not_taken():
    cell = FakeCell(forward, latency=0.3, control_rate=100.0)
    cell.run_until(lambda: cell.speed() > 0.03)
    cell.run_until(lambda: judging(cell))
    case, motion = cell.executor.judge._case, cell.executor.motion
    _, course = at_once(case.steps)
    motion.brake(cell.time)
    braking = motion.schedule
    assert not motion.take(cell.time, course)
    assert motion.schedule is braking
