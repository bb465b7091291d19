"""What becomes of a plan that came: counted, guarded, told, and put into the commanded motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

from plan_protocol.messages import Observation, Plan, PlannerSpec
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event, event, guarded_fields, plan_fields, refused_fields
from robot_bridge.execution.commanded import CommandedMotion, Course
from robot_bridge.execution.steps import Steps, judging_time, steps_per_tick
from robot_bridge.guard.plan import PlanGuard, Proposal
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.planner.asking import Answer
from robot_bridge.planner.doubt import Doubt, Weighed, slowed

Judged = tuple[Proposal, Course] | Finding

TOO_NEAR = (Reason.SCENE_COLLISION, Reason.SELF_COLLISION)
SLOWER = (0.5, 0.25)
"""Shares of its speed at which a chunk is tried that would come too near something."""


@dataclass(frozen=True)
class Verdict:
    """What became of a plan.

    Attributes:
        begin: From when on it is followed, or would have been.
        refusal: Why it is not followed, or None.
    """

    begin: float
    refusal: Finding | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """A plan that is being judged.

    Attributes:
        answer: The plan, and what it must fit.
        weighed: Whether it is trusted.
        begin: From when on it is to be followed.
        lead: Seconds that this was ahead when judging began.
        steps: The judging.
    """

    answer: Answer
    weighed: Weighed
    begin: float
    lead: float
    steps: Steps[Judged]


class Judge:
    """The plan guard and the path guard, one after the other: at once, or a little in every tick (`steps`).

    What is judged is how the arm would go on from its commanded motion at a moment to come. Where that has passed when
    it is done, or another motion is commanded by then, it is judged again for a moment twice as far ahead.

    Attributes:
        plans: Plans received.
        latencies_ms: Round trip of every plan, wall clock.
        gradual: It takes several ticks.
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
        self._lead, self._share = judging_time(config), steps_per_tick(config)
        self.gradual = self._share is not None
        self._case: Case | None = None

    @property
    def busy(self) -> bool:
        """A plan is being judged."""
        return self._case is not None

    def meet(self, spec: PlannerSpec) -> None:
        """A planner was found, and said what it promises."""
        self._guard = PlanGuard(self._config, spec)

    def forget_task(self) -> None:
        """Another task begins: the planner is trusted anew."""
        self._doubt.forget()

    def drop(self) -> None:
        """The plan at hand is not wanted any more."""
        self._case = None

    def take(self, begin: float, answer: Answer) -> None:
        """A plan came; `advance` judges it.

        Args:
            begin: When its motion may begin: now, in a dry run the observation's stamp.
            answer: The plan, and what it must fit.
        """
        self.plans += 1
        self.latencies_ms.append(answer.latency_ms)
        if self._keep_plan is not None:
            self._keep_plan(self.plans, answer.observation, answer.plan)
        self._open(answer, self._doubt.weigh(begin, answer.plan), begin, self._lead)

    def advance(self, now: float) -> Verdict | None:
        """Judge on, as much as is done in a tick; from an accepting verdict on the plan is followed.

        Returns:
            The verdict, or None where there is none yet.
        """
        case = self._case
        if case is None:
            return None
        for _ in count() if self._share is None else range(self._share):
            try:
                next(case.steps)
            except StopIteration as end:
                return self._conclude(now, case, end.value)
        return None

    def _open(self, answer: Answer, weighed: Weighed, now: float, lead: float) -> None:
        begin = now + lead
        self._case = Case(answer, weighed, begin, lead, self._judged(begin, answer, weighed))

    def _conclude(self, now: float, case: Case, judged: Judged) -> Verdict | None:
        answer, self._case = case.answer, None
        fields = plan_fields(answer.plan, self.plans, answer.request_id, answer.latency_ms)
        if isinstance(judged, Finding):
            self._tell(event("plan", now, **fields, accepted=False, **refused_fields(now, answer.plan, judged)))
            return Verdict(case.begin, judged)
        proposal, course = judged
        if not self._motion.take(now if self.gradual else case.begin, course):
            self._open(answer, case.weighed, now, 2 * case.lead)
            return None
        notes = tuple(note for note in (*proposal.notes, course.path.slowed, course.path.cut) if note is not None)
        self.followed_stamp = answer.plan.observation_stamp
        self._tell(event("plan", now, **fields, accepted=True, **guarded_fields(proposal, notes)))
        return Verdict(case.begin)

    def _judged(self, begin: float, answer: Answer, weighed: Weighed) -> Steps[Judged]:
        if self._guard is None:
            return Finding(Reason.PLAN_MISMATCHED, "came before the planner said what it promises")
        if not weighed.speed:
            return Finding(Reason.OPERATOR_NEEDED, weighed.detail)
        proposal = yield from self._guard.check(Proposal.of(answer.plan, answer.expected, begin, self._motion.pose))
        if isinstance(proposal, Finding):
            return proposal
        if weighed.detail:
            poses = slowed(proposal.poses, self._motion.pose(proposal.start), weighed.speed)
            proposal = replace(proposal, poses=poses).noted(Finding(Reason.PLAN_UNCERTAIN, weighed.detail))
        return (yield from self._followed(proposal))

    def _followed(self, proposal: Proposal) -> Steps[Judged]:
        """How the proposal can be followed; slower where not even its first frame can be without coming too near.

        Joints that would have to start harder than they may leave the path for a moment: a hand that rests at the table
        and is to go aside at once would dip into it.
        """
        start, course = self._motion.pose(proposal.start), (yield from self._motion.course(proposal))
        tried = proposal
        for speed in SLOWER:
            if not isinstance(course, Finding) or course.reason not in TOO_NEAR:
                break
            note = Finding(course.reason, f"slowed down to {speed:.0%}: {course.detail}")
            tried = replace(proposal, poses=slowed(proposal.poses, start, speed)).noted(note)
            course = yield from self._motion.course(tried)
        return course if isinstance(course, Finding) else (tried, course)
