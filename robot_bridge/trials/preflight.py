"""What has to be right before the arm moves: checks as data, whoever makes them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from plan_protocol.client import PlanClient
from plan_protocol.errors import ProtocolError
from plan_protocol.keys_cli import client_keys
from plan_protocol.messages import Hello
from robot_bridge.config import BridgeConfig
from robot_bridge.planner.link import differences

ANSWER = 3.0
"""Seconds a planner server gets to answer."""
RECORDING_SPACE = 2.0
"""Gigabytes that must be free: a trial of some minutes with room to spare."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        passed: Whether a trial may start.
        found: What there is; names no method, so that a blinded comparison stays blind.
        advice: What to do where it did not pass.
    """

    name: str
    passed: bool
    found: str
    advice: str = ""


class Preflight(Protocol):
    """Looks at one part of the set-up before every trial."""

    def examine(self) -> Sequence[Check]:
        """The checks, each done now."""


class ServersPreflight:
    """Whether the planner servers of all methods answer, and promise what this robot needs."""

    def __init__(self, configs: Sequence[BridgeConfig]) -> None:
        """Keep the settings.

        Args:
            configs: Of the bridge of every method; more than one may use a server.
        """
        self._configs = list({(config.server, config.curve_keys): config for config in configs}.values())

    def examine(self) -> Sequence[Check]:
        """One check for all, so that it does not tell which of them a trial will use."""
        failed = []
        for config in self._configs:
            try:
                keys = client_keys(Path(config.curve_keys)) if config.curve_keys else None
                with PlanClient(config.server, f"preflight-{os.getpid()}", keys=keys) as client:
                    failed += differences(client.hello(Hello(config.robot, "preflight"), ANSWER), config)
            except ProtocolError as error:
                failed.append(str(error))
        count = len(self._configs)
        if failed:
            return [
                Check("planner", False, "; ".join(failed), "start `vidplan serve`, or mend the address; see --robot")
            ]
        return [Check("planner", True, "answers and fits" if count == 1 else f"all {count} answer and fit")]


class DiskPreflight:
    """Whether the recording will fit."""

    def __init__(self, folder: Path, free: Callable[[Path], float] | None = None) -> None:
        """Keep the folder.

        Args:
            folder: An existing folder on the disk in question.
            free: Gigabytes free at a path; None asks the operating system.
        """
        self._folder = folder
        self._free = free or (lambda path: shutil.disk_usage(path).free / 1e9)

    def examine(self) -> Sequence[Check]:
        """One check."""
        free = self._free(self._folder)
        advice = f"free some: a trial wants {RECORDING_SPACE:.0f} GB for its recording"
        return [Check("disk", free >= RECORDING_SPACE, f"{free:.1f} GB free", advice)]
