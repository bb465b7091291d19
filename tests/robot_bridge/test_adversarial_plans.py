"""Thousands of plans, random and malicious: whatever comes, what is sent stays within every limit and never jumps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cell_fakes import FakeCell, make_plan, straight

from plan_protocol.messages import ErrorReply, Plan, PlanRequest
from robot_bridge.limits import JointLimits
from robot_bridge.smoothing import SentMotion
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import franka

PLANS = 2000
CELLS = 10


class Adversary:
    """Mixes sensible plans with everything that could be wrong with one."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.kinds = [getattr(self, name) for name in dir(self) if name.startswith("kind_")]
        self.count = 0

    def __call__(self, request: PlanRequest) -> Plan | ErrorReply:
        self.count += 1
        good = make_plan(
            request, straight(request, self.random.normal(0, 1, 7) * [0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 0.5])
        )
        if self.random.random() < 0.5:
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


class Judge:
    """Looks at everything that is sent, with its own arithmetic."""

    def __init__(self, cell: FakeCell) -> None:
        self.limits = JointLimits.of(franka(cell.config.robot), cell.config)
        self.arm = franka(cell.config.robot)
        self.last: SentMotion | None = None
        self.sent = 0

    def look(self, cell: FakeCell, message: SentMotion) -> None:
        limits = self.limits
        self.sent += 1
        assert np.isfinite(message.positions).all()
        assert (message.positions >= self.arm.lower).all()
        assert (message.positions <= self.arm.upper).all()
        assert (np.abs(message.velocities) <= self.arm.velocity * cell.config.velocity_scale + 1e-9).all()
        assert (message.velocities[-1] == 0).all()
        assert (np.diff(message.times) > 0).all()
        steps = np.diff(message.times)[:, None]
        acceleration = np.abs(np.diff(message.velocities, axis=0)) / steps
        assert (acceleration <= limits.acceleration * 1.001 + 1e-6).all()
        if self.last is not None and "anchored" not in cell.names()[-3:]:
            q, v = self.last.state(float(message.times[0]))
            assert message.positions[0] == pytest.approx(q, abs=2e-4), "continues where the last message leads"
            assert message.velocities[0] == pytest.approx(v, abs=0.02)
        self.last = message


@pytest.mark.parametrize("seed", range(CELLS))
def test_nothing_bad_is_ever_sent(seed: int):
    adversary = Adversary(seed)
    random = np.random.default_rng(1000 + seed)
    start = DROID_RESET_JOINTS + random.normal(0, 0.1, 7)
    cell = FakeCell(adversary, latency=0.05, joints=start, retry_pause=0.0, latency_margin=0.5, seed=seed)
    judge = Judge(cell)
    began = cell.time
    while adversary.count < PLANS / CELLS:
        cell.link.latency = float(random.choice([0.02, 0.1, 0.4, 1.3]))
        cell.link.up = random.random() > 0.005
        late = random.random() < 0.01
        for command in cell.step(float(random.uniform(0.2, 0.6)) if late else float(random.uniform(0.03, 0.09))):
            if command.trajectory is not None:
                judge.look(cell, command.trajectory)
        assert cell.time - began < 600
    refused = cell.executor.rejected
    assert judge.sent > 100, "the sensible plans among them were followed"
    assert not [reason for reason in refused if reason.startswith("command_")], "the last gate had nothing to catch"
    assert {"plan_mismatched", "plan_non_finite"} <= set(refused)
    assert "stop" not in cell.names()
