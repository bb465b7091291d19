"""One line of the doctor's report, and what the checks are told about the cell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from robot_bridge.config import BridgeConfig
from robot_bridge.listening.look import Look

OK, NOTE, MISSING, SKIPPED = "ok", "note", "missing", "skipped"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: What was looked at.
        state: ``ok``, ``note`` (works, but worth knowing), ``missing`` (something to mend) or ``skipped`` (cannot be
            looked at from here; ``found`` says why).
        found: What there is.
        advice: What to do, where there is something to do.
    """

    name: str
    state: str
    found: str
    advice: str = ""


@dataclass
class Cell:
    """What is looked at.

    Attributes:
        config: Robot, cameras, topics, server and keys, as the bridge will use them.
        seconds: How long to listen to cameras and joints.
        picture: Where the cameras' pictures go.
        listen: Takes a `Look` at the given topics; None where there is no ROS.
        controllers: Asks the controller manager: name -> state; None where it cannot be asked.
    """

    config: BridgeConfig
    seconds: float = 2.0
    picture: Path = Path("cameras.png")
    listen: Callable[[Iterable[str], float], Look] | None = None
    controllers: Callable[[], Mapping[str, str] | None] = lambda: None
    extra_topics: tuple[str, ...] = field(default=("/robot_description",))

    @cached_property
    def look(self) -> Look | None:
        """One look at the graph for all parts; None where there is no ROS or nobody else."""
        if self.listen is None:
            return None
        wanted = [*self.config.camera_topics.values(), self.config.joint_topic, *self.extra_topics]
        look = self.listen(wanted, self.seconds)
        return None if look.empty else look

    def without_graph(self, name: str) -> Check:
        """What a check of the running cell says where there is none."""
        if self.listen is None:
            return Check(name, SKIPPED, "rclpy is not here", "vidplan doctor --part ros says what to install")
        return Check(
            name, SKIPPED, "no ROS graph found", "start drivers or `vidplan sim`; compare ROS_DOMAIN_ID on both sides"
        )


def python_says(code: str) -> subprocess.CompletedProcess[str]:
    """Run some Python in a process of its own: what is broken there may crash."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )


def last_line(text: str) -> str:
    """The last line of a program's words."""
    return text.strip().splitlines()[-1] if text.strip() else "no message"
