"""Recovery after reflex and user stop, against a robot that refuses the wrong order."""

from __future__ import annotations

import pytest

from robot_bridge.backends.recovery import ATTEMPTS, IN_WORDS, PATIENCE, Phase, Recovery, RobotMode


class Robot:
    """A driver whose steps take a while and only work in the right order."""

    def __init__(self, mode: RobotMode, hardware: bool = False, controller: bool = False) -> None:
        self.mode, self.hardware, self.controller = mode, hardware, controller
        self.asked: list[str] = []
        self.deaf = False
        self._due: list = []

    def robot_mode(self) -> RobotMode:
        return self.mode

    def hardware_active(self) -> bool:
        return self.hardware

    def controller_active(self) -> bool:
        return self.controller

    def recover_errors(self) -> None:
        assert self.mode is not RobotMode.USER_STOPPED, "a pressed user stop cannot be recovered from"
        self._ask("recover", lambda: setattr(self, "mode", RobotMode.IDLE))

    def activate_hardware(self) -> None:
        assert self.mode is RobotMode.IDLE, "hardware cannot be activated while errors stand"
        self._ask("activate", lambda: setattr(self, "hardware", True))

    def switch_controller(self) -> None:
        assert self.hardware, "controllers cannot be switched on inactive hardware"
        self._ask("switch", lambda: setattr(self, "controller", True))

    def take_effect(self) -> None:
        for effect in self._due if not self.deaf else []:
            effect()
        self._due = []

    def _ask(self, name: str, effect) -> None:
        self.asked.append(name)
        self._due.append(effect)


def run(recovery: Recovery, robot: Robot, steps: int = 20) -> list[Phase]:
    phases = []
    for k in range(steps):
        phases.append(recovery.step(0.5 * k))
        if k % 3 == 2:
            robot.take_effect()
    return phases


@pytest.mark.parametrize("mode", [RobotMode.REFLEX, RobotMode.OTHER])
def test_errors_hardware_controller_in_that_order_each_asked_once(mode):
    robot = Robot(mode)
    phases = run(Recovery(robot), robot)
    assert robot.asked == ["recover", "activate", "switch"]
    assert phases[0] is Phase.CLEARING_ERRORS
    assert phases[-1] is Phase.READY


def test_only_what_is_missing_is_done():
    robot = Robot(RobotMode.IDLE, hardware=True)
    run(Recovery(robot), robot)
    assert robot.asked == ["switch"]
    robot = Robot(RobotMode.MOVE, hardware=True, controller=True)
    assert run(Recovery(robot), robot)[0] is Phase.READY
    assert not robot.asked


def test_a_pressed_user_stop_is_left_to_a_person_and_then_goes_on():
    robot = Robot(RobotMode.USER_STOPPED)
    recovery = Recovery(robot)
    assert set(run(recovery, robot)) == {Phase.USER_STOPPED}
    assert not robot.asked
    robot.mode = RobotMode.REFLEX
    assert run(recovery, robot)[-1] is Phase.READY
    assert robot.asked == ["recover", "activate", "switch"]


def test_the_user_stop_in_the_middle_is_noticed():
    robot = Robot(RobotMode.REFLEX)
    recovery = Recovery(robot)
    recovery.step(0.0)
    robot.mode = RobotMode.USER_STOPPED
    assert recovery.step(0.1) is Phase.USER_STOPPED


def test_a_step_without_effect_is_tried_a_few_times_then_left_to_a_person():
    robot = Robot(RobotMode.REFLEX)
    robot.deaf = True
    recovery = Recovery(robot)
    for k in range(ATTEMPTS + 2):
        phase = recovery.step(k * (PATIENCE + 0.1))
    assert phase is Phase.FAILED
    assert robot.asked == ["recover"] * ATTEMPTS
    robot.deaf = False
    recovery.retry()
    robot.asked.clear()
    assert run(recovery, robot)[-1] is Phase.READY


def test_every_phase_says_what_to_do():
    assert set(IN_WORDS) == set(Phase)
