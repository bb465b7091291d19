"""What a worker works with: a cell, and the planner and policy servers of one method, as child processes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from robot_bridge.children import Child
from robot_bridge.experiment.cell import Cell
from robot_bridge.experiment.errors import Stopped
from robot_bridge.experiment.methods import Method
from robot_bridge.experiment.schedule import Job
from robot_bridge.isolation import isolated
from robot_bridge.trials.runner import BridgeRunner, TrialRunner

CELL_START, SERVER_START = 120.0, 300.0
"""Seconds of wall clock that programs get to become ready."""
POLICY_WAIT = "5"
"""Seconds that a plan waits for the policy at most: no method shall do without it because the machine is busy."""


@dataclass(frozen=True)
class Settings:
    """What is the same for all trials of an experiment.

    Attributes:
        seconds: Longest trial, on the robot's clock.
        real_time_factor: Speed of the robot's clock against the wall clock.
        policy: ``ws://HOST:PORT`` of a running policy server, or a policy's file to be served; empty: the shipped one.
        serve: Options of every `vidplan serve`.
    """

    seconds: float = 60.0
    real_time_factor: float = 0.25
    policy: str = ""
    serve: tuple[str, ...] = ()

    @property
    def patience(self) -> float:
        """Seconds of wall clock after which a trial has surely hung: five times as long as it should take."""
        return 120.0 + 5.0 * self.seconds / self.real_time_factor


class Station(Protocol):
    """A worker's place: one trial at a time."""

    @property
    def cell(self) -> Cell:
        """The simulator."""

    def use(self, method: Method) -> None:
        """Make the method ready, in place of the one that was.

        Raises:
            ChildError: A program does not start.
        """

    def runner(self, job: Job, number: int) -> TrialRunner:
        """What runs a job, whose row in the store has this number."""

    def check(self) -> None:
        """Look after the programs.

        Raises:
            ChildError: One has ended.
            Stopped: The experiment shall end.
        """

    def close(self) -> None:
        """End everything."""


class ProcessStation:
    """The real programs, in a ROS domain of their own; see `Station`."""

    def __init__(self, settings: Settings, folder: Path, domain: int, stop: threading.Event) -> None:
        """Start the cell and wait until it is up.

        Args:
            settings: Of the experiment.
            folder: For the programs' output.
            domain: ROS domain that nobody else uses.
            stop: Set when the experiment shall end.
        """
        from robot_bridge.experiment.ros_edge import RosCell

        self._settings, self._folder, self._environment = settings, folder, isolated(domain)
        self._children: dict[str, Child] = {}
        self._stop_wanted = stop
        self._address = ""
        try:
            cell = self._start("sim", ["--real-time-factor", str(settings.real_time_factor)])
            cell.wait_for(r"simulated cell is up.*", CELL_START, self.check)
            self._cell = RosCell(domain, self.check)
        except BaseException:
            self._stop("sim")
            raise

    @property
    def cell(self) -> Cell:
        """See `Station.cell`."""
        return self._cell

    def use(self, method: Method) -> None:
        """See `Station.use`."""
        self._stop("serve", "policy")
        options = ["--address", "tcp://127.0.0.1:*", "--threads", "1"]
        if method.needs_policy:
            options += ["--policy", self._policy(), "--policy-wait", POLICY_WAIT]
        serve = self._start("serve", [*options, *self._settings.serve, *method.serve])
        self._address = serve.wait_for(r"^ready\s+(\S+)", SERVER_START, self.check).group(1)

    def runner(self, job: Job, number: int) -> TrialRunner:
        """See `Station.runner`; the robot has another name in every trial, so that no planner remembers the last."""
        options = ["--server", self._address, "--use-sim-time", "--robot-id", f"trial-{number}"]
        options += ["--seed", str(job.seed), "--duration", f"{self._settings.seconds:g}"]
        return BridgeRunner(options, self._environment)

    def check(self) -> None:
        """See `Station.check`."""
        if self._stop_wanted.is_set():
            raise Stopped
        for child in self._children.values():
            child.check()

    def close(self) -> None:
        """See `Station.close`."""
        self._stop("serve", "policy", "sim")
        self._cell.close()

    def _policy(self) -> str:
        given = self._settings.policy
        if given.startswith("ws"):
            return given
        options: Sequence[str] = ["--policy", given] if given else []
        policy = self._start("policy", ["serve", "--address", "ws://127.0.0.1:0", *options])
        return policy.wait_for(r"^ready\s+(\S+)", SERVER_START, self.check).group(1)

    def _start(self, name: str, options: Sequence[str]) -> Child:
        """Start a program; each start has a log of its own, or the words of an earlier one would be taken for its."""
        log = self._folder / f"{len(list(self._folder.glob('*.log'))) + 1:03d}-{name}.log"
        self._children[name] = child = Child(name, list(options), log, self._environment)
        return child

    def _stop(self, *names: str) -> None:
        for name in names:
            if name in self._children:
                self._children.pop(name).stop()
