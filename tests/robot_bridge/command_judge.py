"""A judge of everything that is sent, with arithmetic of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from cell_fakes import FakeCell

from robot_bridge.execution.commanded import Command
from robot_bridge.execution.smoothing import SentMotion
from robot_model.franka import franka
from robot_model.kinematics import ArmKinematics
from robot_model.rigid_body import pinocchio
from robot_model.shapes import Box, Capsule, robot_shapes


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


class JudgedCell(FakeCell):
    """A cell in which every message is judged."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.judge = Judge(self)

    def step(self, seconds: float | None = None) -> list[Command]:
        commands = super().step(seconds)
        for command in commands:
            if command.trajectory is not None:
                self.judge.look(self, command.trajectory)
        return commands
