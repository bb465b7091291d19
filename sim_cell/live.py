"""A cell that runs on: a clock in physics steps, commands that take effect between them, the truth followed along."""

from __future__ import annotations

import numpy as np

from robot_model import gripper as gripper_model
from robot_model.franka import Franka
from sim_cell.cell import HOME_JOINTS, Cell
from sim_cell.errors import InvalidTrajectoryError
from sim_cell.first_touch import FirstTouch
from sim_cell.scene import PHYSICS_RATE
from sim_cell.tasks import Task, lay
from sim_cell.trajectory import Follower, Trajectory
from sim_cell.truth import Truth

STEPS_PER_COMMAND = 4  # physics steps between two servo commands: 120 Hz
FIRST_STEP = PHYSICS_RATE  # the clock starts at 1 s: in ROS a zero stamp means that none was set


class LiveCell:
    """The simulated cell as a robot that is switched on.

    Attributes:
        cell: The physics.
        truth: What happened since the last reset.
        steps: Physics steps since the clock's zero. Only grows, also over resets.
        seed: Of the present scene.
        task: The present scene is of this task; None when it is just a scene.
        episode: Resets so far.
    """

    def __init__(self, cell: Cell, franka: Franka, seed: int, target: str | None = None):
        self.cell, self.franka, self.truth = cell, franka, Truth(cell)
        self.steps, self.seed = FIRST_STEP, seed
        self.task: Task | None = None
        self.episode = 0
        self._follower = Follower(HOME_JOINTS)
        self._gripper = 0.0
        cell.reset(seed, target)
        self._first_touch = FirstTouch(cell)
        self._begin(seed, None)

    @property
    def time(self) -> float:
        """The robot's clock in seconds."""
        return self.steps / PHYSICS_RATE

    @property
    def nanoseconds(self) -> int:
        """The robot's clock in nanoseconds."""
        return self.steps * 1_000_000_000 // PHYSICS_RATE

    def reset(self, seed: int, target: str | None = None) -> None:
        """A new scene, arm at home, gripper open; commands under way are dropped. The clock goes on.

        Raises:
            SimCellError: No object is called ``target``; the scene stays as it is.
        """
        self.cell.reset(seed, target)
        self.episode += 1
        self._begin(seed, None)

    def reset_to_task(self, task: Task, seed: int) -> None:
        """As `reset`, to scene ``seed`` of a task, see `tasks.lay`."""
        lay(self.cell, task, seed)
        self.episode += 1
        self._begin(seed, task)

    def _begin(self, seed: int, task: Task | None) -> None:
        self.seed, self.task, self._gripper = seed, task, 0.0
        self._started = self.steps
        self._follower.hold(HOME_JOINTS)
        self.truth.start()
        self._first_touch.start()

    def follow(self, trajectory: Trajectory) -> None:
        """Replace the arm's trajectory."""
        self._follower.follow(trajectory, self.time)

    def command_gripper(self, values: list[float]) -> None:
        """Set the desired knuckle angle.

        Args:
            values: One angle in radians; outside the gripper's range it is clipped.

        Raises:
            InvalidTrajectoryError: Not exactly one finite number.
        """
        if len(values) != 1 or not np.isfinite(values[0]):
            raise InvalidTrajectoryError(f"a gripper command is one finite angle in radians, got {list(values)}")
        self._gripper = float(gripper_model.from_radians(values[0]))

    def advance(self) -> None:
        """Simulate until the next servo command: 1/120 s."""
        self.steps += STEPS_PER_COMMAND
        joints, velocities = self._follower.desired(self.time)
        self.cell.command(joints, velocities, self._gripper)
        self.cell.step(STEPS_PER_COMMAND)
        self.truth.update()
        self._first_touch.update()

    def task_state(self) -> dict:
        """How far the present task is as plain values, for evaluation only."""
        task = self.task
        return {
            "task": task.name if task else None,
            "seed": self.seed,
            "episode": self.episode,
            "target": self.cell.target,
            "success": task.done(self.truth) if task else self.truth.success(),
            "first_touched": self._first_touch.name,
            "touched_by": self._first_touch.how,
            "time": (self.steps - self._started) / PHYSICS_RATE,
        }

    def report(self) -> dict:
        """The truth of this moment as plain values, for evaluation only."""
        cell, truth = self.cell, self.truth
        return {
            "t": self.time,
            "seed": self.seed,
            "target": cell.target,
            "objects": {name: cell.position(name).round(5).tolist() for name in (*cell.visible, "bowl")},
            "touched": list(truth.touched),
            "first_object": next((name for name in truth.touched if name != "bowl"), None),
            "lifted": list(truth.lifted),
            "in_bowl": truth.in_bowl(),
            "success": truth.success(),
            "pinch": cell.pinch().round(5).tolist(),
            "gripper": round(cell.gripper(), 4),
        }
