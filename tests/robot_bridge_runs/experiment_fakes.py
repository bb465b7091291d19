"""A cell, a bridge and a station that do as they are told, for tests of experiments."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from robot_bridge.children import ChildError
from robot_bridge.experiment.cell import TaskState
from robot_bridge.experiment.errors import Stopped
from robot_bridge.experiment.methods import METHODS, Method
from robot_bridge.experiment.schedule import Job
from robot_bridge.experiment.tasks import TASKS
from robot_bridge.trials.figures import figures_of
from robot_bridge.trials.trial import Figures, Setup

TICK = 0.2
TARGETS = {task.name: task.instruction.removeprefix("put the ").removesuffix(" in the bowl") for task in TASKS}


def job(method: str = "vidplan", task: str = "carrot", seed: int = 0) -> Job:
    return Job("s", next(m for m in METHODS if m.name == method), next(t for t in TASKS if t.name == task), seed)


class FakeCell:
    """Tells one state per call; ``story`` gives the steps at which it is done, and what was touched."""

    def __init__(self) -> None:
        self.resets: list[tuple[str, int]] = []
        self.done_at: Sequence[int] = ()
        self.touched: tuple[str, str] | None = None
        self.meddled_at: int | None = None
        self._step = 0

    def reset(self, task: str, seed: int) -> TaskState:
        self.resets.append((task, seed))
        self._step = 0
        return self.next()

    def next(self) -> TaskState:
        self._step += 1
        task, seed = self.resets[-1]
        first, how = self.touched or (None, None)
        episode = len(self.resets) + (self.meddled_at is not None and self._step >= self.meddled_at)
        return TaskState(task, seed, episode, TARGETS[task], self._step in self.done_at, first, how, TICK * self._step)


class FakeRunner:
    """Ends by itself after ``length`` looks with ``ending``."""

    def __init__(self, length: int = 10, ending: str = "timeout", run: Path | None = None) -> None:
        self.length, self.ending, self.run = length, ending, run
        self.looks, self.stops = 0, 0
        self.setup: Setup | None = None
        self.folder = Path()

    def start(self, setup: Setup, folder: Path) -> None:
        self.setup, self.folder = setup, folder
        folder.mkdir(parents=True)
        if self.run is not None:
            shutil.copytree(self.run, folder, dirs_exist_ok=True)

    def wait(self, seconds: float) -> str | None:
        self.looks += 1
        return self.ending if self.looks > self.length else None

    def stop(self) -> None:
        self.stops += 1

    def abort(self) -> None:
        self.stop()

    def figures(self) -> Figures:
        return figures_of(self.folder, self.setup.run or "") if self.setup else Figures()


class FakeStation:
    """Keeps what was asked of it; ``on_trial`` may change the cell, or make the runner of a trial."""

    def __init__(self, stop: threading.Event, on_trial: Callable[[FakeStation, Job], FakeRunner | None]) -> None:
        self.cell = FakeCell()
        self.stop, self.on_trial = stop, on_trial
        self.used: list[str] = []
        self.dead, self.closed = False, False

    def use(self, method: Method) -> None:
        self.used.append(method.name)

    def runner(self, job: Job, number: int) -> FakeRunner:
        self.cell.done_at, self.cell.touched = (), None
        return self.on_trial(self, job) or FakeRunner()

    def check(self) -> None:
        if self.stop.is_set():
            raise Stopped
        if self.dead:
            raise ChildError("'vidplan serve' ended with code -9.\n    its last words")

    def close(self) -> None:
        self.closed = True


def state_text(**changes: object) -> str:
    state = TaskState("carrot", 3, 7, "carrot", False, "fish", "push", 4.2)
    return json.dumps({**replace(state).__dict__, **changes})
