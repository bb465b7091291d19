"""How far the task is: what is looked for now, and what the hand may do."""

from __future__ import annotations

from enum import Enum

import numpy as np

from planner_server.fingers import holding
from planner_server.instruction import Task

DELIVERED = 0.07
"""Metres on the table between target and goal, as the cameras show them, below which the one lies in the other."""


class Phase(Enum):
    """Of ``put the carrot in the bowl``."""

    FETCH = "the target is looked for"
    CARRY = "the fingers hold something; the goal is looked for"
    DELIVERED = "the target lies in its goal; the hand stays over it, open"

    @property
    def at_goal(self) -> bool:
        """Whether the goal is looked for, from above."""
        return self is not Phase.FETCH

    def phrase(self, task: Task) -> str:
        """What is looked for."""
        return task.goal if self.at_goal else task.target


def phase_of(fingers: np.ndarray, apart: float) -> Phase:
    """The phase of a task with a goal; one without is always `Phase.FETCH`.

    Args:
        fingers: ``(T,)`` measured gripper at the history frames, 0 open .. 1 closed.
        apart: Metres between target and goal, see `ground.metres_apart`.
    """
    if holding(fingers):
        return Phase.CARRY
    return Phase.DELIVERED if apart < DELIVERED else Phase.FETCH
