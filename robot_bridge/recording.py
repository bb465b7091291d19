"""Writes a run to its directory as it happens, in a thread of its own: the control tick never waits for a disk."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from plan_protocol.messages import Observation, Plan, PlannerSpec
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import BridgeError
from robot_bridge.events import Event
from robot_bridge.execution.commanded import Command
from robot_bridge.sensing.synchroniser import SensorSet
from robot_model.conventions import VIDEO_PERIOD

MAX_VIEW = (320, 192)
WAITING = 512
"""Jobs that may wait; beyond, pictures are left out (and counted), never events or commands."""

logger = logging.getLogger(__name__)


class RunRecorder:
    """The record of one run.

    Layout: ``run.json``, ``events.jsonl``, ``commands.jsonl``, ``states.jsonl``, ``frames/STAMP_NS.jpg`` (5 Hz, the
    views on top of each other), ``plans/NUMBER.npz``, ``summary.json`` at the end.

    Attributes:
        left_out: Pictures that were left out because too many were waiting.
        failed: Parts that could not be written.

    Raises:
        BridgeError: The directory cannot be written.
    """

    def __init__(self, directory: Path, config: BridgeConfig) -> None:
        self.directory = Path(directory)
        self.left_out = self.failed = 0
        self._run: dict[str, Any] = {
            "instruction": config.instruction,
            "mode": "dry_run" if config.dry_run else "live",
            "robot": config.robot,
            "spec": None,
            "cameras": list(config.camera_topics),
            "started": time.time(),
        }
        try:
            for folder in ("frames", "plans"):
                (self.directory / folder).mkdir(parents=True, exist_ok=True)
            self._lines = {
                name: open(self.directory / f"{name}.jsonl", "a", encoding="utf-8", buffering=1)  # noqa: SIM115
                for name in ("events", "commands", "states")
            }
            self._write_run()
        except OSError as error:
            raise BridgeError(
                f"cannot record into {self.directory}: {error}; choose another --record folder"
            ) from error
        self._last_frame = -np.inf
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="run-recorder", daemon=True)
        self._thread.start()

    def spec(self, spec: PlannerSpec) -> None:
        """Keep what the planner promised."""
        self._run["spec"] = asdict(spec)
        self._jobs.put(self._write_run)

    def instruction(self, text: str) -> None:
        """Keep the task; the first one names the run."""
        if not self._run["instruction"]:
            self._run["instruction"] = text
            self._jobs.put(self._write_run)

    def event(self, event: Event) -> None:
        """Append an event."""
        self._line("events", event)

    def command(self, command: Command, sent: bool) -> None:
        """Append a guarded command."""
        pose, joints = command.pose.round(6).tolist(), command.joints.round(6).tolist()
        self._line("commands", {"t": round(command.time, 6), "joints": joints, "pose": pose, "sent": sent})

    def frame(self, sensors: SensorSet, pose: np.ndarray) -> None:
        """Append the measured state of a synchronised set; keep its pictures at 5 Hz."""
        joints = sensors.joints.joints.round(6).tolist()
        self._line("states", {"t": round(sensors.joints.stamp, 6), "joints": joints, "pose": pose.round(6).tolist()})
        since = sensors.stamp - self._last_frame
        if since >= 0.9 * VIDEO_PERIOD or since < 0:
            self._last_frame = sensors.stamp
            self._picture(lambda: self._write_frame(sensors))

    def plan(self, number: int, observation: Observation, plan: Plan) -> None:
        """Keep a plan's observation and imagined future."""
        self._picture(lambda: self._write_plan(number, observation, plan))

    def catch_up(self) -> None:
        """Wait while much is unwritten: for those who record faster than in real time and want every picture."""
        while self._jobs.qsize() > WAITING // 2:
            time.sleep(0.002)

    def close(self, summary: dict[str, Any]) -> None:
        """Write everything that waits, then the summary."""
        self._jobs.put(None)
        self._thread.join()
        if self.left_out:
            summary = {**summary, "pictures_left_out": self.left_out}
        if self.failed:
            summary = {**summary, "not_recorded": self.failed}
        jobs: list[Callable[[], object]] = [file.close for file in self._lines.values()]
        text = json.dumps(summary, indent=1) + "\n"
        jobs.append(partial((self.directory / "summary.json").write_text, text, encoding="utf-8"))
        for job in jobs:
            try:
                job()
            except OSError as error:
                self._fail(error)

    def _line(self, name: str, content: dict[str, Any]) -> None:
        self._jobs.put(lambda: self._write_line(name, content))

    def _picture(self, job: Callable[[], None]) -> None:
        if self._jobs.qsize() < WAITING:
            self._jobs.put(job)
        else:
            self.left_out += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except (OSError, cv2.error, ValueError, TypeError) as error:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Count what is lost and say so once: a full disk must not flood the terminal, and never stops the arm."""
        if not self.failed:
            logger.error("from now on %s is incomplete: %s. Is the disk full?", self.directory, error)
        self.failed += 1

    def _write_line(self, name: str, content: dict[str, Any]) -> None:
        self._lines[name].write(json.dumps(content) + "\n")

    def _write_run(self) -> None:
        (self.directory / "run.json").write_text(json.dumps(self._run, indent=1) + "\n", encoding="utf-8")

    def _write_frame(self, sensors: SensorSet) -> None:
        views = list(sensors.images.values())
        height, width = views[0].shape[:2]
        shrink = min(1.0, MAX_VIEW[0] / width, MAX_VIEW[1] / height)
        size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
        stack = np.concatenate([cv2.resize(view, size, interpolation=cv2.INTER_AREA) for view in views])
        path = self.directory / "frames" / f"{round(sensors.stamp * 1e9)}.jpg"
        if not cv2.imwrite(str(path), cv2.cvtColor(stack, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError(f"could not write {path}")

    def _write_plan(self, number: int, observation: Observation, plan: Plan) -> None:
        arrays = {"observed": observation.images[-1], "times": plan.times, "poses": plan.poses}
        if plan.imagination is not None:
            arrays |= {name: getattr(plan.imagination, name) for name in ("frames", "composites", "uncertainty")}
        np.savez(self.directory / "plans" / f"{number:05d}.npz", **arrays)
