"""What the transitions do, without ROS: what is refused, what is said, what is left behind."""

from __future__ import annotations

import json

import pytest
from cell_fakes import SPEC, FakeLink

from robot_bridge import core as core_module
from robot_bridge.config import BridgeConfig
from robot_bridge.core import Core
from robot_bridge.errors import BridgeError, ConfigError, MismatchError, PlannerError
from robot_bridge.execution.states import State
from robot_bridge.planner.link import LinkEvent
from robot_bridge.stages import BridgeStages


class Link(FakeLink):
    """A planner that is there at once, or differs."""

    mismatch = ""

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__(lambda request: None, 1.0, SPEC)
        self.closed = False

    def start(self) -> None:
        """Nothing to connect to."""

    def poll(self) -> list[LinkEvent]:
        return [LinkEvent("mismatch", self.mismatch)] if self.mismatch else super().poll()

    def close(self) -> None:
        self.closed = True


class Connection:
    """Robot and sensors of a core."""

    def __init__(self, core: Core) -> None:
        self.core, self.closed = core, False

    def close(self) -> None:
        self.core.close()
        self.closed = True


class Bridge:
    """Stages with settings that a test may change."""

    def __init__(self, **settings) -> None:
        self.settings, self.events, self.cores = {"autostart": False, **settings}, [], []
        self.stages = BridgeStages(
            lambda: BridgeConfig(**self.settings), Connection, lambda: 5.0, self.events.append, self.cores.append
        )

    def said(self, name: str) -> list[str]:
        return [happened["detail"] for happened in self.events if happened["event"] == name]


@pytest.fixture(autouse=True)
def link(monkeypatch):
    monkeypatch.setattr(core_module, "PlannerLink", Link)
    monkeypatch.setattr(Link, "mismatch", "")


def test_configured_is_inactive_and_only_activation_allows_motion():
    bridge = Bridge()
    bridge.stages.configure()
    core = bridge.stages.configured
    core.tick()
    assert core.executor.state is State.INACTIVE
    bridge.stages.activate()
    core.tick()
    assert core.executor.state is State.IDLE
    bridge.stages.deactivate()
    core.tick()
    assert core.executor.state is State.INACTIVE
    assert [happened["event"] for happened in bridge.events] == ["started", "connected", "activated", "deactivated"]


def test_a_planner_that_differs_leaves_nothing_behind(monkeypatch):
    bridge = Bridge()
    monkeypatch.setattr(Link, "mismatch", "gripper polarity")
    with pytest.raises(MismatchError, match="gripper polarity"):
        bridge.stages.configure()
    assert bridge.stages.configured is None
    assert bridge.cores[0].link.closed


def test_settings_are_read_anew_and_a_prepared_core_is_used_once():
    bridge = Bridge(max_linear_speed=9.0)
    with pytest.raises(ConfigError, match=r"max_linear_speed: .* m/s"):
        bridge.stages.configure()
    bridge.settings["max_linear_speed"] = 0.1
    prepared = bridge.stages.prepare()
    bridge.stages.configure()
    assert bridge.stages.configured is prepared
    bridge.stages.cleanup()
    assert bridge.stages.configured is None
    assert prepared.link.closed
    bridge.stages.configure()
    assert bridge.stages.configured is not prepared


def test_cleaning_up_waits_for_the_arm(monkeypatch):
    monkeypatch.setattr(core_module, "BRAKING_PATIENCE", 0.0)
    bridge = Bridge()
    bridge.stages.configure()
    monkeypatch.setattr(type(bridge.stages.configured.executor), "at_rest", property(lambda self: False))
    with pytest.raises(BridgeError, match="still moves"):
        bridge.stages.cleanup()
    assert bridge.stages.configured is not None


def test_shutting_down_lets_go_and_ends():
    bridge = Bridge()
    bridge.stages.shutdown()
    assert bridge.stages.ended.is_set()
    bridge = Bridge()
    bridge.stages.configure()
    connection = bridge.stages.connected
    bridge.stages.shutdown()
    assert connection.closed
    assert bridge.stages.ended.is_set()


def test_what_is_refused_is_said_once_and_waiting_is_no_refusal():
    bridge = Bridge()
    for _ in range(2):
        bridge.stages.refused("configure", PlannerError("nobody there"))
    assert bridge.said("transition_refused") == ["configure: nobody there"]
    bridge = Bridge(autostart=True)
    bridge.stages.prepare()
    bridge.stages.refused("configure", PlannerError("nobody there"))
    bridge.stages.refused("configure", MismatchError("gripper"))
    assert bridge.said("waiting") == ["nobody there; trying on"]
    assert bridge.said("transition_refused") == ["configure: gripper"]
    bridge.stages.closing.set()
    bridge.stages.refused("configure", PlannerError("nobody waits"))
    assert len(bridge.events) == 2


def test_every_folder_gets_a_record_of_its_own(tmp_path):
    bridge = Bridge(record=str(tmp_path / "a"))
    bridge.stages.configure()
    bridge.stages.cleanup()
    bridge.stages.configure()
    bridge.stages.cleanup()
    bridge.settings["record"] = str(tmp_path / "b")
    bridge.stages.configure()
    bridge.stages.recorder.close({})
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["plans"] == 0
    assert json.loads((tmp_path / "b" / "run.json").read_text())["robot"] == "panda"
