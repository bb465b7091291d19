"""The five tasks of the paper's Table 1 in cluttered scenes: what is asked, what lies there, when it is done.

What a policy was shown is not said here: in the paper tape, fish and pea are outside the nominal policy's training
distribution, carrot and towel inside.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from sim_cell.cell import Cell
from sim_cell.errors import InvalidTaskError
from sim_cell.look import Look
from sim_cell.objects import BOWL, NAMES, OBJECT, STRANGERS
from sim_cell.scene import PHYSICS_RATE
from sim_cell.truth import Truth

OTHERS = 2
"""Objects of other tasks on the table, beside the target, the bowl and all distractors."""
ROOM, BOWL_ROOM = 0.13, 0.18
"""Metres around the target's middle without another object's middle, or the bowl's: open fingers fit in between."""
STILL = 0.0005
"""Metres that something at rest may move in a tenth of a second."""
STREAM = 0x7461736B
"""First word of every seed here: no recording's scenes (seeded otherwise) can be a trial's."""


@dataclass(frozen=True)
class Task:
    """One row of Table 1.

    Attributes:
        name: What trials call it.
        target: The object that the instruction names.
        across: Whether lying across the bowl counts, too: a folded towel is as wide as the bowl.
    """

    name: str
    target: str
    across: bool = False

    @property
    def instruction(self) -> str:
        """The task in words."""
        return f"put the {self.target} in the bowl"

    def done(self, truth: Truth) -> bool:
        """Whether the target lies in the bowl, let go; the towel may also lie across it, clear of the table."""
        return self.target in truth.in_bowl() or (self.across and truth.rests_on_bowl(self.target))


TASKS = {
    task.name: task
    for task in (
        Task("tape", "measuring tape"),
        Task("fish", "fish"),
        Task("pea", "pea"),
        Task("carrot", "carrot"),
        Task("towel", "towel", across=True),
    )
}


def lay(cell: Cell, task: Task, seed: int, strange: bool = False) -> None:
    """Reset a cell to the cluttered scene ``seed`` of a task: the same for whatever acts in it.

    On the table are the bowl, the target, `OTHERS` objects of other tasks and every distractor, all at rest, with room
    for the fingers around the target; the cell looks nominal. Where it is to be ``strange``, as many objects that no
    training recording shows take the distractors' place.
    """
    rng = np.random.default_rng([STREAM, list(TASKS).index(task.name), seed])
    others = [name for name in NAMES if name != task.target and not OBJECT[name].distractor]
    distractors = [name for name in NAMES if OBJECT[name].distractor]
    objects = (task.target, *rng.choice(others, OTHERS, replace=False).tolist())
    look = Look()
    if strange:
        names = rng.choice([kind.name for kind in STRANGERS], len(distractors), replace=False)
        look = replace(look, strangers=tuple(names.tolist()))
    else:
        objects += tuple(distractors)
    while True:
        cell.reset(rng, task.target, look, objects, (len(objects), len(objects)))
        if _graspable(cell) and _at_rest(cell):
            return


def _graspable(cell: Cell) -> bool:
    target = cell.position(cell.target)[:2]
    names = (*cell.visible, *cell.strangers, BOWL)
    gaps = {name: np.linalg.norm(cell.position(name)[:2] - target) for name in names}
    return all(gap > (BOWL_ROOM if name == BOWL else ROOM) for name, gap in gaps.items() if name != cell.target)


def _at_rest(cell: Cell) -> bool:
    """A carrot that landed on its tip may roll through the scene for seconds."""
    before = {name: cell.position(name) for name in (*cell.visible, *cell.strangers, BOWL)}
    cell.step(PHYSICS_RATE // 10)
    return all(np.linalg.norm(cell.position(name) - place) < STILL for name, place in before.items())


def read_request(text: str) -> tuple[Task, int]:
    """Task and seed of ``{"task": "carrot", "seed": 3}``.

    Raises:
        InvalidTaskError: Says what is wrong.
    """
    example = 'expected e.g. {"task": "carrot", "seed": 3}'
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InvalidTaskError(f"not JSON ({error}); {example}") from error
    if not isinstance(values, dict) or set(values) != {"task", "seed"}:
        raise InvalidTaskError(f"{text[:100]} is not a task and a seed; {example}")
    task, seed = task_called(values["task"]), values["seed"]
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InvalidTaskError(f"a seed is a whole number from 0 on, not {seed!r}")
    return task, seed


def task_called(name: object) -> Task:
    """The task of a name.

    Raises:
        InvalidTaskError: There is none.
    """
    if not isinstance(name, str) or name not in TASKS:
        raise InvalidTaskError(f"there is no task {name!r}; choose one of: {', '.join(TASKS)}")
    return TASKS[name]
