"""The arm must not touch itself, the table, or a box that is to stay free.

Judged at each target of inverse kinematics, and again at the nodes of the joints' motion. An arm that stands too near
something may move away from it, not closer.
"""

from __future__ import annotations

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.guard.reasons import Finding, Reason
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
