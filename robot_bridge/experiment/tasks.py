"""The paper's five tasks (Table 1), by name and instruction. How they are laid out and judged is the cell's affair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robot_bridge.experiment.chosen import chosen


@dataclass(frozen=True)
class Task:
    """One row of Table 1.

    Attributes:
        name: As in the command line, in the store and in the cell.
        instruction: What every method is told.
        in_distribution: Whether the nominal policy was shown its object.
    """

    name: str
    instruction: str
    in_distribution: bool = False


TASKS = (
    Task("tape", "put the measuring tape in the bowl"),
    Task("fish", "put the fish in the bowl"),
    Task("pea", "put the pea in the bowl"),
    Task("carrot", "put the carrot in the bowl", in_distribution=True),
    Task("towel", "put the towel in the bowl", in_distribution=True),
)


def tasks_named(names: Sequence[str]) -> list[Task]:
    """The tasks of those names, in that order.

    Raises:
        ConfigError: There is no such task, or a name comes twice.
    """
    return chosen(TASKS, names, "task")
