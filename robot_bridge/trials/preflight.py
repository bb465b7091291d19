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
    """Whether the planner servers of all methods answer."""

    def __init__(self, servers: Sequence[str], keys: Path | None = None) -> None:
        """Keep the addresses.

        Args:
            servers: ``tcp://HOST:PORT`` each.
            keys: Folder of `vidplan keys`, for servers that want them.
        """
        self._servers, self._keys = list(dict.fromkeys(servers)), keys

    def examine(self) -> Sequence[Check]:
        """One check for all, so that it does not tell which of them a trial will use."""
        failed = []
        for address in self._servers:
            try:
                keys = client_keys(self._keys) if self._keys else None
                with PlanClient(address, f"preflight-{os.getpid()}", keys=keys) as client:
                    client.status(ANSWER)
            except ProtocolError as error:
                failed.append(str(error))
        count = len(self._servers)
        if failed:
            return [Check("planner", False, "; ".join(failed), "start it with `vidplan serve`, or check the address")]
        return [Check("planner", True, "answers" if count == 1 else f"all {count} answer")]


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
