"""Can the arm follow the path? Inverse kinematics along it, judged sample by sample before anything moves.

A path is followed up to the first sample that a layer refuses and ends there at rest; near singularities it is walked
more slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.chunk import PoseCurve
from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.steps import Steps
from robot_bridge.execution.trajectory import Schedule, brake
from robot_bridge.guard.collision import OVERSHOOT, Collision
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.guard.workspace import FlangeBox
from robot_model.conventions import pose_to_matrix
from robot_model.franka import Franka
from robot_model.ik import IkResult, InverseKinematics

SLOWEST = 0.2
"""Share of the pace left just below the stopping condition, and on the way out of it."""


class PathLayer(Protocol):
    """One layer."""

    def check(self, now: IkResult, before: IkResult) -> Finding | None:
        """Objection to a sample, knowing the one before, or None."""
        ...


class Residual:
    """Inverse kinematics must have reached the pose (within one period's joint motion of the sample before)."""

    def __init__(self, config: BridgeConfig) -> None:
        self.metres = config.max_ik_position
        self.radians = config.max_ik_rotation

    def check(self, now: IkResult, before: IkResult) -> Finding | None:
        """See `PathLayer.check`."""
        if now.position_error > self.metres or now.rotation_error > self.radians:
            return Finding(
                Reason.IK_RESIDUAL,
                f"the arm misses the pose by {now.position_error * 1e3:.1f} mm and {now.rotation_error:.3f} rad",
            )
        return None


class Conditioning:
    """Stops before a singularity and slows down towards it; the way out stays open."""

    def __init__(self, config: BridgeConfig) -> None:
        self.slow = config.condition_slow
        self.stop = config.condition_stop

    def check(self, now: IkResult, before: IkResult) -> Finding | None:
        """See `PathLayer.check`."""
        if now.condition >= self.stop and now.condition >= before.condition:
            return Finding(
                Reason.CONDITIONING_STOP,
                f"too near a singularity: condition number {now.condition:.0f} >= {self.stop:g}",
            )
        return None

    def pace(self, condition: float) -> float:
        """Share of the planned pace, 1 far from singularities down to `SLOWEST`."""
        share = (condition - self.slow) / (self.stop - self.slow)
        return float(1.0 - (1.0 - SLOWEST) * min(max(share, 0.0), 1.0))


class JointMargin:
    """Keeps off the joints' end stops; the way back inside stays open."""

    def __init__(self, config: BridgeConfig, arm: Franka) -> None:
        self.arm = arm
        self.lower = arm.lower + config.joint_margin
        self.upper = arm.upper - config.joint_margin

    def check(self, now: IkResult, before: IkResult) -> Finding | None:
        """See `PathLayer.check`."""
        beyond, beyond_before = (np.maximum(self.lower - ik.q, ik.q - self.upper) for ik in (now, before))
        worst = int(beyond.argmax())
        if beyond[worst] > 0 and beyond[worst] > beyond_before[worst]:
            return Finding(
                Reason.JOINT_MARGIN,
                f"{self.arm.joint_names[worst]} would be at {now.q[worst]:.2f} rad, outside "
                f"[{self.lower[worst]:.2f}, {self.upper[worst]:.2f}]",
            )
        return None


@dataclass(frozen=True, eq=False)
class JointPath:
    """Joint targets along a path.

    Attributes:
        targets: ``(N, 7)`` rad, one per node of the motion.
        cut: Why the path ends early, or None.
        slowed: The largest condition number met, where it slowed the arm, or None.
    """

    targets: np.ndarray
    cut: Finding | None
    slowed: Finding | None

    @property
    def as_planned(self) -> bool:
        """Neither cut nor slowed."""
        return self.cut is None and self.slowed is None


class PathGuard:
    """Walks a path of poses with inverse kinematics and all layers on it."""

    def __init__(self, config: BridgeConfig, ik: InverseKinematics, limits: JointLimits) -> None:
        arm = ik.kinematics.franka
        self.ik = ik
        self.limits = limits
        self.conditioning = Conditioning(config)
        self.box = FlangeBox(config, ik.kinematics)
        self.collision = Collision(config, ik.kinematics)
        self.layers: tuple[PathLayer, ...] = (
            Residual(config),
            self.conditioning,
            JointMargin(config, arm),
            self.collision,
        )
        self.max_step = arm.velocity * limits.period

    def first_objection(self, motion: Schedule) -> Steps[tuple[int, Finding] | None]:
        """The first node of a motion that the arm should not go to, and why; None where all are fine. A step per node.

        A node counts as bad as well where braking from it would lead somewhere bad: any may be the last that arrives.
        """
        start = motion.positions[0]
        for k in range(1, len(motion.times)):
            tail = brake(motion.times[k], motion.positions[k], motion.velocities[k], self.limits).positions
            for q in (motion.positions[k], tail[len(tail) // 2], tail[-1]):
                finding = self.box.objection(q, start) or self.collision.objection(q, start, OVERSHOOT)
                if finding:
                    return k, finding
            yield
        return None

    def walk(self, curve: PoseCurve, time: float, q: np.ndarray) -> Steps[JointPath]:
        """Joint targets from a state along a path until its end. A step per target.

        Args:
            curve: Where to go.
            time: Now, seconds.
            q: ``(7,)`` commanded joints now.
        """
        dt = self.limits.period
        before = self.ik.solve(self.ik.kinematics.forward(q), q)
        targets: list[np.ndarray] = []
        slowed: Finding | None = None
        worst = 0.0
        count = int(np.ceil((curve.end - time) / dt - 1e-6))
        along = time
        for _ in range(count):
            pace = self.conditioning.pace(before.condition)
            if pace < 1.0 and before.condition > worst:
                worst = before.condition
                slowed = Finding(Reason.CONDITIONING_SLOW, f"slowed near a singularity: condition number {worst:.0f}")
            along += pace * dt
            result = self.ik.solve(pose_to_matrix(curve.pose(along)), before.q, self.max_step)
            cut = next((finding for layer in self.layers if (finding := layer.check(result, before))), None)
            if cut:
                return JointPath(np.array(targets).reshape(-1, len(q)), cut, slowed)
            targets.append(result.q)
            before = result
            yield
        return JointPath(np.array(targets).reshape(-1, len(q)), None, slowed)
