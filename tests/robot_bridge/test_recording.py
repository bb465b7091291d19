"""The record of a run: everything arrives in order, a full queue costs pictures only, bad folders are named."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from robot_bridge import recording
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import BridgeError
from robot_bridge.events import event
from robot_bridge.execution.commanded import Command
from robot_bridge.recording import RunRecorder
from robot_bridge.sensing.synchroniser import JointSample, SensorSet


def look(stamp: float) -> SensorSet:
    images = {name: np.full((96, 160, 3), 40 * k, np.uint8) for k, name in enumerate(("left", "right", "wrist"))}
    return SensorSet(stamp, images, dict.fromkeys(images, stamp), JointSample(stamp, np.ones(7), np.zeros(7), 0.0))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_is_kept(tmp_path: Path):
    recorder = RunRecorder(tmp_path / "run", BridgeConfig(instruction="wave", dry_run=True))
    for k in range(30):  # 15 Hz
        recorder.frame(look(10.0 + k / 15), np.zeros(7))
        recorder.command(Command(10.0 + k / 15, np.ones(7), np.zeros(7), None, None), sent=False)
        recorder.event(event("plan_requested", 10.0 + k / 15, request_id=k))
    recorder.close({"plans": 0})
    run = tmp_path / "run"
    assert [item["request_id"] for item in lines(run / "events.jsonl")] == list(range(30))
    assert len(lines(run / "states.jsonl")) == len(lines(run / "commands.jsonl")) == 30
    pictures = sorted((run / "frames").glob("*.jpg"))
    assert len(pictures) == 10, "pictures are kept at 5 Hz"
    assert pictures[0].stem == "10000000000"
    picture = cv2.imread(str(pictures[0]))
    assert picture.shape == (3 * 96, 160, 3)
    assert picture[::96, 80, 0].tolist() == pytest.approx([0, 40, 80], abs=3)
    assert json.loads((run / "run.json").read_text())["mode"] == "dry_run"
    assert json.loads((run / "summary.json").read_text()) == {"plans": 0}


def test_recording_never_waits_and_leaves_out_pictures_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    released = threading.Event()
    monkeypatch.setattr(recording, "WAITING", 20)
    monkeypatch.setattr(RunRecorder, "_write_frame", lambda self, sensors: released.wait(10.0))
    recorder = RunRecorder(tmp_path, BridgeConfig())
    begin = time.monotonic()
    for k in range(100):
        recorder.frame(look(10.0 + k), np.zeros(7))
        recorder.event(event("hold", 10.0 + k, reason="no_plan"))
    assert time.monotonic() - begin < 1.0
    released.set()
    recorder.close({})
    assert len(lines(tmp_path / "events.jsonl")) == 100
    assert json.loads((tmp_path / "summary.json").read_text())["pictures_left_out"] > 50


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BridgeError, match="file"):
        RunRecorder(tmp_path / "file", BridgeConfig())


def test_a_full_disk_is_said_once_and_stops_nothing(tmp_path: Path, monkeypatch, caplog):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    recorder = RunRecorder(tmp_path, BridgeConfig())
    recorder.event(event("hold", 1.0, reason="no_plan"))
    recorder.catch_up()
    monkeypatch.setattr(RunRecorder, "_write_line", full)
    for k in range(5):
        recorder.event(event("hold", 2.0 + k, reason="no_plan"))
    recorder.close({"plans": 3})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"plans": 3, "not_recorded": recorder.failed}
    assert recorder.failed >= 5
    assert [record.getMessage().count("No space left") for record in caplog.records] == [1]
