"""The arm must not touch itself, the table, or a box that is to stay free.

Judged where the arm is told to be: at each target of inverse kinematics, at each node of the joints' motion, and where
braking from that node would end. An arm that stands too near something may move away from it, not closer.
"""

from __future__ import annotations

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.limits import JointLimits
from robot_bridge.trajectory import Schedule, brake
from robot_model.collision import ArmCollision, Margins
from robot_model.ik import IkResult
from robot_model.kinematics import ArmKinematics
from robot_model.shapes import robot_shapes

OVERSHOOT = 0.003
"""Metres of the margin that the joints' motion may use up: it rounds corners of the path and runs on while braking."""

CREEP = 1e-4
"""Metres by which an arm that stands too near may seem to come closer: arithmetic, not motion."""


class Collision:
    """Distances of the commanded arm from itself and from the scene."""

    def __init__(self, config: BridgeConfig, kinematics: ArmKinematics) -> None:
        margins = Margins(config.self_margin, config.scene_margin, config.tip_clearance)
        shapes = robot_shapes(config.gripper_shape)
        self.model = ArmCollision(kinematics, shapes, config.table_height, config.keep_out_boxes, margins)

    def check(self, now: IkResult, before: IkResult) -> Finding | None:
        """See `robot_bridge.guard.path.PathLayer.check`."""
        return self.objection(now.q, before.q)

    def objection(self, q: np.ndarray, before: np.ndarray, overshoot: float = 0.0) -> Finding | None:
        """What joints ``q`` come too near to, both ``(7,)`` rad, other than where ``before`` was as near, or None.

        Args:
            q: Where the arm would be.
            before: Where it comes from.
            overshoot: Share of the margin, metres, that does not count.
        """
        if self.model.clear(q):
            return None
        left = self.model.excess(q) + overshoot
        closer = left - np.minimum(self.model.excess(before) + overshoot, 0.0)
        worst = int(np.where(left < 0, closer, np.inf).argmin())
        if not (left[worst] < 0 and closer[worst] < -CREEP):
            return None
        first, second = self.model.pairs.bodies[worst]
        reason = Reason.SCENE_COLLISION if self.model.pairs.scene[worst] else Reason.SELF_COLLISION
        distance = (left[worst] - overshoot + self.model.pairs.margins[worst]) * 1e3
        keep = self.model.pairs.margins[worst] * 1e3
        return Finding(reason, f"{first} would be {distance:.0f} mm from {second} (at least {keep:.0f} mm are kept)")

    def first_objection(self, motion: Schedule, limits: JointLimits) -> tuple[int, Finding] | None:
        """The first node of a motion that the arm should not go to, and why; None where all are fine.

        A node counts as bad as well where braking from it would end too near something: any node may become the last
        one that arrives.
        """
        start = motion.positions[0]
        for k in range(1, len(motion.times)):
            tail = brake(motion.times[k], motion.positions[k], motion.velocities[k], limits).positions
            for q in (motion.positions[k], tail[len(tail) // 2], tail[-1]):
                finding = self.objection(q, start, OVERSHOOT)
                if finding:
                    return k, finding
        return None
