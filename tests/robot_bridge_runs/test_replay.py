"""Replays from bag to report, with a random bundle: the parts are real, only the weights are not trained."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bag_surgery import LEFT, rewrite
from foreign_bag import write_foreign

pytest.importorskip("rclpy", reason="needs ROS 2: a sourced installation, or the wheels of extra 'ros'")
pytest.importorskip("torch", reason="the planner server needs torch")

from robot_bridge.bags import cli as bag_cli
from robot_bridge.bags.episode import load_episode
from robot_bridge.bags.from_episode import write_bag
from robot_bridge.children import Child, ChildError
from robot_bridge.isolation import isolated
from robot_bridge.replay import cli as replay
from robot_model.ros_names import JOINT_STATES

pytestmark = pytest.mark.xdist_group("replay")


@pytest.fixture(autouse=True)
def own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in isolated().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from models.testing import random_bundle

    folder = tmp_path_factory.mktemp("server")
    options = ["--bundle", str(random_bundle(folder)), "--address", "tcp://127.0.0.1:*", "--iterations", "1"]
    child = Child("serve", [*options, "--threads", "1"], folder / "serve.log")
    yield child.wait_for(r"^ready\s+(tcp://\S+)", 120).group(1)
    child.stop()
    assert child.process.returncode == 0, "the server must end cleanly on SIGINT"


@pytest.fixture(scope="module")
def bag(make_episode: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bag")
    write_bag(load_episode(make_episode(root, frames=17), "panda"), "panda", "put the carrot in the bowl", root / "x")
    return root / "x"


def run(bag: Path, out: Path, *options: str) -> tuple[int, dict]:
    code = replay.main([str(bag), "--out", str(out), *options])
    return code, json.loads((out / "summary.json").read_text())


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_replay_plans_every_second_and_sends_nothing(server: str, bag: Path, tmp_path: Path) -> None:
    code, summary = run(bag, tmp_path / "run", "--server", server)
    assert code == 0
    assert summary["seconds"] == pytest.approx(3.24, abs=0.05)
    stamps = [event["observation_stamp"] for event in lines(tmp_path / "run/events.jsonl") if event["event"] == "plan"]
    assert summary["plans"] == len(stamps)
    begin = min(int(path.stem) for path in (tmp_path / "run/frames").iterdir()) / 1e9
    assert {int(stamp - begin) for stamp in stamps} >= {0, 1, 2}, "a second of footage went by without a plan"
    assert summary["median_plan_ms"] <= summary["p95_plan_ms"]
    assert summary["instruction"] == "put the carrot in the bowl"
    assert len(list((tmp_path / "run/frames").iterdir())) == 17, "a frame was lost on the way"

    commands = lines(tmp_path / "run/commands.jsonl")
    assert commands
    assert not any(command["sent"] for command in commands)
    page = (tmp_path / "run/report.html").read_text()
    assert "nothing was sent to a robot" in page
    assert "recorded motion" in page
    assert "operator" in page
    assert (tmp_path / "run/video.mp4").stat().st_size > 1000
    assert replay.main([str(bag), "--out", str(tmp_path / "run")]) == 1, "a run is never written over"


def test_a_truncated_bag_is_planned_up_to_the_cut(server: str, bag: Path, tmp_path: Path) -> None:
    shutil.copytree(bag, tmp_path / "cut")
    file = tmp_path / "cut/x.mcap"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.7)])
    code, summary = run(tmp_path / "cut", tmp_path / "run", "--server", server, "--instruction", "lift the pea")
    assert code == 1
    assert summary["plans"] >= 1
    assert summary["instruction"] == "lift the pea"
    assert any("damaged" in note for note in summary["notes"])


def test_stamps_out_of_order_are_told_and_refused(server: str, bag: Path, tmp_path: Path) -> None:
    def change(topic, time, message):  # type: ignore[no-untyped-def]
        if topic == LEFT and (time // 200_000_000) % 5 == 3:
            message.header.stamp.sec -= 5
        yield topic, time, message

    code, summary = run(rewrite(bag, tmp_path / "back", change), tmp_path / "run", "--server", server)
    assert code == 1
    assert summary["plans"] >= 1, "what is sound is planned on"
    assert summary["rejected"].get("out_of_order")
    assert any("run backwards" in note for note in summary["notes"])


@pytest.mark.parametrize("fault", ["camera", "joints", "type"])
def test_a_bag_nothing_can_be_planned_on_is_still_reported(bag: Path, tmp_path: Path, fault: str) -> None:
    def change(topic, time, message):  # type: ignore[no-untyped-def]
        gone = {"camera": LEFT, "joints": JOINT_STATES, "type": "/vidplan/instruction"}[fault]
        if fault == "type" and topic == gone:
            yield JOINT_STATES, time, message
        elif topic != gone and not (fault == "type" and topic == JOINT_STATES):
            yield topic, time, message

    code, summary = run(rewrite(bag, tmp_path / fault, change), tmp_path / "run")
    assert code == 1
    assert summary["plans"] == 0
    assert (LEFT if fault == "camera" else JOINT_STATES) in summary["notes"][0]
    assert summary["bag"]["topics"]
    assert summary["notes"][0].split()[0] in (tmp_path / "run/report.html").read_text()
    if fault == "camera":
        measured = np.array([state["joints"] for state in lines(tmp_path / "run/states.jsonl")])
        assert measured.shape == (49, 7), "the arm's motion is there and is reported"


def test_no_planner_at_the_address_is_told(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replay, "MEETING", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        code, summary = run(bag, tmp_path / "run", "--server", address)
    assert code == 1
    assert "no planner answers" in capsys.readouterr().err
    assert any("stopped early" in note for note in summary["notes"])


def test_a_child_that_fails_is_named_with_its_last_words(tmp_path: Path) -> None:
    child = Child("serve", ["--bundle", str(tmp_path / "absent")], tmp_path / "logs/serve.log")
    with pytest.raises(ChildError, match=r"(?s)'vidplan serve' ended with code 1\..*absent"):
        child.wait_for("never", 60)
    child.stop()


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A bag of another laboratory with the mapping that is proposed for it, as arguments."""
    folder = tmp_path_factory.mktemp("foreign")
    write_foreign(folder / "lab", seconds=1.3)
    assert bag_cli.main(["inspect", str(folder / "lab"), "--write-mapping", str(folder / "lab.yaml")]) == 0
    return [str(folder / "lab"), "--mapping", str(folder / "lab.yaml")]


def test_a_foreign_bag_replays_with_a_mapping_file(server: str, foreign: list[str], tmp_path: Path) -> None:
    assert replay.main([*foreign, "--out", str(tmp_path / "run"), "--server", server]) == 0
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["instruction"] == "pick up the towel"
    assert summary["plans"] >= 1
    assert summary["rejected"] == {}
    grippers = [state["pose"][6] for state in lines(tmp_path / "run/states.jsonl")]
    assert (grippers[0], grippers[-1]) == (0.0, 1.0)


def test_fast_replays_ask_the_same_and_compare_versions(
    server: str, foreign: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rclpy", None)  # needs no ROS
    again = [*foreign, "--server", server, "--out"]
    assert replay.main([*again, str(tmp_path / "two"), "--against", server]) == 0
    assert "none differs" in capsys.readouterr().out
    assert not any(command["sent"] for command in lines(tmp_path / "two/commands.jsonl"))
    result = json.loads((tmp_path / "two/against/plans.json").read_text())
    assert len(result["plans"]) >= 2

    result["plans"][1]["poses"][2][0] += 0.004
    (tmp_path / "older.json").write_text(json.dumps(result))
    assert replay.main([*again, str(tmp_path / "other"), "--against", str(tmp_path / "older.json")]) == 3
    assert "first: plan 2 at" in capsys.readouterr().out
    assert "first: plan 2 at" in (tmp_path / "other/report.html").read_text()
    other_task = ["--against", str(tmp_path / "two"), "--instruction", "sing"]
    assert replay.main([*again, str(tmp_path / "task"), *other_task]) == 1
    assert "another instruction" in capsys.readouterr().err
