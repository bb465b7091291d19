from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_bag import START, TYPES, header, image, scene

from robot_bridge.bags.recorded import COMPRESSED, IMAGE, JOINT_STATE, STRING
from robot_bridge.config import BridgeConfig
from robot_bridge.doctor import cameras, cli, gpu, machine, packages, robot, ros, server
from robot_bridge.doctor.check import Cell, Check
from robot_bridge.listening.look import Heard, Look
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import franka
from robot_model.gripper import KNUCKLE_JOINT
from robot_model.ros_names import CAMERAS, JOINT_STATES, arm_topic, camera_topic


def heard(kind: str, last: Any, rate: float = 15.0, lag: float = 0.03) -> Heard:
    count = int(2 * rate) + 1
    return Heard(kind, count, (count - 1) / max(rate, 0.1), [lag] * count, last)


def urdf(name: str, limits_of: str) -> str:
    arm = franka(limits_of)
    joints = [
        f'<joint name="{name}_joint{i + 1}" type="revolute"><limit lower="{low:.4f}" upper="{high:.4f}"/></joint>'
        for i, (low, high) in enumerate(zip(arm.lower, arm.upper, strict=True))
    ]
    return f"<robot>{''.join(joints)}</robot>"


def states(names: str = "panda", joints: np.ndarray = DROID_RESET_JOINTS) -> Any:
    listed = [f"{names}_joint{index}" for index in range(1, 8)] + [KNUCKLE_JOINT]
    return TYPES[JOINT_STATE](header(START), listed, np.append(joints, 0.0), np.zeros(8), np.zeros(0))


def sound() -> dict[str, Heard]:
    """What a stock cell with a Panda says."""
    shots = [image(START, "bgra8", scene((640, 360), index, 0.0)) for index in range(3)]
    said = {camera_topic(role): heard(IMAGE, shot) for role, shot in zip(CAMERAS, shots, strict=True)}
    said[JOINT_STATES] = heard(JOINT_STATE, states(), rate=30.0, lag=0.001)
    said["/robot_description"] = heard(STRING, TYPES[STRING](urdf("panda", "panda")), rate=0.0)
    return said


@pytest.fixture
def cell(tmp_path: Path) -> Any:
    def make(said: dict[str, Heard], subscribers: int = 1, **settings: Any) -> Cell:
        def listen(topics: Iterable[str], seconds: float) -> Look:
            kinds = {name: each.type for name, each in said.items()} | {"/other/image": IMAGE}
            return Look(kinds, {arm_topic("panda"): subscribers}, said, seconds)

        return Cell(BridgeConfig(**settings), 1.0, tmp_path / "cameras.png", listen)

    return make


def found(checks: Iterable[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_sound_cell_passes(cell: Any, tmp_path: Path) -> None:
    here = cell(sound())
    checks = [*cameras.cameras(here), *robot.robot(here)]
    assert {check.name: check.state for check in checks} == dict.fromkeys(found(checks), "ok")
    assert len(checks) == 8
    assert (tmp_path / "cameras.png").stat().st_size > 1000


LEFT = camera_topic("left")
PICTURE = image(START, "rgb8", scene((640, 360), 0, 0.0))


@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        ({LEFT: None}, "camera left", "/other/image"),
        ({LEFT: Heard(IMAGE)}, "camera left", "nothing comes"),
        (
            {LEFT: heard(IMAGE, PICTURE, rate=3.0)},
            "camera left",
            "15 Hz or more",
        ),
        ({LEFT: heard(IMAGE, PICTURE, lag=-3.0)}, "camera left", "chrony"),
        ({LEFT: heard(IMAGE, PICTURE, lag=1.7e9)}, "camera left", "--use-sim-time"),
        ({LEFT: heard(COMPRESSED, image(START, "jpeg", scene((640, 360), 0, 0.0)))}, "camera left", "remap it"),
        ({JOINT_STATES: heard(JOINT_STATE, states(), 30.0, lag=1.7e9)}, "joint states", "--use-sim-time"),
        ({LEFT: heard(IMAGE, PICTURE, lag=0.3)}, "clock skew", "270 ms"),
        ({LEFT: heard(IMAGE, image(START, "rgb8", np.zeros((360, 640, 3), np.uint8)))}, "camera left", "lens cap"),
        ({JOINT_STATES: None}, "joint states", "start the arm's driver"),
        ({JOINT_STATES: heard(JOINT_STATE, states("fr3"), 30.0)}, "joint states", "--robot fr3"),
        ({JOINT_STATES: heard(JOINT_STATE, states(), 5.0)}, "joint states", "30 Hz"),
        ({JOINT_STATES: heard(JOINT_STATE, states(joints=np.full(7, 3.5)), 30.0)}, "joint states", "the other arm"),
        ({"/robot_description": heard(STRING, TYPES[STRING](urdf("fr3", "fr3")))}, "URDF", "is of fr3"),
        ({"/robot_description": heard(STRING, TYPES[STRING](urdf("panda", "fr3")))}, "URDF", "panda_joint6"),
    ],
)
def test_each_fault_is_found_and_told_what_to_do(
    cell: Any, fault: dict[str, Heard | None], name: str, words: str
) -> None:
    said = {topic: each for topic, each in {**sound(), **fault}.items() if each is not None}
    here = cell(said)
    checks = found([*cameras.cameras(here), *robot.robot(here)])
    assert checks[name].state == "missing"
    assert checks[name].advice
    assert words in f"{checks[name].found} {checks[name].advice}"
    others = {check.name for check in checks.values() if check.state == "missing"} - {name}
    assert others <= {"clock skew"}, "one fault, one line; a clock that is far off shows in two"


def test_a_small_picture_and_no_listener_are_told(cell: Any) -> None:
    small = {LEFT: heard(IMAGE, image(START, "rgb8", scene((160, 90), 0, 0.0)))}
    assert found(cameras.cameras(cell({**sound(), **small})))["camera left"].state == "note"
    controller = found(robot.robot(cell(sound(), subscribers=0)))["controller"]
    assert (controller.state, arm_topic("panda") in controller.found) == ("missing", True)


def test_the_gripper_that_is_there_is_looked_for(cell: Any) -> None:
    said = sound()
    hand = cell(said, gripper="franka_hand")
    check = found(robot.robot(hand))["joint states"]
    assert (check.state, "panda_finger_joint1" in check.found) == ("note", True)
    said[JOINT_STATES].last.name[-1] = "panda_finger_joint1"
    assert found(robot.robot(cell(said, gripper="franka_hand")))["joint states"].state == "ok"


def test_the_controller_manager_is_asked_where_it_can_be(cell: Any) -> None:
    here = cell(sound())
    name = "panda_arm_controller"
    for states, state in (({name: "active"}, "ok"), ({name: "inactive"}, "missing"), ({}, "missing"), (None, "ok")):
        here.controllers = lambda states=states: states
        check = found(robot.robot(here))["controller"]
        assert check.state == state
        assert state == "ok" or f"set_controller_state {name} active" in check.advice


def test_what_cannot_be_looked_at_counts_only_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cell: Any
) -> None:
    nobody = Cell(BridgeConfig(), listen=lambda topics, seconds: Look({"/rosout": "x"}, {}, {}, seconds))
    monkeypatch.setattr(cli, "_cell", lambda arguments: nobody)
    assert cli.main(["--part", "cameras"]) == 1
    assert "no ROS graph found" in capsys.readouterr().out
    monkeypatch.setattr(cli, "PARTS", {"cameras": cli.PARTS["cameras"], "robot": cli.PARTS["robot"]})
    assert cli.main([]) == 0
    assert cli.main(["--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {check["state"] for check in report["checks"]} == {"skipped"}


def test_the_server_its_keys_and_its_silence(cell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plan_protocol.keys_cli import make_keys

    monkeypatch.setattr(server, "ANSWER", 0.3)
    silent = found(server.server(cell({}, server="tcp://127.0.0.1:9")))
    assert silent["server"].state == "skipped", "on this machine it may simply not run"
    assert "vidplan serve" in silent["server"].advice
    nowhere = found(server.server(cell({}, server="gpu")))["server"]
    assert (nowhere.state, "expected tcp://HOST:PORT" in nowhere.found) == ("missing", True)
    make_keys(tmp_path / "keys", "cell")
    own = tmp_path / "keys/cell"
    assert server.keys(cell({}, curve_keys=str(own))).state == "ok"
    (own / "cell.key_secret").chmod(0o644)
    assert "chmod 600" in server.keys(cell({}, curve_keys=str(own))).advice
    assert server.keys(cell({}, curve_keys=str(tmp_path / "none"))).state == "missing"
    assert server.keys(cell({}, server="tcp://gpu:5555")).state == "note"


def test_missing_things_are_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(code: str) -> subprocess.CompletedProcess[str]:
        error = "ModuleNotFoundError: No module named 'rclpy'" if "rclpy" in code else "ImportError: libgomp.so.1"
        return subprocess.CompletedProcess([], 1, "", error)

    for part in (packages, ros, gpu):
        monkeypatch.setattr(part, "python_says", broken)
    monkeypatch.setitem(packages.EXTRAS, "core", ("numpy", "no-such-package"))
    monkeypatch.setattr(machine, "disk", lambda: 1 / 0)
    assert cli.main(["--part", "machine", "--part", "packages", "--part", "ros"]) == 1
    text = capsys.readouterr().out
    for words in ("libgomp1", "source /opt/ros/jazzy/setup.bash", "without no-such-package", "division by zero"):
        assert words in text


def test_wheels_beside_a_sourced_ros_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros.metadata, "version", lambda name: "7.1.6")
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert ros.mixture().state == "missing"
    monkeypatch.delenv("ROS_DISTRO")
    assert ros.mixture().state in ("ok", "note")


def test_a_graphics_card_is_asked_for_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.shutil, "which", lambda name: f"/usr/bin/{name}")
    for free, state in (("40960", "ok"), ("512", "note")):
        answer = subprocess.CompletedProcess([], 0, f"NVIDIA H100, {free}, 81920\n", "")
        monkeypatch.setattr(gpu.subprocess, "run", lambda *a, answer=answer, **k: answer)
        check = gpu.memory()
        assert (check.state, "of 80 GB free" in check.found) == (state, True)


def test_the_kernel_and_the_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = Cell(BridgeConfig())
    monkeypatch.setattr(machine, "REALTIME", tmp_path / "realtime")
    assert found(machine.realtime(here))["real-time kernel"].state == "skipped"
    (tmp_path / "realtime").write_text("1\n")
    monkeypatch.setattr(machine.resource, "getrlimit", lambda which: (0, 0))
    assert "rtprio 99" in found(machine.realtime(here))["real-time kernel"].advice
    monkeypatch.setattr(machine.resource, "getrlimit", lambda which: (99, 99))
    assert found(machine.realtime(here))["real-time kernel"].state == "ok"

    monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/chronyc" if name == "chronyc" else None)
    for text, state in (("Leap status     : Normal", "ok"), ("Leap status     : Not synchronised", "missing")):
        answer = subprocess.CompletedProcess([], 0, text, "")
        monkeypatch.setattr(machine.subprocess, "run", lambda *a, answer=answer, **k: answer)
        assert found(machine.time_service(here))["clock"].state == state


@pytest.mark.parametrize(("wish", "state"), [({}, "note"), ({"realtime_priority": 20}, "missing")])
def test_a_bridge_that_may_not_go_first_is_told_what_to_do(monkeypatch, wish, state):
    asked = []

    def refused(code: str) -> subprocess.CompletedProcess:
        asked.append(code)
        return subprocess.CompletedProcess([], 1, "", "PermissionError: not permitted\n")

    monkeypatch.setattr(machine, "python_says", refused)
    check = machine.priority(Cell(BridgeConfig(**wish)))
    assert check.state == state
    assert f"sched_param({wish.get('realtime_priority', 10)})" in asked[0]
    assert "not permitted" in check.found
    for word in ("limits.conf", "docker/compose.yaml", "--realtime-priority 10"):
        assert word in check.advice
    monkeypatch.setattr(machine, "python_says", lambda code: subprocess.CompletedProcess([], 0, "", ""))
    assert machine.priority(Cell(BridgeConfig(**wish))).state == "ok"
