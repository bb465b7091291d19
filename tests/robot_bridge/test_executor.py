"""The state machine under a simulated clock, with an arm that follows and a planner that takes its time."""

from __future__ import annotations

import numpy as np
import pytest
from cell_fakes import FakeCell, make_plan, straight

from plan_protocol.messages import ErrorReply, PlanRequest
from robot_bridge.execution.states import State
from robot_bridge.guard.reasons import Finding, Reason
from robot_model.conventions import pose_distance

FORWARD = np.array([0.015, 0.0, -0.01, 0.0, 0.0, 0.0, 0.0])


def sway(step: np.ndarray = FORWARD, chunks: int = 2):
    """A planner that goes ``chunks`` forth and as many back."""
    count = [0]

    def plan(request: PlanRequest):
        count[0] += 1
        sign = 1 if (count[0] - 1) // chunks % 2 == 0 else -1
        return make_plan(request, straight(request, sign * step))

    return plan


def reasons(cell: FakeCell, name: str) -> list[str]:
    return [event["reason"] for event in cell.events if event["event"] == name]


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


def test_server_lost_in_mid_motion_stops_within_the_promise_and_resumes_by_itself():
    cell = FakeCell(sway(np.array([0.04, 0, -0.02, 0, 0, 0.1, 0])), latency=0.3)
    cell.run_until(lambda: cell.speed() > 0.4)
    cell.link.up = False
    lost = cell.time
    cell.run_until(lambda: cell.speed() == 0.0, seconds=0.3)
    assert cell.time - lost <= 0.3
    assert reasons(cell, "hold") == ["server_lost"]
    at_rest = cell.arm.state(cell.time)[0]
    cell.run(3.0)
    assert (cell.arm.state(cell.time)[0] == at_rest).all(), "it holds"
    cell.link.up = True
    cell.run_until(lambda: "resume" in cell.names())
    assert cell.names().index("server_back") < cell.names().index("resume")
    cell.run_until(lambda: cell.speed() > 0.05)


def test_any_moment_of_loss_is_a_good_one():
    for ticks in range(1, 30, 2):
        cell = FakeCell(sway(np.array([0.045, 0.02, -0.02, 0, 0, 0.15, 0])), latency=0.25)
        cell.run_until(lambda cell=cell: cell.executor.state is State.EXECUTING)
        for _ in range(ticks):
            cell.step()
        cell.link.up = False
        lost = cell.time
        cell.run(0.2)  # what was sent by then is what stops it
        assert np.abs(cell.arm.state(lost + 0.3)[1]).max() == 0.0


def test_when_the_bridge_dies_the_arm_stops_by_itself():
    cell = FakeCell(sway(np.array([0.04, 0, 0, 0, 0, 0.1, 0])), latency=0.3)
    cell.run_until(lambda: cell.speed() > 0.4)
    cell.time += 0.5  # no tick any more
    assert cell.speed() == 0.0


def test_a_late_tick_goes_on_from_where_the_arm_has_stopped():
    cell = FakeCell(sway(np.array([0.04, 0, 0, 0, 0, 0.1, 0]), chunks=9), latency=0.3)
    cell.run_until(lambda: cell.speed() > 0.4)
    cell.step(0.35)
    assert reasons(cell, "hold") == ["control_late"]
    stopped = cell.arm.state(cell.time)[0]
    cell.run(0.3)
    assert np.abs(cell.arm.state(cell.time)[0] - stopped).max() < 0.02
    cell.run_until(lambda: "resume" in cell.names())
    assert "stop" not in cell.names()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("camera_age", 2.0, "camera_stale"),
        ("skew", 0.3, "camera_skew"),
        ("joint_age", 0.5, "joints_stale"),
    ],
)
def test_unfit_senses_stop_the_planning_then_the_arm(field, value, reason):
    cell = FakeCell(sway(), latency=0.3)
    cell.run_until(lambda: cell.executor.plans >= 2)
    good = getattr(cell.senser, field)
    setattr(cell.senser, field, value)
    cell.run(3.0)
    assert cell.speed() == 0.0
    assert cell.executor.rejected[reason] >= 1
    assert cell.executor.state is State.HOLDING
    plans = cell.executor.plans
    setattr(cell.senser, field, good)
    cell.run_until(lambda: cell.executor.plans > plans)


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_arm_that_was_never_heard_of_is_told_and_waited_for(dry_run):
    cell = FakeCell(sway(), latency=0.3, dry_run=dry_run)
    cell.senser.felt = False
    cell.run(3.0)
    assert reasons(cell, "reject") == ["joints_missing"]
    assert not cell.link.requests
    cell.senser.felt = True
    cell.run_until(lambda: cell.executor.plans >= 1)


def test_an_arm_that_is_held_back_is_not_pushed():
    cell = FakeCell(sway(np.array([0.04, 0, 0, 0, 0, 0, 0]), chunks=9), latency=0.3)
    cell.run_until(lambda: cell.speed() > 0.3)
    stuck = cell.arm.state(cell.time)[0]
    cell.arm.state = lambda time: (stuck, np.zeros(7))  # something holds it
    cell.run_until(lambda: "tracking_error" in reasons(cell, "hold"))
    cell.run_until(lambda: "anchored" in cell.names())
    assert cell.executor.motion.schedule.joints(cell.time) == pytest.approx(stuck)


def test_a_stop_is_latched_until_rearmed():
    cell = FakeCell(sway(), latency=0.3)
    cell.run_until(lambda: cell.executor.plans >= 2)
    cell.executor.stop(Finding(Reason.STOPPED, "operator"))
    cell.run(3.0)
    assert cell.executor.stopped
    assert cell.speed() == 0.0
    plans = cell.executor.plans
    cell.run(3.0)
    assert cell.executor.plans == plans
    assert cell.executor.rearm() is None
    cell.run_until(lambda: cell.executor.plans > plans)
    assert cell.names()[-2:] != ["stop"]


def test_rearming_waits_for_rest_and_fresh_senses_and_follows_no_old_plan():
    cell = FakeCell(sway(), latency=0.3)
    cell.run_until(lambda: cell.speed() > 0.1)
    assert cell.executor.rearm().reason is Reason.NOT_STOPPED
    cell.executor.stop(Finding(Reason.STOPPED, "operator"))
    assert cell.executor.rearm().reason is Reason.NOT_AT_REST, "the stop has not even taken effect"
    cell.step()
    assert cell.executor.rearm().reason is Reason.NOT_AT_REST
    cell.run(1.0)
    assert not cell.link.waiting, "what was asked before the stop is not wanted any more"
    for field, value, reason in (("joint_age", 1.0, Reason.JOINTS_STALE), ("camera_age", 2.0, Reason.CAMERA_STALE)):
        good = getattr(cell.senser, field)
        setattr(cell.senser, field, value)
        assert cell.executor.rearm().reason is reason
        assert cell.executor.stopped
        setattr(cell.senser, field, good)
    before = len(cell.link.requests)
    assert cell.executor.rearm() is None
    cell.run_until(lambda: cell.speed() > 0.1)
    assert len(cell.link.requests) > before


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


def test_nothing_moves_before_activation_and_deactivation_brakes_and_holds():
    cell = FakeCell(sway(), latency=0.3)
    cell.executor.deactivate()
    cell.run(2.0)
    assert cell.executor.state is State.INACTIVE
    assert not cell.link.requests
    assert not any(command.trajectory for command in cell.commands)
    cell.executor.activate()
    cell.run_until(lambda: cell.speed() > 0.03)
    asked = len(cell.link.requests)
    cell.executor.deactivate()
    cell.run(0.4)
    assert cell.speed() < 1e-3
    held = cell.arm.state(cell.time)[0]
    cell.run(2.0)
    assert np.abs(cell.arm.state(cell.time)[0] - held).max() < 1e-6
    assert len(cell.link.requests) == asked
    assert [name for name in cell.names() if "activated" in name] == ["deactivated", "activated", "deactivated"]
    cell.executor.activate()
    cell.run_until(lambda: len(cell.link.requests) > asked)


def test_a_stop_outlasts_deactivation():
    cell = FakeCell(sway(), latency=0.3)
    cell.run_until(lambda: cell.executor.state is State.EXECUTING)
    cell.executor.stop(Finding(Reason.STOPPED, "test"))
    cell.executor.deactivate()
    cell.run(1.0)
    assert cell.executor.state is State.STOPPED
    cell.executor.activate()
    cell.run(1.0)
    assert cell.executor.state is State.STOPPED
    assert cell.executor.rearm() is None
    cell.run_until(lambda: cell.executor.state is State.EXECUTING)


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
