"""Drills with a real server process: killed, frozen, slow, late, wrong, answering twice, shared by two robots.

The robots' clock is simulated and runs faster than the wall's; what is promised is promised in the robot's time. Every
message is judged by `command_judge.Judge`. How soon the arm holds after each fault is for `test_fault_times`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from command_judge import JudgedCell
from faulty_server import ServerProcess
from ros_planner import free_address

from robot_bridge.execution.executor import Executor
from robot_bridge.execution.states import State
from robot_bridge.planner.link import PlannerLink
from robot_model.conventions import DROID_RESET_JOINTS

GIVE_UP = 120.0
"""Seconds of wall clock."""

FAST = 12.0
"""Robot seconds per second of wall clock, about."""


class Robot(JudgedCell):
    """A cell whose planner is a real server, somewhere else."""

    def __init__(self, address: str, name: str = "robot", joints: np.ndarray = DROID_RESET_JOINTS, **settings: object):
        # A ping of the default silence may stay unanswered where many tests share few cores.
        settings = {"server_silence": 1.0, "instruction": "sway", "server": address, "robot_id": name, **settings}
        super().__init__(lambda request: None, 0.0, joints, **settings)
        self.link = PlannerLink(self.config)
        self.executor = Executor(self.config, self.link, self.senser, self.events.append)
        self.link.start()

    def plans(self) -> list[dict]:
        return [event for event in self.events if event["event"] == "plan"]


def together(robots: list[Robot], condition: Callable[[], bool], pace: float = FAST) -> None:
    """Tick all robots until something holds."""
    end = time.monotonic() + GIVE_UP
    while not condition():
        assert time.monotonic() < end, [robot.events[-3:] for robot in robots]
        for robot in robots:
            robot.step()
        time.sleep(robots[0].config.control_period / pace)


def drop(robots: list[Robot], trouble: Callable[[], None], pace: float = FAST) -> None:
    """Bring trouble to moving arms; each holds within 0.3 s of its clock from when the loss is noticed."""
    together(robots, lambda: all(robot.speed() > 0.3 for robot in robots), pace)
    before = [robot.names().count("server_lost") for robot in robots]
    trouble()
    for robot, count in zip(robots, before, strict=True):
        together(robots, lambda: robot.names().count("server_lost") > count, pace)  # noqa: B023
        robot.run(max(0.0, robot.events[-1]["t"] + 0.3 - robot.time))
        assert robot.speed() == 0.0
        assert robot.executor.state is State.HOLDING
    held = [robot.arm.state(robot.time)[0] for robot in robots]
    for robot, joints in zip(robots, held, strict=True):
        robot.run(1.0)
        assert (robot.arm.state(robot.time)[0] == joints).all(), "it holds"


def goes_on(robots: list[Robot]) -> None:
    """Every robot finds the planner again and moves."""
    plans = [robot.executor.plans for robot in robots]
    together(
        robots,
        lambda: all(
            robot.executor.plans > count + 1 and robot.executor.state is State.EXECUTING
            for robot, count in zip(robots, plans, strict=True)
        ),
    )
    for robot in robots:
        together(robots, lambda: robot.speed() > 0.1)  # noqa: B023


@pytest.fixture(scope="module")
def server():
    server = ServerProcess(free_address())
    yield server
    server.kill()


@pytest.fixture
def robot(server: ServerProcess):
    robot = Robot(server.address, request_timeout=2.0)
    together([robot], lambda: robot.speed() > 0.1)
    yield robot
    robot.link.close()


def test_two_robots_share_a_server_that_is_killed_and_comes_back():
    address = free_address()
    server = ServerProcess(address)
    robots = [
        Robot(address, "left"),
        Robot(address, "right", DROID_RESET_JOINTS + [0.3, 0, 0, 0, 0, 0, 0], control_rate=100.0),
    ]
    try:
        together(robots, lambda: all(robot.executor.plans >= 3 for robot in robots))
        for robot in robots:
            assert all(plan["accepted"] for plan in robot.plans()), "each gets the plans it asked for, and only those"
        drop(robots, server.kill)
        server = ServerProcess(address)
        goes_on(robots)
        for robot in robots:
            assert robot.names().index("server_back") < robot.names().index("resume")
    finally:
        server.kill()
        for robot in robots:
            robot.link.close()


def test_a_frozen_server_is_lost_and_its_old_plan_is_not_followed_when_it_thaws(server, robot):
    drop([robot], server.freeze, pace=1.0)
    plans = robot.executor.plans
    server.thaw()
    goes_on([robot])
    lost_at = next(event["t"] for event in robot.events if event["event"] == "server_lost")
    after = [plan["request_id"] for plan in robot.plans()[plans:]]
    requests = [event for event in robot.events if event["event"] == "plan_requested"]
    assert after
    assert not set(after) & {event["request_id"] for event in requests if event["t"] < lost_at}


def test_with_a_slow_server_the_arm_waits_for_every_plan(server):
    robot = Robot(server.address, "slow")
    try:
        robot.executor.instruct("slow 0.4")
        together([robot], lambda: sum(plan["accepted"] for plan in robot.plans()) >= 5, pace=4.0)
        # Plans may come later than those before (plan_late), and leave an arm that stopped half-way in a bad posture.
        assert not robot.executor.rejected.keys() & {"plan_mismatched", "plan_stale", "server_error", "request_timeout"}
        assert set(robot.reasons("hold")) <= {"awaiting_plan", "no_plan"}
        assert robot.judge.sent > 20
    finally:
        robot.link.close()


def test_answers_that_come_too_late_are_never_followed(robot):
    robot.executor.instruct("late 3")
    together([robot], lambda: "new_instruction" in robot.reasons("hold"))
    given_up = robot.executor.rejected["request_timeout"]
    together([robot], lambda: robot.executor.rejected["request_timeout"] >= given_up + 3)
    assert robot.speed() == 0.0
    robot.executor.instruct("sway")
    goes_on([robot])
    asked, late = -1, set()
    for event in robot.events:
        if event["event"] == "plan_requested":
            asked = event["request_id"]
        elif event.get("reason") == "request_timeout":
            late.add(asked)
    assert len(late) >= 3
    assert not late & {plan["request_id"] for plan in robot.plans()}


def test_answers_that_come_twice_are_followed_once(robot):
    robot.executor.instruct("twice")
    goes_on([robot])
    together([robot], lambda: robot.executor.plans >= 12)
    answered = [plan["request_id"] for plan in robot.plans()]
    assert len(answered) == len(set(answered))
    assert not robot.executor.rejected.keys() & {"plan_mismatched", "plan_stale"}


@pytest.mark.parametrize("fault", ["jump", "nan", "other observation", "short", "garbage"])
def test_wrong_answers_end_in_a_hold_and_a_right_one_goes_on(robot, fault: str):
    robot.executor.instruct(fault)
    together([robot], lambda: "new_instruction" in robot.reasons("hold"))
    accepted = sum(plan["accepted"] for plan in robot.plans())
    refused = sum(robot.executor.rejected.values())
    together([robot], lambda: sum(robot.executor.rejected.values()) >= refused + 3)
    assert sum(plan["accepted"] for plan in robot.plans()) == accepted
    assert robot.speed() == 0.0
    robot.executor.instruct("sway")
    goes_on([robot])
