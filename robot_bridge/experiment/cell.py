"""The simulated cell as the judge of a trial sees it: a table laid from a task and a seed, and the truth about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from robot_bridge.experiment.errors import ExperimentError


@dataclass(frozen=True)
class TaskState:
    """The truth at one moment, see docs/trials.md.

    Attributes:
        task: Name of the task; None before the first.
        seed: Of the initial state.
        episode: Counts the resets.
        target: Name of the object that the task is about.
        success: Whether the task is done now.
        first_touched: Object that the robot grasped or pushed first, if any.
        touched_by: ``grasp`` or ``push``.
        time: Seconds on the robot's clock since the reset.
    """

    task: str | None
    seed: int
    episode: int
    target: str
    success: bool
    first_touched: str | None
    touched_by: str | None
    time: float

    @classmethod
    def read(cls, text: str) -> TaskState:
        """Read a message of the cell.

        Raises:
            ExperimentError: It is not what a cell says.
        """
        try:
            content = json.loads(text)
            return cls(**{name: content[name] for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError) as error:
            raise ExperimentError(
                f"the cell said something else than the state of a task ({error!r}): {text}"
            ) from error


class Cell(Protocol):
    """A cell that can be reset and tells the truth."""

    def reset(self, task: str, seed: int) -> TaskState:
        """Lay the table anew and wait until it is done; the state says which episode that is.

        Raises:
            ExperimentError: It does not answer, or knows no such task.
        """

    def next(self) -> TaskState:
        """Wait for the next thing it says.

        Raises:
            ExperimentError: It fell silent.
        """
