"""Drills with a real server process: killed, frozen, slow, late, wrong, answering twice, shared by two robots.

The robots' clock is simulated and runs faster than the wall's; what is promised is promised in the robot's time. Every
message is judged by `adversary.Judge`. How soon the arm holds after each fault is measured with a made-up server that
shares the robot's clock, in the last tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from adversary import Judge
from cell_fakes import FakeCell, make_plan, straight
from faulty_server import WRONG, ServerProcess
from ros_planner import free_address

from plan_protocol.connection import PINGS
from plan_protocol.messages import ErrorReply
from robot_bridge.config import BridgeConfig
from robot_bridge.execution.commanded import Command
from robot_bridge.execution.executor import Executor
from robot_bridge.execution.states import State
from robot_bridge.planner.link import PlannerLink
from robot_bridge.ros.connected import WATCH_PERIOD
from robot_model.conventions import DROID_RESET_JOINTS

GIVE_UP = 120.0
"""Seconds of wall clock."""

FAST = 12.0
"""Robot seconds per second of wall clock, about."""

KNOWN = 0.12
"""Seconds within which a frozen server is known to be lost, as the documentation says."""

AT_REST = {0.0: 0.3, KNOWN: 0.35}
"""Seconds after which it is known that the server was killed, or frozen -> seconds after which the arm stands still."""

STEP = np.array([0.04, 0.0, -0.02, 0.0, 0.0, 0.1, 0.0])


class Robot(FakeCell):
    """A cell whose planner is a real server, somewhere else."""

    def __init__(self, address: str, name: str = "robot", joints: np.ndarray = DROID_RESET_JOINTS, **settings: object):
        # A ping of the default silence may stay unanswered where many tests share few cores.
        settings = {"server_silence": 1.0, "instruction": "sway", "server": address, "robot_id": name, **settings}
        super().__init__(lambda request: None, 0.0, joints, **settings)
        self.link = PlannerLink(self.config)
        self.executor = Executor(self.config, self.link, self.senser, self.events.append)
        self.judge = Judge(self)
        self.link.start()

    def step(self, seconds: float | None = None) -> list[Command]:
        commands = super().step(seconds)
        for command in commands:
            if command.trajectory is not None:
                self.judge.look(self, command.trajectory)
        return commands

    def plans(self) -> list[dict]:
        return [event for event in self.events if event["event"] == "plan"]

    def reasons(self, name: str) -> list[str]:
        return [event["reason"] for event in self.events if event["event"] == name]


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


class FaultyCell(FakeCell):
    """A cell whose made-up server goes wrong when told to; every message is judged."""

    def __init__(self, rate: float) -> None:
        super().__init__(self._answer, 0.3, control_rate=rate, request_timeout=2.0)
        self.judge = Judge(self)
        self.fault = ""
        self._count = 0

    def _answer(self, request):
        if self.fault == "error":
            return ErrorReply("internal", "out of memory", True)
        self._count += 1
        plan = make_plan(request, straight(request, STEP if (self._count - 1) // 2 % 2 == 0 else -STEP))
        return WRONG[self.fault](plan) if self.fault else plan

    def step(self, seconds: float | None = None) -> list[Command]:
        commands = super().step(seconds)
        for command in commands:
            if command.trajectory is not None:
                self.judge.look(self, command.trajectory)
        return commands

    def silence(self) -> None:
        """No request is answered any more."""
        self.link.latency = np.inf
        self.link.waiting = {number: (np.inf, request) for number, (_, request) in self.link.waiting.items()}


@pytest.fixture
def moving(request: pytest.FixtureRequest) -> FaultyCell:
    cell = FaultyCell(getattr(request, "param", 15.0))
    cell.run_until(lambda: cell.speed() > 0.4)
    return cell


def test_a_silent_server_is_known_in_time():
    asked: list[dict] = []

    def client(*_: object, **timeouts: float) -> None:
        asked.append(timeouts)
        raise ConnectionError

    for config in (BridgeConfig(), BridgeConfig(use_sim_time=True), BridgeConfig(dry_run=True)):
        with pytest.raises(ConnectionError):
            PlannerLink(config, client).start()
    live, simulated, dry = asked
    # The server may be stopped just after it answered a ping.
    assert live["ping_timeout"] * (1 + 1 / PINGS) + WATCH_PERIOD <= KNOWN + 1e-9
    assert live["ping_timeout"] < simulated["ping_timeout"] < dry["ping_timeout"]
    assert min(dry["ping_timeout"], dry["heartbeat_timeout"]) >= 1.0, (
        "nothing moves: a replay is not given up for a hiccup"
    )


@pytest.mark.parametrize("moving", [15.0, 100.0], ids=["15 Hz", "100 Hz"], indirect=True)
@pytest.mark.parametrize("known", [0.0, KNOWN], ids=["killed", "frozen"])
def test_the_arm_stands_still_in_time_after_the_server_is_killed_or_frozen(moving: FaultyCell, known: float):
    moving.silence()
    stopped, period = moving.time, moving.config.control_period
    for _ in range(int(known / period)):
        moving.step()
    moving.link.up = False
    moving.step(stopped + known - moving.time)  # the loss does not wait for a tick
    moving.run(stopped + AT_REST[known] - moving.time - period)
    moving.step(stopped + AT_REST[known] - moving.time)
    assert moving.speed() == 0.0
    assert moving.executor.state is State.HOLDING
    held = moving.arm.state(moving.time)[0]
    moving.run(1.0)
    assert (moving.arm.state(moving.time)[0] == held).all(), "it holds"
    moving.link.latency, moving.link.up = 0.3, True
    moving.run_until(lambda: moving.speed() > 0.1)


@pytest.mark.parametrize("fault", ["slow", "error", "jump", "nan", "other observation", "short"])
def test_without_another_good_plan_the_arm_follows_the_judged_one_and_stands_still_at_its_end(moving, fault: str):
    if fault == "slow":
        moving.silence()
    else:
        moving.fault = fault
    end = moving.executor.motion.schedule.end
    moving.run(end - moving.time + 2 * moving.config.control_period)
    assert moving.executor.motion.schedule.end == end, "nothing else was followed"
    assert moving.speed() == 0.0
    assert moving.executor.state is State.HOLDING
    moving.run(1.0)
    assert moving.speed() == 0.0
    moving.fault, moving.link.latency = "", 0.3
    moving.run_until(lambda: moving.speed() > 0.1)
