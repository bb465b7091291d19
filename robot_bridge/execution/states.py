"""What the bridge is doing."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """States of `robot_bridge.execution.executor.Executor`."""

    INACTIVE = "inactive"
    IDLE = "idle"
    WAITING = "waiting"
    EXECUTING = "executing"
    HOLDING = "holding"
    STOPPED = "stopped"


RESTING = (State.INACTIVE, State.IDLE, State.STOPPED)
"""States in which no plan is asked for."""
