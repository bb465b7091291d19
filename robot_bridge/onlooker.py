"""What a person watching a demo is told: lines for the terminal, and how the task went by the simulator's truth."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from robot_bridge.events import in_words

_TASK = re.compile(r"(?i)^\s*(?:put|place|move|drop)\s+(?:(?:the|an?)\s+)?(.+?)\s+(?:in(?:to)?|on(?:to)?|to)\b")
_QUIET = ("connected", "waiting", "activated", "finished")
THE_END = "the bridge is ending"
"""Detail of the stop with which every run ends."""


def goal_object(instruction: str) -> str | None:
    """The thing an instruction is about, e.g. ``measuring tape`` of "put the measuring tape in the bowl"."""
    found = _TASK.match(instruction)
    return found.group(1).lower() if found else None


class Onlooker:
    """Keeps the simulator's truth in a file and turns the bridge's events into lines.

    Truth is for people and for the report; nothing that plans ever sees it.

    Attributes:
        plans: Accepted plans so far.
        truth: The newest record, empty before the first.
    """

    def __init__(self, truth_file: Path):
        self.plans = 0
        self.truth: dict[str, Any] = {}
        self._began: float | None = None
        self._done_since: float | None = None
        self._lost: float | None = None
        self._waited = 0.0
        self._file = truth_file.open("a", buffering=1)

    def see_truth(self, text: str) -> None:
        """Take one record of the simulator, JSON."""
        self.truth = json.loads(text)
        if not self.truth.get("success"):
            self._done_since = None
        elif self._done_since is None:
            self._done_since = self.truth.get("t")
        self._file.write(text + "\n")

    def hear(self, text: str) -> str | None:
        """Take one event of the bridge, JSON; returns a line for the terminal where it is worth one."""
        event = json.loads(text)
        self._keep_time(event)
        if event["event"] == "plan":
            self.plans += bool(event.get("accepted", True))
            return self._plan(event)
        if event["event"] in _QUIET or (event["event"] == "stop" and event.get("detail") == THE_END):
            return None
        words = in_words(event)
        return f"  {words}" if words else None

    @property
    def distance(self) -> float | None:
        """Metres from the gripper's pinch point to the goal object, where the truth tells."""
        place = (self.truth.get("objects") or {}).get(self.truth.get("target"))
        pinch = self.truth.get("pinch")
        return math.dist(place, pinch) if place and pinch else None

    @property
    def lasted(self) -> float:
        """Seconds on the robot's clock since the bridge came up, without the time its planner was gone."""
        now = self.truth.get("t")
        if now is None or self._began is None:
            return 0.0
        return float(now if self._lost is None else self._lost) - self._began - self._waited

    @property
    def done_for(self) -> float:
        """Seconds on the robot's clock that the task has been done without a break."""
        return 0.0 if self._done_since is None else float(self.truth["t"]) - self._done_since

    def outcome(self) -> dict[str, Any]:
        """How the task went: entries for the summary."""
        distance = self.distance
        return {
            "success": bool(self.truth.get("success", False)),
            "first_object": self.truth.get("first_object"),
            "target": self.truth.get("target"),
            "final_distance": None if distance is None else round(distance, 4),
        }

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _keep_time(self, event: dict[str, Any]) -> None:
        if self._began is None and event["event"] in ("started", "connected"):
            self._began = event["t"]
        elif event["event"] == "server_lost":
            self._lost = event["t"]
        elif event["event"] == "server_back" and self._lost is not None:
            self._waited, self._lost = self._waited + event["t"] - self._lost, None

    def _plan(self, event: dict[str, Any]) -> str:
        candidates, chosen = event["candidates"], event["chosen"]
        winner = candidates[chosen] if candidates else {}
        name = str(winner.get("name", "?")) + (" + refined" if event["refined"] else "")
        line = f"  plan {event['plan']:3d}  {name:<26} reward {winner.get('reward', math.nan):+.3f}  "
        line += f"uncertainty {event['uncertainty']:.2f}  {event['latency_ms']:6.0f} ms"
        if self.distance is not None:
            line += f"  {100 * self.distance:5.1f} cm to the {self.truth['target']}"
        return line if event.get("accepted", True) else line + "  REFUSED"
