"""The configured bridge without ROS: what it takes, what it says of its health, how it stops."""

from __future__ import annotations

import numpy as np
import pytest
from cell_fakes import SPEC

from robot_bridge.backends.recovery import Phase
from robot_bridge.config import BridgeConfig
from robot_bridge.core import Core
from robot_bridge.errors import ImageError
from robot_bridge.execution.states import State
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.ros.diagnostics import ERROR, OK, STALE, WARN, Health, examine
from robot_bridge.sensing.arrivals import Arrivals
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import PANDA


class Clock:
    """The robot's time."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A recovery that says what it is told."""

    phase, fallen, against = Phase.READY, None, None

    def step(self, now: float) -> Finding | None:
        return self.fallen

    def objection(self) -> Finding | None:
        return self.against

    def begin(self) -> tuple[bool, str]:
        return True, "clearing"


@pytest.fixture
def bridge():
    clock, events = Clock(), []
    core = Core(BridgeConfig(instruction="wave"), clock, events.append)
    core.events = events
    return core


def feed(core: Core, now: float, cameras=("left", "right", "wrist")) -> None:
    """One frame of each camera and a joint state."""
    for role in cameras:
        core.intake.image(role, now, lambda: np.zeros((12, 20, 3), np.uint8))
    core.intake.joint_state(now, PANDA.joint_names, DROID_RESET_JOINTS.tolist(), [0.0] * 7)


def health(core: Core, label: str = "active", controllers: int | None = 1) -> dict[str, Health]:
    return {entry.name: entry for entry in examine(core, label, controllers)}


def test_nothing_happens_before_simulated_time_begins_or_after_the_end(bridge):
    bridge.tick()
    assert not bridge.events
    bridge.clock.now = 5.0
    bridge.tick()
    assert [entry["event"] for entry in bridge.events] == ["started"]
    bridge.close()
    bridge.clock.now = 6.0
    bridge.tick()
    assert bridge.now == 5.0


def test_every_refused_message_is_counted_and_each_kind_said_once(bridge):
    bridge.clock.now = 5.0

    def broken() -> np.ndarray:
        raise ImageError("no such encoding")

    for _ in range(3):
        bridge.intake.image("left", 5.0, broken)
        bridge.intake.joint_state(5.0, ["ur5_joint"], [0.0], [])
    bridge.intake.image("right", 0.0, lambda: np.zeros((12, 20, 3), np.uint8))
    bridge.tick()
    said = [entry["reason"] for entry in bridge.events if entry["event"] == "reject"]
    assert said == ["image", "joints_missing", "no_stamp"]
    assert bridge.executor.rejected == {"image": 3, "joints_missing": 3, "no_stamp": 1}


def test_health_names_what_is_missing_and_what_is_well(bridge):
    bridge.clock.now = 5.0
    bridge.tick()
    before = health(bridge, "inactive", 0)
    assert (before["lifecycle"].level, before["camera left"].level, before["joint states"].level) == (
        WARN,
        STALE,
        STALE,
    )
    assert (before["server"].level, before["controller"].level) == (ERROR, ERROR)
    assert "/panda_arm_controller/joint_trajectory" in before["controller"].message

    for k in range(11):
        bridge.clock.now = 5.0 + k / 10
        feed(bridge, bridge.clock.now, ("left", "right", "wrist") if k < 5 else ("left", "right"))
    bridge.tick()
    now = health(bridge)
    assert {now[name].level for name in ("lifecycle", "camera left", "joint states", "controller", "guard")} == {OK}
    assert now["camera left"].values["rate [Hz]"] == "10.0"
    assert now["camera left"].values["size [px]"] == "20x12"
    assert now["camera wrist"].level == ERROR

    bridge.clock.now += 0.3
    assert now["watchdog"].level == OK
    assert (health(bridge)["watchdog"].level, health(bridge)["watchdog"].values["last tick [s]"]) == (ERROR, "0.300")
    bridge.executor.stop(Finding(Reason.STOPPED, "by hand"))
    assert (health(bridge)["guard"].level, health(bridge)["guard"].message) == (ERROR, "STOPPED (stopped): by hand")
    assert [entry.name for entry in examine(None, "unconfigured", None)] == ["lifecycle"]


def test_an_arm_that_is_held_is_the_watchdogs_warning(bridge):
    bridge.clock.now = 5.0
    bridge.tick()
    bridge.executor.state, bridge.executor.hold_reason = State.HOLDING, Reason.SERVER_LOST
    entry = health(bridge)["watchdog"]
    assert (entry.level, entry.message) == (WARN, "holds the arm (server_lost)")
    assert health(bridge)["guard"].level == OK


def test_a_slow_camera_is_a_warning(bridge):
    bridge.link._spec = SPEC
    for k in range(5):
        bridge.clock.now = 5.0 + 0.4 * k
        feed(bridge, bridge.clock.now)
    bridge.tick()
    entry = health(bridge)["camera left"]
    assert (entry.level, entry.message) == (WARN, "2.5 Hz; the planner wants 5")


def test_a_fallen_arm_stops_the_bridge_and_is_in_the_way_of_rearming(bridge):
    bridge.recovery = desk = Desk()
    bridge.clock.now = 5.0
    feed(bridge, 5.0)
    desk.fallen = Finding(Reason.ROBOT_REFLEX, "bumped")
    bridge.tick()
    bridge.tick()
    assert bridge.executor.state is State.STOPPED
    assert bridge.executor.rejected["robot_reflex"] == 1
    desk.fallen, desk.against, desk.phase = None, Finding(Reason.ROBOT_NOT_READY, "hardware"), Phase.ACTIVATING_HARDWARE
    assert bridge.rearm().reason is Reason.ROBOT_NOT_READY
    assert health(bridge)["controller"].level == ERROR
    assert bridge.recover() == (True, "clearing")
    desk.against, desk.phase = None, Phase.READY
    assert bridge.rearm() is None
    bridge.tick()
    assert bridge.executor.state is State.INACTIVE, "re-arming does not activate"


def test_a_bridge_without_recovery_says_so(bridge):
    asked, words = bridge.recover()
    assert not asked
    assert "recovery" in words


def test_rates_are_of_the_stamps():
    arrivals = Arrivals()
    assert arrivals.rate == 0.0
    assert arrivals.age(1.0) == np.inf
    for k in range(40):
        arrivals.add(10.0 + 0.05 * k, (12, 20))
    assert arrivals.rate == pytest.approx(20.0)
    assert arrivals.age(12.0) == pytest.approx(0.05)
    arrivals.add(1.0)
    assert arrivals.rate == 0.0, "the clock was set back"
    assert arrivals.count == 41
