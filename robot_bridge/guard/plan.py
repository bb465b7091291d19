"""Is a plan fit to be followed? Layers that take a proposal, and pass it on, mend it, or refuse it.

Each layer returns the proposal (perhaps mended, with a note) or a `Finding` that refuses it; `PlanGuard` runs them in
order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from plan_protocol.messages import POSE_SIZE, Plan, PlannerSpec
from robot_bridge.config import BridgeConfig
from robot_bridge.execution.steps import Steps
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.guard.workspace import StepLimit, Workspace
from robot_model.conventions import pose_distance

HUGE = 1e6
"""No pose (metres, radians) and no time from now (seconds) comes near this."""

STILL_METRES = 0.005
STILL_RADIANS = 0.03
"""The arm counts as waiting at the chunk's start while it is commanded to stay this close to it."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What the request asked for.

    Attributes:
        observation_stamp: Stamp of its newest frame.
        committed: Frames of its committed prefix.
        spec: What the server promised.
    """

    observation_stamp: float
    committed: int
    spec: PlannerSpec

    @property
    def start(self) -> float:
        """When the chunk begins: one frame before its first waypoint."""
        return self.observation_stamp + self.committed * self.spec.frame_period


@dataclass(frozen=True, eq=False)
class Proposal:
    """A plan on its way through the guard.

    Attributes:
        plan: As it came.
        expected: What was asked for.
        now: Seconds on the robot's clock.
        commanded: Time -> pose ``(7,)`` that the arm is commanded to have.
        start: When its motion begins.
        times: ``(H,)`` of the waypoints, absolute.
        poses: ``(H, 7)`` of the waypoints.
        notes: What was mended.
    """

    plan: Plan
    expected: Expected
    now: float
    commanded: Callable[[float], np.ndarray]
    start: float
    times: np.ndarray
    poses: np.ndarray
    notes: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, plan: Plan, expected: Expected, now: float, commanded: Callable[[float], np.ndarray]) -> Proposal:
        """A plan as it came."""
        return cls(plan, expected, now, commanded, expected.start, np.asarray(plan.times), np.asarray(plan.poses))

    def noted(self, finding: Finding) -> Proposal:
        """With one more note; the same reason is noted once."""
        if any(note.reason is finding.reason for note in self.notes):
            return self
        return replace(self, notes=(*self.notes, finding))


class PlanLayer(Protocol):
    """One layer."""

    def check(self, proposal: Proposal) -> Proposal | Finding:
        """The proposal, perhaps mended, or why it is refused."""
        ...


class Matching:
    """The plan must answer the request that was made, in the promised shape and at the promised times."""

    def check(self, proposal: Proposal) -> Proposal | Finding:
        """See `PlanLayer.check`."""
        plan, expected = proposal.plan, proposal.expected
        if plan.observation_stamp != expected.observation_stamp:
            return Finding(
                Reason.PLAN_MISMATCHED,
                f"answers the observation at {plan.observation_stamp:.3f} s, not at {expected.observation_stamp:.3f} s",
            )
        horizon, period = expected.spec.horizon, expected.spec.frame_period
        if proposal.poses.shape != (horizon, POSE_SIZE) or proposal.times.shape != (horizon,):
            return Finding(
                Reason.PLAN_MISMATCHED,
                f"has times {proposal.times.shape} and poses {proposal.poses.shape}, promised were {horizon} waypoints",
            )
        wanted = expected.start + period * np.arange(1, horizon + 1)
        off = np.abs(proposal.times - wanted)
        if np.isfinite(proposal.times).all() and off.max() > period / 10:
            return Finding(Reason.PLAN_MISMATCHED, f"its times are up to {off.max():.2f} s off the frames asked for")
        return proposal


class Finite:
    """No NaN, no infinity, nothing so large that arithmetic overflows."""

    def check(self, proposal: Proposal) -> Proposal | Finding:
        """See `PlanLayer.check`."""
        # A comparison with NaN is false, so this finds NaN and infinity as well.
        sane = np.append(np.abs(proposal.poses) < HUGE, np.abs(proposal.times - proposal.now) < HUGE)
        if not sane.all():
            return Finding(Reason.PLAN_NON_FINITE, f"{int((~sane).sum())} of its numbers are not finite, or absurd")
        return proposal


class PlanAge:
    """The world may have changed since the observation."""

    def __init__(self, config: BridgeConfig) -> None:
        self.limit = config.max_plan_age

    def check(self, proposal: Proposal) -> Proposal | Finding:
        """See `PlanLayer.check`."""
        age = proposal.now - proposal.expected.observation_stamp
        if age > self.limit:
            return Finding(Reason.PLAN_STALE, f"rests on an observation {age:.1f} s old (limit {self.limit:g} s)")
        return proposal


class Punctual:
    """A chunk must begin where the arm will be, when it will be there.

    A chunk whose beginning has passed is moved to begin now if the arm has been waiting at its start pose since then
    (a planner slower than its chunks); the whole chunk keeps its pace. If the arm has moved on, it is refused.
    """

    def __init__(self, config: BridgeConfig) -> None:
        self.tolerance = config.late_tolerance

    def check(self, proposal: Proposal) -> Proposal | Finding:
        """See `PlanLayer.check`."""
        late = proposal.now - proposal.start
        if late <= 0:
            return proposal
        metres, radians = pose_distance(proposal.commanded(proposal.start), proposal.commanded(proposal.now))
        if late > self.tolerance and (metres > STILL_METRES or radians > STILL_RADIANS):
            return Finding(
                Reason.PLAN_LATE,
                f"begins {late:.2f} s ago, and the arm has moved on by {metres * 1e3:.0f} mm and {radians:.2f} rad",
            )
        return replace(proposal, start=proposal.now, times=proposal.times + late)


class FirstWaypoint:
    """The chunk must begin near where the arm is *commanded* to be, wherever it was measured."""

    def __init__(self, config: BridgeConfig) -> None:
        self.metres = config.max_first_distance
        self.radians = config.max_first_angle

    def check(self, proposal: Proposal) -> Proposal | Finding:
        """See `PlanLayer.check`."""
        metres, radians = pose_distance(proposal.commanded(proposal.start), proposal.poses[0])
        if metres > self.metres or radians > self.radians:
            return Finding(
                Reason.FIRST_WAYPOINT_FAR,
                f"first waypoint is {metres * 1e3:.0f} mm and {radians:.2f} rad from the commanded pose "
                f"(limits {self.metres * 1e3:.0f} mm, {self.radians:g} rad)",
            )
        return proposal


class PlanGuard:
    """All layers on plans, in order."""

    def __init__(self, config: BridgeConfig, spec: PlannerSpec) -> None:
        self.layers: tuple[PlanLayer, ...] = (
            Matching(),
            Finite(),
            PlanAge(config),
            Punctual(config),
            FirstWaypoint(config),
            Workspace(config, spec),
            StepLimit(config, spec),
        )

    def check(self, proposal: Proposal) -> Steps[Proposal | Finding]:
        """The mended proposal, or the first refusal. A step per layer."""
        for layer in self.layers:
            outcome = layer.check(proposal)
            if isinstance(outcome, Finding):
                return outcome
            proposal = outcome
            yield
        return proposal
