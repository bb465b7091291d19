"""The planner alone, closed loop in the simulated cell: no bridge, no ROS, no waiting. What time and control cost.

    python benchmarks/planner_in_the_cell.py [--tasks carrot,pea] [--episodes 5] [--set regrip_draws=0 across=0]
    python benchmarks/planner_in_the_cell.py --film runs/films --tasks tape --seed 104 --episodes 1

The cell stands still while a plan is made; `--execute` frames of it are carried out by inverse kinematics, then it
is asked again. One line per trial: done, the first object touched, seconds, plans; with ``-v`` one line per plan. The
scenes are those of `vidplan sim --task NAME --seed N`, the same as `vidplan trials` has: choose settings on other seeds
than those that you report. With ``--strangers`` objects that no training recording shows take the distractors' place.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models.bundle import BundleConfig  # noqa: E402
from plan_protocol.messages import Observation, Plan, PlanRequest  # noqa: E402
from plan_protocol.server import Context  # noqa: E402
from planner_server.config import PlannerConfig  # noqa: E402
from planner_server.evaluation.simulator import OVERSAMPLING  # noqa: E402
from planner_server.options import DEFAULT_BUNDLE  # noqa: E402
from planner_server.planner import Planner  # noqa: E402
from planner_server.policy.cloned import ServedPolicy  # noqa: E402
from planner_server.policy.droid import droid_observation  # noqa: E402
from planner_server.proposers.interfaces import Situation  # noqa: E402
from planner_server.proposers.openpi import flange_chunk  # noqa: E402
from planner_server.service import build_planner, open_bundle, policy_cameras  # noqa: E402
from robot_bridge.trials.statistics import rate  # noqa: E402
from robot_model.conventions import CONTROL_PERIOD, pose_to_matrix  # noqa: E402
from robot_model.franka import PANDA  # noqa: E402
from robot_model.ik import InverseKinematics  # noqa: E402
from robot_model.kinematics import ArmKinematics  # noqa: E402
from sim_cell.cell import Cell  # noqa: E402
from sim_cell.first_touch import FirstTouch  # noqa: E402
from sim_cell.tasks import TASKS, Task, lay  # noqa: E402
from sim_cell.truth import Truth  # noqa: E402
from sim_cell.what_if import Follower  # noqa: E402

ROBOT = "cell"
ENLARGED = 4
"""Screen pixels per pixel of a view in films."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, metavar="DIR")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--episodes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=100, help="of the first scene (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="longest trial (%(default)s)")
    parser.add_argument("--execute", type=int, default=2, help="frames between two plans (%(default)s)")
    parser.add_argument(
        "--ahead", type=int, default=0, help="frames that are promised while a plan is made, as by a slow planner (0)"
    )
    parser.add_argument("--policy", type=Path, metavar="FILE", help="policy whose chunks are proposed as well")
    parser.add_argument("--strangers", action="store_true", help="unknown objects on the table")
    parser.add_argument("--no-uncertainty", action="store_true", help="plan blind to doubt, as `vidplan serve` can")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of PlannerConfig")
    parser.add_argument("--film", type=Path, metavar="DIR", help="folder for a film of each trial")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line per plan")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    config = PlannerConfig(**{name: json.loads(value) for name, value in (e.split("=", 1) for e in given.set)})
    config = config.without_uncertainty() if given.no_uncertainty else config
    bundle = open_bundle(given.bundle, "cpu")
    policy = Direct(given.policy, bundle.config) if given.policy else None
    proposers = ("basis", "biased", "previous") if policy else ("basis", "biased")
    stage = Stage(build_planner(bundle, config, policy=policy, proposers=proposers), bundle.config, given)
    for name in given.tasks.split(","):
        done: list[bool | None] = []
        followed: list[bool | None] = []
        for seed in range(given.seed, given.seed + given.episodes):
            went = stage.trial(TASKS[name], seed)
            done.append(went.done)
            followed.append(went.touched == TASKS[name].target)
            print(f"  {name} {seed}: {went}", flush=True)
            if given.film:
                went.film(given.film / f"{name}-{seed}.mp4", 1 / bundle.config.frame_period)
        print(f"{name}: success {share(done)}, target first {share(followed)}", flush=True)
    return 0


def share(labels: list[bool | None]) -> str:
    """How often, and Wilson's interval."""
    hits = rate(labels)
    low, high = hits.wilson or (0.0, 1.0)
    return f"{hits.hits} of {hits.of} [{low:.2f}, {high:.2f}]"


@dataclass
class Went:
    """How a trial went."""

    done: bool = False
    touched: str | None = None
    how: str | None = None
    seconds: float = 0.0
    plans: int = 0
    frames: list[np.ndarray] = field(default_factory=list)

    def __str__(self) -> str:
        done = "done" if self.done else "not done"
        return f"{done}, {self.touched} ({self.how}) first, {self.seconds:.1f} s, {self.plans} plans"

    def film(self, file: Path, rate: float) -> None:
        """The views ``(V, h, w, 3)`` beside each other."""
        file.parent.mkdir(parents=True, exist_ok=True)
        shown = [np.concatenate(list(views), axis=1)[..., ::-1] for views in self.frames]
        size = (ENLARGED * shown[0].shape[1], ENLARGED * shown[0].shape[0])
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        for frame in shown:
            writer.write(cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST))
        writer.release()


class Direct:
    """A cloned policy in this process, see `planner_server.proposers.biased.NominalPolicy`."""

    name = "policy"

    def __init__(self, file: Path, spec: BundleConfig) -> None:
        self.policy = ServedPolicy(file)
        self.exterior, self.wrist = policy_cameras(spec)

    def chunk(self, situation: Situation) -> np.ndarray | None:
        """Its actions at the frames of the situation."""
        seen = situation.observation
        pictures = seen.images[-1][[self.exterior, self.wrist]]
        asked = droid_observation(*pictures, seen.joints, float(seen.poses[-1, 6]), situation.instruction)
        over = round((situation.start_time - seen.stamps[-1]) / CONTROL_PERIOD)
        return flange_chunk(self.policy.infer(asked)["actions"], over, situation)

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Nothing to remember."""

    def forget(self, robot_id: str) -> None:
        """Nothing to forget."""


class Watch(Truth):
    """The truth of an episode, and what was touched first."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.first = FirstTouch(cell)

    def update(self) -> None:
        """See `Truth.update`."""
        super().update()
        self.first.update()


class Stage:
    """A cell and a planner."""

    def __init__(self, planner: Planner, spec: BundleConfig, given: argparse.Namespace) -> None:
        self.planner, self.spec, self.given = planner, spec, given
        self.inverse = InverseKinematics(ArmKinematics(PANDA))
        self.cell = Cell(OVERSAMPLING * spec.image_size[1], OVERSAMPLING * spec.image_size[0])

    def trial(self, task: Task, seed: int) -> Went:
        """Until it is done, or the time is up."""
        lay(self.cell, task, seed, self.given.strangers)
        self.planner.reset(ROBOT)
        hand, truth, went = Follower(self.cell), Watch(self.cell), Went()
        T = 1 - min(self.spec.history_offsets)
        poses = [hand.measured()] * T
        went.frames += [self.look()] * T
        execute, promised = self.given.execute, np.zeros((0, 7))
        while went.seconds < self.given.seconds and not task.done(truth):
            plan = self.plan(task, hand, went, poses, promised)
            path = np.concatenate([promised, plan.poses])
            promised = path[execute : execute + self.given.ahead]
            for pose in path[:execute]:
                hand.follow(pose, truth)
                went.seconds += self.spec.frame_period
                went.frames.append(self.look())
                poses.append(hand.measured())
        went.done, went.touched, went.how = task.done(truth), truth.first.name, truth.first.how
        return went

    def plan(self, task: Task, hand: Follower, went: Went, poses: list[np.ndarray], promised: np.ndarray) -> Plan:
        """The next plan, from what is seen now, for the time after what is promised."""
        shown = [offset - 1 for offset in self.spec.history_offsets]
        observation = Observation(
            np.stack([went.frames[frame] for frame in shown]),
            went.seconds + np.array(self.spec.history_offsets) * self.spec.frame_period,
            np.stack([poses[frame] for frame in shown]),
            self.cell.joints(),
        )
        joints = hand.commanded_joints()
        for pose in promised:
            joints = self.inverse.solve(pose_to_matrix(pose[:6]), joints).q
        request = PlanRequest(task.instruction, observation, promised, joints, deadline=60.0, seed=went.plans)
        plan = self.planner.plan(request, Context(ROBOT, ROBOT))
        went.plans += 1
        if self.given.verbose:
            self.explain(plan, went)
        return plan

    def explain(self, plan: Plan, went: Went) -> None:
        """One line."""
        best, tool = plan.candidates[plan.chosen], self.cell.pinch()
        way = 100 * (self.cell.position(self.cell.target) - tool)
        print(
            f"    {went.seconds:5.1f} s  tool {100 * tool[0]:.0f} {100 * tool[1]:.0f} {100 * tool[2]:.0f}  target "
            f"{way[0]:+.0f} {way[1]:+.0f} {way[2]:+.0f} cm  fingers {self.cell.gripper():.2f} -> "
            f"{plan.poses[-1, 6]:.0f}  {best.name:12s} reward {best.reward:+.2f}  E[V] {best.value:.2f}  h "
            f"{best.uncertainty:.2f}  {plan.status}",
            flush=True,
        )

    def look(self) -> np.ndarray:
        """The views ``(V, h, w, 3)`` of this moment, as a bridge would send them."""
        views, size = self.cell.render(), self.spec.image_size[::-1]
        return np.stack([cv2.resize(views[name].image, size, interpolation=cv2.INTER_AREA) for name in self.spec.views])


if __name__ == "__main__":
    raise SystemExit(main())
