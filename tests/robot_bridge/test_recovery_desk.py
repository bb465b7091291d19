"""Recovery as the bridge uses it: it stops by itself, recovers when asked, and re-arms only when all is well."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from test_recovery import Robot

from robot_bridge.backends.franka_ros2 import FrankaRos2
from robot_bridge.backends.interfaces import BackendError
from robot_bridge.backends.recovery import Phase, RobotMode
from robot_bridge.backends.recovery_desk import RecoveryDesk
from robot_bridge.guard.reasons import Reason


class Driver(Robot):
    """The robot of `test_recovery` that may not have said anything yet."""

    heard = True

    def known(self) -> bool:
        return self.heard

    def refresh(self, now: float) -> None:
        """Nothing to ask: its states are its own."""


def desk_of(driver: Driver) -> tuple[RecoveryDesk, list[str]]:
    said: list[str] = []
    return RecoveryDesk(driver, said.append), said


def test_a_reflex_stops_the_bridge_and_recovery_waits_for_a_person():
    driver = Driver(RobotMode.MOVE, hardware=True, controller=True)
    desk, said = desk_of(driver)
    assert desk.step(0.0) is None
    driver.mode = RobotMode.REFLEX
    driver.hardware = driver.controller = False
    assert desk.step(1.0).reason is Reason.ROBOT_REFLEX
    assert desk.objection().reason is Reason.ROBOT_NOT_READY
    for k in range(10):
        desk.step(2.0 + k)
    assert not driver.asked, "nobody has asked for it"

    began, words = desk.begin()
    assert began
    assert "does not move" in words
    for k in range(12):
        desk.step(20.0 + k)
        driver.take_effect()
    assert driver.asked == ["recover", "activate", "switch"]
    assert desk.phase is Phase.READY
    assert desk.objection() is None
    assert len(said) >= 4


@pytest.mark.parametrize(
    ("change", "words"),
    [({"controller": False}, "controller"), ({"hardware": False}, "hardware"), ({"mode": RobotMode.OTHER}, "Desk")],
)
def test_a_driver_that_falls_out_of_order_stops_the_bridge_once_it_was_in_order(change, words):
    driver = Driver(RobotMode.IDLE)
    desk, _ = desk_of(driver)
    assert desk.step(0.0) is None, "it starts up: its controllers come one after another"
    driver.hardware = driver.controller = True
    assert desk.step(1.0) is None
    vars(driver).update(change)
    finding = desk.step(2.0)
    assert finding is not None
    assert finding.reason is Reason.BACKEND_ERROR
    assert words in finding.detail
    assert desk.objection() is not None
    assert not driver.asked
    assert desk.begin()[0]
    for k in range(9):
        assert desk.step(3.0 + k) is None, "on its way back it is not stopped again"
        driver.take_effect()
    assert desk.objection() is None


def test_a_pressed_user_stop_is_for_a_person():
    driver = Driver(RobotMode.USER_STOPPED)
    desk, _ = desk_of(driver)
    assert desk.step(0.0).reason is Reason.USER_STOPPED
    began, words = desk.begin()
    assert not began
    assert "release" in words
    assert not driver.asked


def test_a_driver_that_says_nothing_is_in_nobodys_way():
    driver = Driver(RobotMode.OTHER)
    driver.heard = False
    desk, _ = desk_of(driver)
    assert desk.step(0.0) is None
    assert desk.objection() is None
    began, words = desk.begin()
    assert not began
    assert "driver_namespace" in words


class Interface:
    """A generated ROS type: takes any fields, and may have parts."""

    def __init__(self, **values) -> None:
        self.__dict__.update(target_state=SimpleNamespace(id=0, label=""), **values)

    Goal = Request = None


Interface.Goal = Interface.Request = Interface


class Node:
    """An rclpy node whose services answer at once."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.called: list[tuple[str, Interface]] = []
        self.state = None

    def create_subscription(self, kind, topic, callback, depth, raw):
        assert raw, "1 kHz of messages are not decoded one by one"
        self.topic, self.state = topic, callback

    def create_client(self, kind, name):
        def call(request):
            self.called.append((name, request))
            future = SimpleNamespace(result=lambda: self.answers[name])
            return SimpleNamespace(add_done_callback=lambda take: take(future))

        return SimpleNamespace(service_is_ready=lambda: name in self.answers, call_async=call)


@pytest.fixture
def messages(monkeypatch):
    names = {
        "franka_msgs.msg": ["FrankaRobotState"],
        "franka_msgs.action": ["ErrorRecovery"],
        "controller_manager_msgs.srv": [
            *("SetHardwareComponentState", "SwitchController", "ListHardwareComponents", "ListControllers")
        ],
    }
    for module, kinds in names.items():
        fake = ModuleType(module)
        for kind in kinds:
            setattr(fake, kind, Interface)
        monkeypatch.setitem(sys.modules, module, fake)
        monkeypatch.setitem(sys.modules, module.split(".")[0], ModuleType(module.split(".")[0]))


def test_the_driver_is_asked_in_its_own_words(messages):
    node, goals = Node(), []
    port = FrankaRos2(
        node, "lab1", "fr3_arm_controller", SimpleNamespace(send=goals.append), lambda raw, kind: SimpleNamespace(**raw)
    )
    assert node.topic == "/lab1/franka_robot_state_broadcaster/robot_state"
    assert not port.known()
    node.state({"robot_mode": 4})
    hardware = SimpleNamespace(name="FrankaHardwareInterface", state=SimpleNamespace(label="inactive"))
    controller = SimpleNamespace(name="fr3_arm_controller", state="inactive")
    manager = "/lab1/controller_manager"
    node.answers = {
        f"{manager}/list_hardware_components": SimpleNamespace(component=[hardware]),
        f"{manager}/list_controllers": SimpleNamespace(controller=[controller]),
    }
    port.refresh(0.0)
    assert port.known()
    assert (port.robot_mode(), port.hardware_active(), port.controller_active()) == (RobotMode.REFLEX, False, False)
    port.recover_errors()
    port.activate_hardware()
    port.switch_controller()
    assert len(goals) == 1
    (_, activate), (_, switch) = node.called[-2:]
    assert (activate.name, activate.target_state.label) == ("FrankaHardwareInterface", "active")
    assert (switch.activate_controllers, switch.strictness) == (["fr3_arm_controller"], 2)
    hardware.state.label, controller.state = "active", "active"
    node.state({"robot_mode": 1})
    port.refresh(0.1)
    assert not port.hardware_active(), "the manager is not asked more often than needed"
    port.refresh(1.0)
    assert (port.robot_mode(), port.hardware_active(), port.controller_active()) == (RobotMode.IDLE, True, True)


def test_missing_messages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "franka_msgs.msg", None)
    with pytest.raises(BackendError, match="franka_msgs"):
        FrankaRos2(Node(), "", "fr3_arm_controller", None, lambda raw, kind: raw)
