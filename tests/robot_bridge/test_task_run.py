"""A task from acceptance to its numbered end, without ROS; and that the numbers are those of the action."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from robot_bridge.events import event
from robot_bridge.execution.states import State
from robot_bridge.guard.reasons import Reason
from robot_bridge.task.codes import TaskError, code_of
from robot_bridge.task.run import Goal, Moment, Outcome, Phase, TaskRun, objection
from robot_bridge.task.trial_events import Kind, TrialTeller

INTERFACES = Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "vidplan_msgs"
GOAL = Goal("wave", timeout=60.0)
MOVING = Moment(101.0, State.EXECUTING, True, False, 100.5, None)


def plan(now: float, accepted: bool = True) -> dict:
    candidates = [{"name": "+x", "reward": 0.4}, {"name": "-x", "reward": 0.1}]
    fields = {"candidates": candidates, "chosen": 0, "uncertainty": 0.3, "latency_ms": 250.0}
    return event("plan", now, accepted=accepted, **fields)


def run() -> TaskRun:
    task = TaskRun(GOAL, 100.0, patience=10.0)
    task.hear(event("instruction", 100.1, detail="wave"))
    return task


@pytest.mark.parametrize(("prefix", "numbers"), [("ERROR_", TaskError), ("PHASE_", Phase), ("OUTCOME_", Outcome)])
def test_numbers_are_those_of_the_action(prefix, numbers):
    text = (INTERFACES / "action" / "ExecuteTask.action").read_text()
    said = {name: int(value) for name, value in re.findall(rf"^uint\d+ {prefix}(\w+)=(\d+)", text, re.MULTILINE)}
    assert said == {entry.name: entry.value for entry in numbers}


def test_kinds_are_those_of_the_message():
    text = (INTERFACES / "msg" / "TrialEvent.msg").read_text()
    said = {name: int(value) for name, value in re.findall(r"^uint8 (\w+)=(\d+)", text, re.MULTILINE)}
    assert {kind.name: kind.value for kind in Kind}.items() <= said.items()


def test_every_code_says_what_it_means_and_every_reason_has_one():
    assert len({code.meaning for code in TaskError}) == len(TaskError)
    assert code_of(Reason.CAMERA_STALE.value) is TaskError.CAMERA
    assert code_of(Reason.SERVER_LOST.value) is TaskError.SERVER_LOST
    assert code_of(Reason.FIRST_WAYPOINT_FAR.value) is TaskError.PLAN_REFUSED
    assert code_of(Reason.USER_STOPPED.value) is TaskError.ROBOT_FAULT


@pytest.mark.parametrize(
    ("goal", "bridge", "code"),
    [
        ({"instruction": "  "}, {}, TaskError.INVALID_GOAL),
        ({"timeout": math.nan}, {}, TaskError.INVALID_GOAL),
        ({"timeout": -1.0}, {}, TaskError.INVALID_GOAL),
        ({"seed": -1}, {}, TaskError.INVALID_GOAL),
        ({"dry_run": True}, {}, TaskError.INVALID_GOAL),
        ({}, {"dry_run": True}, TaskError.INVALID_GOAL),
        ({}, {"active": False}, TaskError.NOT_ACTIVE),
        ({}, {"busy": True}, TaskError.BUSY),
        ({"dry_run": True}, {"dry_run": True}, None),
    ],
)
def test_what_stands_against_a_goal(goal, bridge, code):
    said = objection(replace(GOAL, **goal), **{"dry_run": False, "active": True, "busy": False, **bridge})
    assert (said.code if said else None) is code
    assert said is None or said.message


def test_progress_tells_the_newest_plan():
    task = run()
    assert task.step(MOVING) is None
    assert math.isnan(task.progress(MOVING).reward)
    assert math.isnan(task.progress(MOVING).plan_age), "a plan from before the task is not the task's"
    task.hear(plan(100.8))
    task.hear(plan(100.9, accepted=False))
    assert task.step(MOVING) is None
    progress = task.progress(MOVING)
    assert (progress.phase, progress.plans, task.refused) == (Phase.MOVING, 1, 1)
    assert (progress.reward, progress.plan_latency, progress.uncertainty) == (0.4, 0.25, 0.3)
    assert (progress.elapsed, progress.plan_age) == (1.0, 0.5)
    held = replace(MOVING, state=State.HOLDING)
    task.hear(event("hold", 101.0, reason="camera_stale", detail="old"))
    task.step(held)
    assert (task.progress(held).phase, task.progress(held).reason, task.holds) == (Phase.HOLDING, "camera_stale", 1)


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ({"now": 160.0}, TaskError.TIMEOUT),
        ({"active": False}, TaskError.NOT_ACTIVE),
        ({"stop": ("stopped", "by hand")}, TaskError.STOPPED),
        ({"stop": ("command_jump", "x")}, TaskError.STOPPED),
        ({"stop": ("not_following", "x")}, TaskError.NOT_FOLLOWING),
        ({"stop": ("robot_reflex", "x")}, TaskError.ROBOT_FAULT),
    ],
)
def test_ends_at_once(moment, code):
    assert run().step(replace(MOVING, **moment)).code is code


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (event("reject", 101.0, reason="camera_missing", detail="left"), TaskError.CAMERA),
        (event("reject", 101.0, reason="spec_mismatch", detail="gripper"), TaskError.SPEC_MISMATCH),
        (event("server_lost", 101.0, detail="gone"), TaskError.SERVER_LOST),
        (event("reject", 101.0, reason="workspace", detail="outside"), TaskError.PLAN_REFUSED),
        (None, TaskError.REQUEST_TIMEOUT),
    ],
)
def test_a_lasting_trouble_ends_it_with_its_code(trouble, code):
    task = run()
    if trouble:
        task.hear(trouble)
    assert task.step(replace(MOVING, now=109.9)) is None
    ending = task.step(replace(MOVING, now=110.2))
    assert ending.code is code
    assert "10 s" in ending.message
    assert task.step(MOVING) is ending, "what has ended stays ended"


def test_a_trouble_that_passes_ends_nothing():
    task = run()
    task.hear(event("reject", 101.0, reason="camera_stale", detail="old"))
    task.hear(plan(108.0))
    assert task.step(replace(MOVING, now=117.0)) is None


def test_cancel_label_and_another_task_end_it():
    task = run()
    task.cancel()
    assert task.step(MOVING).code is TaskError.CANCELLED
    task = run()
    task.label(Outcome.FAILURE)
    assert (task.step(MOVING).code, task.step(MOVING).outcome) == (TaskError.NONE, Outcome.FAILURE)
    task = run()
    task.hear(event("instruction", 101.0, detail="something else"))
    assert task.step(MOVING).code is TaskError.CANCELLED
    late = TaskRun(GOAL, 100.0, patience=10.0)
    late.hear(event("instruction", 100.0, detail="none: standing still"))
    assert late.step(MOVING) is None, "the end of the task before is not the end of this one"


def test_what_a_trial_is_told():
    teller = TrialTeller()
    assert teller.begin("wave") == [(Kind.STARTED, ""), (Kind.INSTRUCTION, "wave")]
    assert teller.hear(plan(1.0, accepted=False)) == []
    assert teller.hear(plan(1.0)) == [(Kind.MOTION_STARTED, "")]
    assert teller.hear(plan(2.0)) == []
    assert teller.hear(event("hold", 3.0, reason="awaiting_plan", detail="")) == []
    assert teller.hear(event("hold", 3.0, reason="camera_stale", detail="left")) == [(Kind.HOLD, "camera_stale: left")]
    assert teller.hear(event("stop", 4.0, reason="stopped", detail="x")) == [(Kind.STOPPED, "stopped: x")]
