"""What happens to a task, in the words of vidplan_msgs/TrialEvent."""

from __future__ import annotations

from enum import IntEnum

from robot_bridge.events import Event


class Kind(IntEnum):
    """The message's kinds that the bridge itself can tell."""

    STARTED = 0
    INSTRUCTION = 2
    MOTION_STARTED = 3
    HOLD = 6
    RESUMED = 7
    STOPPED = 8
    FINISHED = 9
    LABELLED = 10


class TrialTeller:
    """Picks from the bridge's events what belongs to a trial."""

    def __init__(self) -> None:
        self._moved = False

    def begin(self, instruction: str) -> list[tuple[Kind, str]]:
        """A task was accepted."""
        self._moved = False
        return [(Kind.STARTED, ""), (Kind.INSTRUCTION, instruction)]

    def hear(self, happened: Event) -> list[tuple[Kind, str]]:
        """Kinds and details to tell of an event of the bridge; mostly none."""
        name, reason = happened["event"], happened.get("reason", "")
        if name == "plan" and happened["accepted"] and not self._moved:
            self._moved = True
            return [(Kind.MOTION_STARTED, "")]
        if name == "hold" and reason not in ("awaiting_plan", "new_instruction"):
            return [(Kind.HOLD, f"{reason}: {happened['detail']}")]
        if name == "resume":
            return [(Kind.RESUMED, reason)]
        return [(Kind.STOPPED, f"{reason}: {happened['detail']}")] if name == "stop" else []
