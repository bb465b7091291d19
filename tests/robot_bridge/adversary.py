"""Everything that could go wrong with plans, senses and clocks, and a judge with arithmetic of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from cell_fakes import FakeCell, make_plan, straight

from plan_protocol.messages import ErrorReply, Plan, PlanRequest
from robot_bridge.execution.smoothing import SentMotion
from robot_bridge.guard.reasons import Finding, Reason
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import franka
from robot_model.kinematics import ArmKinematics
from robot_model.rigid_body import pinocchio
from robot_model.shapes import Box, Capsule, robot_shapes


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


class Judge:
    """Looks at everything that is sent. Shares no arithmetic with the guard: only Franka's figures and the shapes.

    Attributes:
        sent: Messages looked at.
        worst: What came nearest to its limit, as a share of it, by name.
    """

    def __init__(self, cell: FakeCell) -> None:
        self.arm, self.config = franka(cell.config.robot), cell.config
        self.kinematics = ArmKinematics(self.arm)
        self.solids = Solids(self.kinematics)
        self.lower, self.upper = np.array(cell.config.workspace_lower), np.array(cell.config.workspace_upper)
        self.last: SentMotion | None = None
        self.events_seen = 0
        self.sent = 0
        self.worst: dict[str, float] = {}

    def look(self, cell: FakeCell, message: SentMotion) -> None:
        self.sent += 1
        self._numbers(message)
        self._limits(message)
        self._continues(cell, message)
        if self.sent % 2:
            self._places(message)
        self.last = message

    def _numbers(self, message: SentMotion) -> None:
        for array in (message.times, message.positions, message.velocities, message.accelerations):
            assert np.isfinite(array).all()
        assert (np.diff(message.times) > 0).all()
        assert (message.velocities[-1] == 0).all()
        assert (message.accelerations[-1] == 0).all()

    def _limits(self, message: SentMotion) -> None:
        arm, config = self.arm, self.config
        q, v, a, j = interpolated(message)
        assert (q >= arm.lower - 1e-9).all()
        assert (q <= arm.upper + 1e-9).all()
        slowest, fastest = arm.velocity_limits(np.clip(q, arm.lower, arm.upper))
        assert (v <= fastest + 1e-3).all()
        assert (v >= slowest - 1e-3).all()
        self._within("velocity", v, config.velocity_scale * arm.velocity)
        self._within("acceleration", a, config.acceleration_scale * arm.acceleration)
        self._within("jerk", j, config.acceleration_scale * arm.jerk)

    def _within(self, name: str, values: np.ndarray, limit: np.ndarray) -> None:
        share = float((np.abs(values) / limit).max())
        self.worst[name] = max(self.worst.get(name, 0.0), share)
        assert share <= 1.002, f"{name} at {share:.3f} of its limit"

    def _continues(self, cell: FakeCell, message: SentMotion) -> None:
        fresh = cell.events[self.events_seen :]
        self.events_seen = len(cell.events)
        if self.last is not None and not any(event["event"] == "anchored" for event in fresh):
            told = self.last.full_state(float(message.times[0]))
            assert np.abs(told[0] - message.positions[0]).max() < 5e-4, "continues where the last message leads"
            assert np.abs(told[1] - message.velocities[0]).max() < 0.05
            assert (np.abs(told[2] - message.accelerations[0]) < 0.2 * self.arm.acceleration).all()

    def _places(self, message: SentMotion) -> None:
        for q in message.positions[:: max(1, len(message.positions) // 3)]:
            flange = self.kinematics.forward(q)[:3, 3]
            outside = float(np.maximum(self.lower - flange, flange - self.upper).max())
            self.worst["workspace, m"] = max(self.worst.get("workspace, m", -1.0), outside)
            assert outside < 0.012, f"the flange is {outside * 1e3:.0f} mm outside its box"
            tips, others, itself = self.solids.distances(q, self.config.table_height)
            self.worst["fingertips into table, m"] = max(self.worst.get("fingertips into table, m", -1.0), -tips)
            assert tips > self.config.tip_clearance - 0.0065
            assert others > self.config.scene_margin - 0.0065
            assert itself > self.config.self_margin - 0.0065


QUINTIC = np.linalg.inv(
    np.array(
        [
            [1, 0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0, 0],
            [0, 0, 2, 0, 0, 0],
            [1, 1, 1, 1, 1, 1],
            [0, 1, 2, 3, 4, 5],
            [0, 0, 2, 6, 12, 20],
        ],
        dtype=float,
    )
)
"""Start and end position, velocity, acceleration -> coefficients of the polynomial on [0, 1]."""

MOMENTS = np.array([0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0])
POWERS = MOMENTS[:, None] ** np.arange(6)
RATES = [np.eye(6)]
for _ in range(3):
    RATES.append(RATES[-1] @ np.diag(np.arange(1.0, 6.0), -1))


def interpolated(message: SentMotion) -> list[np.ndarray]:
    """Positions, velocities, accelerations, jerks between the nodes, as a stock controller's quintics make them."""
    h = np.diff(message.times)[:, None]
    q, v, a = message.positions, message.velocities, message.accelerations
    ends = np.stack([q[:-1], v[:-1] * h, a[:-1] * h**2, q[1:], v[1:] * h, a[1:] * h**2])
    # Positions relative to the start: differences, not the position itself, carry the derivatives.
    ends[3] -= ends[0]
    base, ends[0] = ends[0].copy(), 0.0
    coefficients = np.einsum("ij,jnk->ink", QUINTIC, ends)
    found = [np.einsum("si,ij,jnk->snk", POWERS, RATES[order].T, coefficients) / h**order for order in range(4)]
    found[0] += base
    return found


@dataclass(frozen=True)
class Ball:
    """A ball inside a shape: ``joint`` and place ``(3,)`` on it."""

    body: str
    joint: int
    place: np.ndarray
    radius: float


class Solids:
    """The robot as balls inside its shapes (boxes: their corners and middle): distances can only be overestimated."""

    def __init__(self, kinematics: ArmKinematics) -> None:
        self.kinematics = kinematics
        self.balls = [ball for shape in robot_shapes() for ball in self._balls(shape)]
        self.joints = np.array([ball.joint for ball in self.balls])
        self.places = np.array([ball.place for ball in self.balls])
        self.radii = np.array([ball.radius for ball in self.balls])
        bodies = np.array([ball.body for ball in self.balls])
        self.tips = bodies == "fingertips"
        self.others = ~np.isin(bodies, ["link0", "link1", "link2", "fingertips"])
        self.near = np.isin(bodies, ["link0", "link1", "link2"])
        self.far = np.isin(bodies, ["link5", "link6", "link7", "gripper", "fingers", "fingertips", "wrist camera"])

    def distances(self, q: np.ndarray, table: float) -> tuple[float, float, float]:
        """Of the fingertips and of the other parts from the table, and of the hand from the arm's first links."""
        model, data = self.kinematics.model, self.kinematics.data
        pinocchio.forwardKinematics(model, data, q)
        turns = np.array([placement.rotation for placement in data.oMi])
        shifts = np.array([placement.translation for placement in data.oMi])
        at = np.einsum("bij,bj->bi", turns[self.joints], self.places) + shifts[self.joints]
        heights = at[:, 2] - self.radii - table
        apart = np.linalg.norm(at[self.far][:, None] - at[self.near], axis=2)
        itself = apart - self.radii[self.far][:, None] - self.radii[self.near]
        return float(heights[self.tips].min()), float(heights[self.others].min()), float(itself.min())

    def _balls(self, shape: Capsule | Box) -> list[Ball]:
        model = self.kinematics.model
        frame = model.frames[model.getFrameId(f"{self.kinematics.franka.name}_{shape.link}")]
        if isinstance(shape, Capsule):
            line = np.linspace(shape.start, shape.end, 4)
            places, radius = line, shape.radius
        else:
            c, s = np.cos(shape.turn), np.sin(shape.turn)
            grid = np.array(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1])).reshape(3, 27).T / 2
            places = (grid * shape.size + shape.centre) @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
            radius = 0.0
        return [Ball(shape.body, frame.parentJoint, frame.placement.act(place), radius) for place in places]


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
    cell = FakeCell(adversary, 0.05, start, **settings)
    period = cell.config.control_period
    judge = Judge(cell)
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
        for command in cell.step(float(pause)):
            if command.trajectory is not None:
                judge.look(cell, command.trajectory)
        rejected |= {event["event"] for event in cell.events[-3:]}
    return Ordeal(adversary.count, judge.sent, dict(cell.executor.rejected), judge.worst, rejected)


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
