"""What must hold before motion is allowed again after a stop."""

from __future__ import annotations

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.guard.observation import JointAge, ObservationGuard, Senses
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.sensing.synchroniser import JointSample

STANDSTILL = 0.05
"""Measured joint speed below which the arm counts as standing still, rad/s."""


class RearmCheck:
    """The arm stands still, commanded and measured, and the senses are fresh."""

    def __init__(self, config: BridgeConfig) -> None:
        self._with_planner = ObservationGuard(config).layers
        self._alone = (JointAge(config),)

    def objection(
        self, at_rest: bool, joints: JointSample | None, senses: Senses, planner_known: bool
    ) -> Finding | None:
        """Why motion must not be allowed yet, or None.

        Args:
            at_rest: The commanded arm stands still.
            joints: The newest joint state.
            senses: How fresh everything is.
            planner_known: A planner has said what it wants to see; before, only the joints count.
        """
        moving = joints is not None and float(np.abs(joints.velocities).max()) > STANDSTILL
        if not at_rest or moving:
            return Finding(Reason.NOT_AT_REST, "wait until the arm stands still, then re-arm")
        layers = self._with_planner if planner_known else self._alone
        return next((finding for layer in layers if (finding := layer.check(senses))), None)
