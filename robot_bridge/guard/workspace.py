"""Layers that keep the flange in its box and at its pace: small excesses are mended, large ones refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from plan_protocol.messages import PlannerSpec
from robot_bridge.config import BridgeConfig
from robot_bridge.guard.reasons import Finding, Reason
from robot_model.conventions import interpolate_pose, pose_distance
from robot_model.kinematics import ArmKinematics

if TYPE_CHECKING:
    from robot_bridge.guard.plan import Proposal

SLIVER = 1e-6
"""Excess below this is rounding and not worth a note."""

CORNER = 0.01
"""Metres outside the box that a path may swing between two waypoints inside it."""


class Workspace:
    """The flange stays in the common part of the bridge's and the planner's box."""

    def __init__(self, config: BridgeConfig, spec: PlannerSpec) -> None:
        self.lower = np.maximum(config.workspace_lower, spec.workspace_lower)
        self.upper = np.minimum(config.workspace_upper, spec.workspace_upper)
        self.slack = config.workspace_slack

    def check(self, proposal: Proposal) -> Proposal | Finding:
        """See `robot_bridge.guard.plan.PlanLayer.check`. An arm that starts outside may come back, not go further."""
        outside = self._outside(proposal.poses)
        start = float(self._outside(proposal.commanded(proposal.start)[None])[0])
        worst = int(outside.argmax())
        if outside[worst] <= SLIVER:
            return proposal
        where = f"waypoint {worst + 1} is {outside[worst] * 1e3:.0f} mm outside the workspace box"
        if outside[worst] > max(self.slack, start):
            return Finding(Reason.WORKSPACE, f"{where} (up to {self.slack * 1e3:.0f} mm is mended)")
        poses = proposal.poses.copy()
        poses[:, :3] = np.clip(poses[:, :3], self.lower, self.upper)
        return replace(proposal, poses=poses).noted(Finding(Reason.WORKSPACE, f"{where}; moved inside"))

    def _outside(self, poses: np.ndarray) -> np.ndarray:
        return np.maximum(self.lower - poses[:, :3], poses[:, :3] - self.upper).max(axis=1).clip(min=0.0)


class FlangeBox:
    """The flange of the commanded arm stays in the bridge's box, between the waypoints and while braking too."""

    def __init__(self, config: BridgeConfig, kinematics: ArmKinematics) -> None:
        self.lower, self.upper = np.array(config.workspace_lower), np.array(config.workspace_upper)
        self.kinematics = kinematics

    def objection(self, q: np.ndarray, before: np.ndarray) -> Finding | None:
        """Whether joints ``q`` lead outside, and further than ``before`` was, both ``(7,)`` rad."""
        beyond = self._beyond(q)
        if beyond <= CORNER or beyond <= self._beyond(before) + SLIVER:
            return None
        return Finding(Reason.WORKSPACE, f"the flange would be {beyond * 1e3:.0f} mm outside the workspace box")

    def _beyond(self, q: np.ndarray) -> float:
        flange = self.kinematics.forward(q)[:3, 3]
        return float(np.maximum(self.lower - flange, flange - self.upper).max())


class StepLimit:
    """No waypoint further from the one before than the fastest allowed motion goes in a frame."""

    def __init__(self, config: BridgeConfig, spec: PlannerSpec) -> None:
        self.metres = min(config.max_linear_speed, spec.max_linear_speed) * spec.frame_period
        self.radians = min(config.max_angular_speed, spec.max_angular_speed) * spec.frame_period
        self.excess = config.max_step_excess

    def check(self, proposal: Proposal) -> Proposal | Finding:
        """See `robot_bridge.guard.plan.PlanLayer.check`. A shortened step is caught up by the following ones."""
        poses = proposal.poses.copy()
        raw_before = before = proposal.commanded(proposal.start)
        for k, target in enumerate(proposal.poses):
            finding = self._refusal(k, raw_before, target)
            if finding:
                return finding
            raw_before = target
            metres, radians = (float(value) for value in pose_distance(before, target))
            share_linear = min(1.0, self.metres / max(metres, SLIVER))
            share_angular = min(1.0, self.radians / max(radians, SLIVER))
            poses[k, :3] = before[:3] + share_linear * (target[:3] - before[:3])
            poses[k, 3:6] = interpolate_pose(before, target, share_angular)[3:6]
            if share_linear < 1 - SLIVER:
                proposal = proposal.noted(
                    Finding(Reason.LINEAR_STEP, f"step {k + 1} of {metres * 1e3:.0f} mm shortened")
                )
            if share_angular < 1 - SLIVER:
                proposal = proposal.noted(Finding(Reason.ANGULAR_STEP, f"step {k + 1} of {radians:.2f} rad shortened"))
            before = poses[k]
        return replace(proposal, poses=poses)

    def _refusal(self, k: int, before: np.ndarray, target: np.ndarray) -> Finding | None:
        """Refuse steps so long that something must be wrong with the plan."""
        metres, radians = (float(value) for value in pose_distance(before, target))
        if metres > self.excess * self.metres:
            return Finding(
                Reason.LINEAR_STEP,
                f"step {k + 1} is {metres * 1e3:.0f} mm in one frame; allowed are {self.metres * 1e3:.0f} mm",
            )
        if radians > self.excess * self.radians:
            return Finding(
                Reason.ANGULAR_STEP,
                f"step {k + 1} turns {radians:.2f} rad in one frame; allowed are {self.radians:.2f}",
            )
        return None
