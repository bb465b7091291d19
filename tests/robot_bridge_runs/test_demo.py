from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robot_bridge.onlooker import Onlooker, goal_object


@pytest.mark.parametrize(
    ("instruction", "goal"),
    [
        ("put the carrot in the bowl", "carrot"),
        ("Put the measuring tape into the bowl", "measuring tape"),
        ("place a fish on the table", "fish"),
        ("wave", None),
    ],
)
def test_the_goal_of_an_instruction(instruction: str, goal: str | None) -> None:
    assert goal_object(instruction) == goal


def test_an_onlooker_tells_plans_and_keeps_the_truth(tmp_path: Path) -> None:
    onlooker = Onlooker(tmp_path / "truth.jsonl")
    assert onlooker.distance is None
    truth = {"t": 5.0, "target": "pea", "objects": {"pea": [0.5, 0.0, 0.0]}, "pinch": [0.5, 0.3, 0.4], "success": True}
    onlooker.see_truth(json.dumps({**truth, "first_object": "pea"}))
    plan = {"event": "plan", "t": 5.0, "plan": 3, "candidates": [{"name": "+x", "reward": 0.25}], "chosen": 0}
    plan |= {"refined": True, "uncertainty": 0.4, "latency_ms": 512.0, "accepted": True}
    line = onlooker.hear(json.dumps(plan))
    assert line is not None
    for words in ("plan   3", "+x + refined", "+0.250", "0.40", "512 ms", "50.0 cm to the pea"):
        assert words in line
    refused = onlooker.hear(json.dumps({**plan, "accepted": False}))
    assert refused is not None
    assert refused.endswith("REFUSED")
    assert onlooker.outcome() == {"success": True, "first_object": "pea", "target": "pea", "final_distance": 0.5}
    onlooker.close()
    assert json.loads((tmp_path / "truth.jsonl").read_text())["target"] == "pea"


def test_a_task_counts_as_done_only_as_long_as_it_stays_done(tmp_path: Path) -> None:
    onlooker, lasted = Onlooker(tmp_path / "truth.jsonl"), []
    for t, done in ((1.0, False), (2.0, True), (2.6, True), (3.0, False), (4.0, True), (5.5, True)):
        onlooker.see_truth(json.dumps({"t": t, "success": done}))
        lasted.append(onlooker.done_for)
    onlooker.close()
    assert lasted == pytest.approx([0.0, 0.0, 0.6, 0.0, 0.0, 1.5])


def test_time_without_a_planner_does_not_count(tmp_path: Path) -> None:
    onlooker = Onlooker(tmp_path / "truth.jsonl")

    def at(time: float, name: str = "") -> float:
        onlooker.see_truth(json.dumps({"t": time}))
        if name:
            onlooker.hear(json.dumps({"t": time, "event": name}))
        return onlooker.lasted

    assert at(3.0) == 0.0
    assert at(10.0, "started") == 0.0
    assert math.isclose(at(14.0, "server_lost"), 4.0)
    assert math.isclose(at(30.0), 4.0)
    assert math.isclose(at(34.0, "server_back"), 4.0)
    assert math.isclose(at(36.0), 6.0)
    onlooker.close()


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("replay")
def test_a_short_demo_survives_the_death_of_its_planner(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2: a sourced installation, or the wheels of extra 'ros'")
    pytest.importorskip("torch", reason="the planner server needs torch")
    pytest.importorskip("mujoco", reason="needs the simulated cell")
    from models.testing import random_bundle

    out, told = tmp_path / "run", tmp_path / "told.log"
    command = [sys.executable, "-m", "vidplan", "demo", "--seconds", "6", "--out", str(out)]
    with told.open("w") as log:
        demo = subprocess.Popen([*command, "--bundle", str(random_bundle(tmp_path))], stdout=log, stderr=log)
        try:
            _wait_for("plan   2", told, demo)
            _kill_server(demo.pid)
            assert demo.wait(330) == 0, told.read_text()
        finally:
            if demo.poll() is None:
                demo.send_signal(signal.SIGINT)
                demo.wait(30)
    said = told.read_text()
    for words in ("'vidplan serve' ended with code -9; starting it again", "HOLDING", "moving again", "report:"):
        assert words in said, said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["plans"] >= 3
    assert summary["holds"] >= 1
    assert summary["success"] in (True, False)
    assert {"instruction", "first_object", "median_plan_ms", "p95_plan_ms", "rejected"} <= set(summary)
    assert (out / "truth.jsonl").stat().st_size > 0
    assert (out / "video.mp4").stat().st_size > 1000
    assert not _children(demo.pid), "a child was left running"


def _wait_for(words: str, log: Path, demo: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while words not in log.read_text():
        assert demo.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _kill_server(parent: int) -> None:
    [server] = [pid for pid in _children(parent) if b"\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(server, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == parent:
            found.append(int(status.parent.name))
    return found
