"""The planner's answers as vidplan_msgs/PlanStatus, where these messages are built."""

from __future__ import annotations

import importlib
from typing import Any

from robot_bridge.events import Event
from robot_bridge.ros.messages import time_message


class PlanStatuses:
    """Makes the message of a plan's event."""

    def __init__(self, messages: Any, robot: str) -> None:
        """Keep the types.

        Args:
            messages: Module with PlanStatus, Candidate and StageLatency.
            robot: Arm model; names the frame.
        """
        self._messages, self._frame = messages, f"{robot}_link0"

    @classmethod
    def available(cls, robot: str) -> PlanStatuses | None:
        """One of vidplan_msgs, or None where they are not built."""
        try:
            return cls(importlib.import_module("vidplan_msgs.msg"), robot)
        except ImportError:
            return None

    @property
    def type(self) -> Any:
        """The message's class."""
        return self._messages.PlanStatus

    def message(self, told: Event, instruction: str) -> Any:
        """The message of a plan's event (`robot_bridge.events`)."""
        status = self.type(
            plan=told["plan"],
            request_id=told["request_id"],
            instruction=instruction,
            observation_stamp=time_message(told["observation_stamp"]),
            latency=told["latency_ms"] / 1e3,
            age=told["age"],
            chosen=told["chosen"] if told["candidates"] else -1,
            refined=told["refined"],
            uncertainty=float(told["uncertainty"]),
            status=told["status"],
            doubt=told["doubt"],
            accepted=told["accepted"],
            mended=[note["reason"] for note in told.get("notes", ())],
        )
        status.header.stamp, status.header.frame_id = time_message(told["t"]), self._frame
        status.objective_before, status.objective_after = (float(value) for value in told["objective"])
        known = self._messages.Candidate.get_fields_and_field_types()
        status.candidates = [
            self._messages.Candidate(**{name: value for name, value in entry.items() if name in known})
            for entry in told["candidates"]
        ]
        status.stages = [
            self._messages.StageLatency(stage=stage, duration=milliseconds / 1e3)
            for stage, milliseconds in told["timings"].items()
        ]
        refusal = told.get("refused_for")
        if refusal:
            status.reason, status.detail = refusal["reason"], refusal["detail"]
        return status
