"""How soon the arm stands still after each fault of the planner: a made-up server that shares the robot's clock."""

from __future__ import annotations

import numpy as np
import pytest
from cell_fakes import make_plan, straight
from command_judge import JudgedCell
from faulty_server import WRONG

from plan_protocol.connection import PINGS
from plan_protocol.messages import ErrorReply
from robot_bridge.config import BridgeConfig
from robot_bridge.execution.states import State
from robot_bridge.planner.link import PlannerLink
from robot_bridge.ros.connected import WATCH_PERIOD

KNOWN = 0.12
"""Seconds within which a frozen server is known to be lost, as the documentation says."""

AT_REST = {0.0: 0.3, KNOWN: 0.35}
"""Seconds after which it is known that the server was killed, or frozen -> seconds after which the arm stands still."""

STEP = np.array([0.04, 0.0, -0.02, 0.0, 0.0, 0.1, 0.0])


class FaultyCell(JudgedCell):
    """A cell whose made-up server goes wrong when told to; every message is judged."""

    def __init__(self, rate: float) -> None:
        super().__init__(self._answer, 0.3, control_rate=rate, request_timeout=2.0)
        self.fault = ""
        self._count = 0

    def _answer(self, request):
        if self.fault == "error":
            return ErrorReply("internal", "out of memory", True)
        self._count += 1
        plan = make_plan(request, straight(request, STEP if (self._count - 1) // 2 % 2 == 0 else -STEP))
        return WRONG[self.fault](plan) if self.fault else plan

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
