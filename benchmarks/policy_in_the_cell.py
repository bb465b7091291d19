"""A policy alone, closed loop in the simulated cell: cell + policy + joint velocities, no planner, no bridge, no ROS.

    python benchmarks/policy_in_the_cell.py [--policy FILE] [--tasks carrot,pea] [--episodes 10]

The policy sees what openpi's protocol would bring it and is asked again every `--every` control steps (15 Hz). One line
per trial: done, the first object touched, seconds. The scenes are those of `vidplan sim --task NAME --seed N`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import mujoco
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from planner_server.policy.cli import DEFAULT_POLICY  # noqa: E402
from planner_server.policy.cloned import ServedPolicy  # noqa: E402
from planner_server.policy.droid import droid_observation  # noqa: E402
from robot_model.adapter import STEP_ANGLE  # noqa: E402
from robot_model.conventions import CONTROL_PERIOD  # noqa: E402
from robot_model.franka import PANDA  # noqa: E402
from sim_cell.cell import HOME_JOINTS, Cell  # noqa: E402
from sim_cell.first_touch import FirstTouch  # noqa: E402
from sim_cell.scene import PHYSICS_RATE  # noqa: E402
from sim_cell.tasks import TASKS, Task, lay  # noqa: E402
from sim_cell.truth import Truth  # noqa: E402

STEPS_PER_COMMAND = 4
COMMANDS = round(PHYSICS_RATE * CONTROL_PERIOD) // STEPS_PER_COMMAND
SEEN = (80, 48)
"""Columns and rows that a bridge would send."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, default=DEFAULT_POLICY, help="(%(default)s)")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=100, help="of the first scene (%(default)s)")
    parser.add_argument("--seconds", type=float, default=25.0, help="longest trial (%(default)s)")
    parser.add_argument("--every", type=int, default=9, help="control steps between two questions (%(default)s)")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    policy, cell = ServedPolicy(given.policy), Cell()
    for name in given.tasks.split(","):
        rows = []
        for seed in range(given.seed, given.seed + given.episodes):
            rows.append(trial(cell, policy, TASKS[name], seed, given.every, given.seconds))
            done, touched, how, seconds = rows[-1]
            print(f"  {name} {seed}: {'done' if done else 'not done'}, {touched} ({how}), {seconds:.1f} s", flush=True)
        followed = sum(touched == TASKS[name].target for _, touched, _, _ in rows)
        print(
            f"{name}: success {sum(row[0] for row in rows)}/{len(rows)}, target first {followed}/{len(rows)}",
            flush=True,
        )
    return 0


def trial(
    cell: Cell, policy: ServedPolicy, task: Task, seed: int, every: int, longest: float
) -> tuple[bool, str | None, str | None, float]:
    """Whether it was done, the first object touched and how, seconds."""
    lay(cell, task, seed)
    truth, touch = Truth(cell), FirstTouch(cell)
    joints, gripper, steps = HOME_JOINTS.copy(), 0.0, 0
    while steps * CONTROL_PERIOD < longest and not task.done(truth):
        observation = droid_observation(*look(cell), cell.joints(), cell.gripper(), task.instruction)
        for action in policy.infer(observation)["actions"][:every]:
            velocity = np.clip(action[:7] * STEP_ANGLE / CONTROL_PERIOD, -PANDA.velocity, PANDA.velocity)
            goal = np.clip(joints + velocity * CONTROL_PERIOD, PANDA.lower, PANDA.upper)
            gripper = float(action[7] > 0.5)
            for part in np.arange(1, COMMANDS + 1) / COMMANDS:
                cell.command(joints + part * (goal - joints), velocity, gripper)
                cell.step(STEPS_PER_COMMAND)
                truth.update()
                touch.update()
            joints, steps = goal, steps + 1
    return task.done(truth), touch.name, touch.how, steps * CONTROL_PERIOD


def look(cell: Cell) -> list[np.ndarray]:
    """The left and the wrist view ``(48, 80, 3)`` of this moment."""
    mujoco.mj_kinematics(cell.model, cell.data)
    mujoco.mj_camlight(cell.model, cell.data)
    cell.renderer.update_shadows(cell.data)
    views = [cell.renderer.render(cell.data, name)[0] for name in ("left", "wrist")]
    return [cv2.resize(view, SEEN, interpolation=cv2.INTER_AREA) for view in views]


if __name__ == "__main__":
    raise SystemExit(main())
