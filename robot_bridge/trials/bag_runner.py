"""Records an MCAP bag of every trial, around whatever runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from robot_bridge.config import BridgeConfig
from robot_bridge.ros.topics import PLANS, TRIAL_EVENTS
from robot_bridge.trials.runner import TrialRunner
from robot_bridge.trials.trial import Figures, Setup
from robot_model.ros_names import GRIPPER_COMMANDS, INSTRUCTION, STATUS

BAG = "bag"


class Recorder(Protocol):
    """What is needed of `robot_bridge.listening.ros_edge.BagRecorder`."""

    def note(self, what: str, **fields: Any) -> None:
        """Record something that the operator did."""

    def say(self, topic: str, text: str) -> None:
        """Record a text on a topic."""

    def close(self) -> None:
        """Finish the bag; without effect on a finished one."""


class RecordingRunner:
    """A `TrialRunner` whose trials are recorded from before they start until the arm is at rest."""

    def __init__(self, inner: TrialRunner, record: Callable[[Path], Recorder]) -> None:
        """Keep both.

        Args:
            inner: What runs the trial.
            record: Begins a recording in a folder that does not exist yet.
        """
        self._inner, self._record = inner, record
        self._recorder: Recorder | None = None
        self._named: str | None = None

    def start(self, setup: Setup, folder: Path) -> None:
        """See `TrialRunner.start`; raises BridgeError where the trial cannot be recorded."""
        self._named = f"{setup.run or folder}/{BAG}"
        self._recorder = self._record(folder / BAG)
        self._recorder.say(INSTRUCTION, setup.instruction)
        self._recorder.note("start", instruction=setup.instruction, task=setup.task, side=setup.side)
        self._inner.start(setup, folder)

    def wait(self, seconds: float) -> str | None:
        """See `TrialRunner.wait`."""
        return self._inner.wait(seconds)

    def stop(self) -> None:
        """See `TrialRunner.stop`."""
        self._end("stop", self._inner.stop)

    def abort(self) -> None:
        """See `TrialRunner.abort`."""
        self._end("abort", self._inner.abort)

    def figures(self) -> Figures:
        """See `TrialRunner.figures`."""
        figures = self._inner.figures()
        return replace(figures, bag=self._named) if self._named else figures

    def _end(self, what: str, end: Callable[[], None]) -> None:
        try:
            end()  # the arm comes first
        finally:
            if self._recorder is not None:
                recorder, self._recorder = self._recorder, None
                recorder.note(what)
                recorder.close()


def recorded_topics(config: BridgeConfig) -> list[str]:
    """What a trial's recording holds, where it is there: what is seen, felt, planned, commanded and transformed."""
    cameras = list(config.camera_topics.values())
    infos = [f"{topic.removesuffix('/compressed').rsplit('/', 1)[0]}/camera_info" for topic in cameras]
    commands = [config.arm_topic, config.gripper_command_topic, GRIPPER_COMMANDS]
    robot = [config.joint_topic, "/tf", "/tf_static", "/robot_description", "/diagnostics"]
    return list(dict.fromkeys([*cameras, *infos, *robot, *commands, INSTRUCTION, STATUS, PLANS, TRIAL_EVENTS]))
