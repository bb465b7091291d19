"""Everything that could go wrong with plans, senses and clocks, in front of the judge of `command_judge`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from cell_fakes import FakeCell, make_plan, straight
from command_judge import JudgedCell

from plan_protocol.messages import ErrorReply, Plan, PlanRequest
from robot_bridge.guard.reasons import Finding, Reason
from robot_model.conventions import DROID_RESET_JOINTS


class Adversary:
    """Mixes sensible plans with everything that could be wrong with one."""

    def __init__(self, seed: int, sensible: float = 0.5) -> None:
        self.sensible = sensible
        self.random = np.random.default_rng(seed)
        self.kinds = [getattr(self, name) for name in dir(self) if name.startswith("kind_")]
        self.count = 0

    def __call__(self, request: PlanRequest) -> Plan | ErrorReply:
        self.count += 1
        good = make_plan(
            request, straight(request, self.random.normal(0, 1, 7) * [0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 0.5])
        )
        if self.random.random() < self.sensible:
            return good
        return self.kinds[self.random.integers(len(self.kinds))](request, good)

    def with_poses(self, good: Plan, change: float | np.ndarray) -> Plan:
        poses = good.poses.copy()
        rows, columns = self.random.random((2, *poses.shape)) < 0.3
        poses[rows & columns] = change
        poses[self.random.integers(5), self.random.integers(7)] = change
        return replace(good, poses=poses)

    def kind_nan(self, request, good):
        return self.with_poses(good, np.nan)

    def kind_infinite(self, request, good):
        return self.with_poses(good, self.random.choice([-np.inf, np.inf]))

    def kind_huge(self, request, good):
        return self.with_poses(good, self.random.normal() * 10.0 ** self.random.integers(0, 300))

    def kind_jump(self, request, good):
        poses = good.poses.copy()
        poses[self.random.integers(5) :] += self.random.normal(0, 0.15, 7)
        return replace(good, poses=poses)

    def kind_wild(self, request, good):
        return replace(good, poses=straight(request, self.random.normal(0, 1, 7) * [0.1, 0.1, 0.1, 0.4, 0.4, 0.4, 1]))

    def kind_flipped_angles(self, request, good):
        poses = good.poses.copy()
        poses[::2, 3:6] += 2 * np.pi * self.random.integers(-2, 3, 3)
        return replace(good, poses=poses)

    def kind_zero_poses(self, request, good):
        return replace(good, poses=np.zeros_like(good.poses))

    def kind_other_observation(self, request, good):
        return replace(good, observation_stamp=good.observation_stamp - 0.2)

    def kind_other_times(self, request, good):
        return replace(good, times=good.times + self.random.normal(0, 1, 5))

    def kind_wrong_shape(self, request, good):
        shapes = [(4, 7), (5, 6), (0, 7), (5,), (6, 7)]
        return replace(good, poses=self.random.normal(size=shapes[self.random.integers(len(shapes))]))

    def kind_error(self, request, good):
        return ErrorReply("internal", "planned chaos", bool(self.random.integers(2)))

    def kind_into_the_table(self, request, good):
        return replace(good, poses=straight(request, np.array([0, 0, -0.05, 0, 0, 0, 0])))

    def kind_overstretch(self, request, good):
        return replace(good, poses=straight(request, np.array([0.05, 0, 0.02, 0, 0, 0, 0])))

    def kind_twist(self, request, good):
        return replace(good, poses=straight(request, np.array([0, 0, 0, 0, 0, 0.2, 1.0])))

    def kind_truncated(self, request, good):
        keep = int(self.random.integers(0, 5))
        return replace(good, poses=good.poses[:keep], times=good.times[:keep])

    def kind_into_itself(self, request, good):
        return replace(good, poses=straight(request, np.array([-0.05, 0, 0.01, 0, 0.05, 0, 0])))

    def kind_backwards_in_time(self, request, good):
        return replace(good, times=good.times[::-1].copy())


@dataclass
class Ordeal:
    """What a cell went through: plans made, messages looked at, what was refused, nearest approach to the limits."""

    plans: int
    sent: int
    rejected: dict[str, int]
    worst: dict[str, float]
    events: set[str]


def ordeal(seed: int, plans: int, robot: str = "panda", sensible: float = 0.5, rate: float = 15.0) -> Ordeal:
    """Drive a cell with random and adversarial plans and faulty senses; every message is judged.

    Args:
        seed: Of everything random.
        plans: How many plans to make.
        robot: The arm.
        sensible: Share of plans that nothing is wrong with.
        rate: Control rate, Hz; ticks come at 0.45 to 1.35 of its period, a few much later.
    """
    adversary, random = Adversary(seed, sensible), np.random.default_rng(1000 + seed)
    start = DROID_RESET_JOINTS + random.normal(0, 0.1, 7)
    settings = {"retry_pause": 0.0, "latency_margin": 0.5, "seed": seed, "robot": robot, "control_rate": rate}
    cell = JudgedCell(adversary, 0.05, start, **settings)
    period = cell.config.control_period
    trouble_until = 0.0
    rejected: set[str] = set()
    while adversary.count < plans:
        cell.link.latency = float(random.choice([0.02, 0.1, 0.4, 1.3]))
        cell.link.up = random.random() > 0.075 * period
        if cell.time > trouble_until:
            _recover(cell)
            if random.random() < 0.15 * period:
                trouble_until = cell.time + random.uniform(0.1, 1.5)
                _trouble(cell, random)
        late = random.random() < 0.15 * period
        pause = random.uniform(0.2, 0.6) if late else period * random.uniform(0.45, 1.35)
        cell.step(float(pause))
        rejected |= {event["event"] for event in cell.events[-3:]}
    return Ordeal(adversary.count, cell.judge.sent, dict(cell.executor.rejected), cell.judge.worst, rejected)


def _trouble(cell: FakeCell, random: np.random.Generator) -> None:
    kind = int(random.integers(6))
    if kind == 0:
        cell.senser.camera_age = float(random.uniform(0.6, 3.0))
    elif kind == 1:
        cell.senser.skew = float(random.uniform(0.1, 1.0))
    elif kind == 2:
        cell.senser.joint_age = float(random.choice([0.3, 2.0, -1.0]))
    elif kind == 3:
        cell.arm.held = cell.arm.state(cell.time)[0]
    elif kind == 4:
        cell.executor.stop(Finding(Reason.STOPPED, "the ordeal"))
    else:
        cell.executor.instruct(f"task {random.integers(3)}")


def _recover(cell: FakeCell) -> None:
    cell.senser.camera_age, cell.senser.skew, cell.senser.joint_age = 0.03, 0.01, 0.005
    cell.arm.held = None
    if cell.executor.stopped:
        cell.executor.rearm()
