"""What makes the arm hold or stop, and what lets it move again, under a simulated clock."""

from __future__ import annotations

import numpy as np
import pytest
from cell_fakes import FakeCell, sway

from robot_bridge.execution.states import State
from robot_bridge.guard.reasons import Finding, Reason


def test_server_lost_in_mid_motion_stops_within_the_promise_and_resumes_by_itself():
    cell = FakeCell(sway(np.array([0.04, 0, -0.02, 0, 0, 0.1, 0])), latency=0.3)
    cell.run_until(lambda: cell.speed() > 0.4)
    cell.link.up = False
    lost = cell.time
    cell.run_until(lambda: cell.speed() == 0.0, seconds=0.3)
    assert cell.time - lost <= 0.3
    assert cell.reasons("hold") == ["server_lost"]
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
    assert cell.reasons("hold") == ["control_late"]
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
    assert cell.reasons("reject") == ["joints_missing"]
    assert not cell.link.requests
    cell.senser.felt = True
    cell.run_until(lambda: cell.executor.plans >= 1)


def test_an_arm_that_is_held_back_is_not_pushed():
    cell = FakeCell(sway(np.array([0.04, 0, 0, 0, 0, 0, 0]), chunks=9), latency=0.3)
    cell.run_until(lambda: cell.speed() > 0.3)
    stuck = cell.arm.state(cell.time)[0]
    cell.arm.state = lambda time: (stuck, np.zeros(7))  # something holds it
    cell.run_until(lambda: "tracking_error" in cell.reasons("hold"))
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
