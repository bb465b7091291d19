"""The state machine under a simulated clock, with an arm that follows and a planner that takes its time."""

from __future__ import annotations

import pytest
from cell_fakes import FakeCell, sway

from plan_protocol.messages import ErrorReply
from robot_bridge.execution.states import State
from robot_model.conventions import pose_distance


def test_plans_the_next_chunk_while_executing_the_present_one():
    cell = FakeCell(sway(chunks=3), latency=0.3)
    cell.run_until(lambda: cell.executor.state is State.EXECUTING)
    speeds = []
    for _ in range(40):
        cell.step()
        speeds.append(cell.speed())
    assert min(speeds[5:30]) > 0.02, "three chunks in one direction are one motion, without a stop between them"
    assert "hold" not in cell.names()
    later = [request for request in cell.link.requests if len(request.committed)]
    assert len(later) >= 3
    for request in later:
        # What was promised is what happened: the arm's start is the last promised pose.
        pose = cell.kinematics.forward_pose(request.start_joints)
        metres, radians = pose_distance(pose, request.committed[-1])
        assert metres < 1e-6
        assert radians < 1e-6


def test_the_promised_frames_are_where_the_arm_then_goes():
    cell = FakeCell(sway(chunks=10), latency=0.3)
    cell.run_until(lambda: bool(cell.link.requests) and len(cell.link.requests[-1].committed) > 0)
    request = cell.link.requests[-1]
    for k, promised in enumerate(request.committed):
        at = request.observation_stamp + 0.2 * (k + 1)
        cell.run_until(lambda at=at: cell.time >= at)
        metres, _ = pose_distance(cell.kinematics.forward_pose(cell.arm.state(at)[0]), promised)
        assert metres < 0.006


@pytest.mark.parametrize("latency", [1.2, 3.0])
def test_a_planner_slower_than_its_chunks_still_gets_every_plan_executed(latency):
    cell = FakeCell(sway(), latency=latency)
    cell.run(20.0)
    plans = [event for event in cell.events if event["event"] == "plan"]
    assert len(plans) >= 20.0 / (latency + 0.5) - 2
    assert all(plan["accepted"] for plan in plans)
    assert cell.executor.holds == 0, "waiting for a plan that is on its way is its rhythm, not trouble"


def test_no_instruction_no_motion_and_a_new_one_starts_afresh():
    cell = FakeCell(sway(), latency=0.3, instruction="")
    cell.run(2.0)
    assert cell.executor.state is State.IDLE
    assert not cell.link.requests
    assert all(command.trajectory is None for command in cell.commands)
    cell.executor.instruct("put the pea in the bowl")
    cell.run_until(lambda: cell.speed() > 0.05)
    assert cell.link.requests[-1].instruction == "put the pea in the bowl"
    cell.executor.instruct("put the fish in the bowl")
    cell.step()
    assert cell.link.resets == 2
    assert not cell.link.waiting, "the plan for the old task is not wanted any more"
    cell.run(0.3)
    assert cell.speed() == 0.0
    cell.run_until(lambda: cell.link.requests[-1].instruction == "put the fish in the bowl")


def test_errors_of_the_planner_are_told_and_tried_again():
    answers = [ErrorReply("internal", "out of memory", True)] * 2
    good = sway()
    cell = FakeCell(lambda request: answers.pop() if answers else good(request), latency=0.1)
    cell.run_until(lambda: cell.executor.plans >= 1)
    assert cell.executor.rejected["server_error"] == 2
    assert "out of memory" in next(event for event in cell.events if event["event"] == "reject")["detail"]


def test_a_request_without_answer_is_given_up():
    cell = FakeCell(sway(), latency=1e9, request_timeout=2.0)
    cell.run(5.0)
    assert cell.executor.rejected["request_timeout"] >= 2
    assert len(cell.link.requests) >= 3


def test_simulated_time_set_back_starts_over():
    cell = FakeCell(sway(), latency=0.3)
    cell.run_until(lambda: cell.executor.plans >= 2)
    cell.time, plans = 5.0, cell.executor.plans
    cell.link.waiting.clear()
    cell.arm.message = None
    cell.run_until(lambda: cell.executor.plans > plans + 1)
    assert "stop" not in cell.names()


def test_a_dry_run_shadows_the_measured_arm_and_returns_every_command():
    cell = FakeCell(sway(), latency=2.0, dry_run=True)
    for _ in range(150):  # 10 s of footage; commands are never given to the arm
        cell.time += cell.config.control_period
        cell.link.now = cell.senser.now = cell.time
        cell.commands += cell.executor.tick(cell.time)
    plans = [event for event in cell.events if event["event"] == "plan"]
    assert len(plans) >= 4
    assert all(plan["accepted"] for plan in plans)
    assert all(not len(request.committed) for request in cell.link.requests)
    for plan in plans:
        begin = plan["observation_stamp"]
        during = [command for command in cell.commands if begin <= command.time < begin + 0.999]
        assert len(during) == 15
        assert during[0].joints == pytest.approx(cell.arm.joints)
        metres, _ = pose_distance(during[-1].pose, plan["poses"][-1])
        assert metres < 0.01


def test_one_plan_per_horizon_of_footage_in_a_dry_run():
    cell = FakeCell(sway(), latency=0.05, dry_run=True)
    cell.run(10.0)
    assert cell.executor.plans in (10, 11)


def test_a_task_begins_with_its_own_seed_and_frames_are_asked_for_while_wanted():
    cell = FakeCell(sway(), latency=0.3, instruction="")
    cell.run(1.0)
    assert not cell.link.requests
    cell.executor.begin_task("wave", 40)
    cell.executor.want_frames(True)
    cell.run_until(lambda: len(cell.link.requests) >= 2)
    assert [(request.seed, request.frames_wanted) for request in cell.link.requests[:2]] == [(40, True), (41, True)]
    cell.executor.want_frames(False)
    asked = len(cell.link.requests)
    cell.run_until(lambda: len(cell.link.requests) > asked)
    assert not cell.link.requests[-1].frames_wanted
    cell.executor.begin_task("wave", 40)
    asked = len(cell.link.requests)
    cell.run_until(lambda: len(cell.link.requests) > asked)
    assert cell.link.requests[asked].seed == 40
