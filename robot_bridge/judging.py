"""What becomes of a plan that came: counted, guarded, told, and put into the commanded motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from plan_protocol.messages import Observation, Plan, PlannerSpec
from robot_bridge.asking import Answer
from robot_bridge.commanded import CommandedMotion
from robot_bridge.config import BridgeConfig
from robot_bridge.doubt import Doubt, slowed
from robot_bridge.events import Event, event, guarded_fields, plan_fields, refused_fields
from robot_bridge.guard.plan import Expected, PlanGuard, Proposal
from robot_bridge.guard.reasons import Finding, Reason


class Judge:
    """The plan guard and the path guard, one after the other.

    Attributes:
        plans: Plans received.
        latencies_ms: Round trip of every plan, wall clock.
        followed_stamp: Stamp of the observation that the plan being followed rests on, or None before the first.
    """

    def __init__(
        self,
        config: BridgeConfig,
        motion: CommandedMotion,
        tell: Callable[[Event], None],
        keep_plan: Callable[[int, Observation, Plan], None] | None,
    ) -> None:
        """Create it; it refuses every plan until it has met a planner.

        Args:
            config: Limits.
            motion: What accepted plans change.
            tell: Takes an event per plan.
            keep_plan: Takes every plan with its number and the observation it rests on, before the event.
        """
        self.plans = 0
        self.latencies_ms: list[float] = []
        self.followed_stamp: float | None = None
        self._config, self._motion, self._tell, self._keep_plan = config, motion, tell, keep_plan
        self._guard: PlanGuard | None = None
        self._doubt = Doubt(config.uncertain_speed, config.uncertain_plans, config.uncertain_seconds)

    def meet(self, spec: PlannerSpec) -> None:
        """A planner was found, and said what it promises."""
        self._guard = PlanGuard(self._config, spec)

    def forget_task(self) -> None:
        """Another task begins: the planner is trusted anew."""
        self._doubt.forget()

    def judge(self, now: float, begin: float, answer: Answer) -> Finding | None:
        """Follow the plan from ``begin`` on; returns why not, or None where it is followed.

        Args:
            now: Robot time.
            begin: When its motion may begin: now, in a dry run the observation's stamp.
            answer: The plan, and what it must fit.
        """
        self.plans += 1
        self.latencies_ms.append(answer.latency_ms)
        if self._keep_plan is not None:
            self._keep_plan(self.plans, answer.observation, answer.plan)
        fields = plan_fields(answer.plan, self.plans, answer.request_id, answer.latency_ms)
        outcome = self._guarded(begin, answer.expected, answer.plan)
        if isinstance(outcome, Finding):
            self._tell(event("plan", now, **fields, accepted=False, **refused_fields(now, answer.plan, outcome)))
            return outcome
        proposal, notes = outcome
        self.followed_stamp = answer.plan.observation_stamp
        self._tell(event("plan", now, **fields, accepted=True, **guarded_fields(proposal, notes)))
        return None

    def _guarded(self, now: float, expected: Expected, plan: Plan) -> tuple[Proposal, tuple[Finding, ...]] | Finding:
        if self._guard is None:
            return Finding(Reason.PLAN_MISMATCHED, "came before the planner said what it promises")
        weighed = self._doubt.weigh(now, plan)
        if not weighed.speed:
            return Finding(Reason.OPERATOR_NEEDED, weighed.detail)
        proposal = self._guard.check(Proposal.of(plan, expected, now, self._motion.pose))
        if isinstance(proposal, Finding):
            return proposal
        if weighed.detail:
            poses = slowed(proposal.poses, self._motion.pose(proposal.start), weighed.speed)
            proposal = replace(proposal, poses=poses).noted(Finding(Reason.PLAN_UNCERTAIN, weighed.detail))
        path = self._motion.accept(proposal)
        if isinstance(path, Finding):
            return path
        return proposal, tuple(note for note in (*proposal.notes, path.slowed, path.cut) if note is not None)
