"""The bridge's state machine: asks for plans, follows them, plans the next while executing the present, holds, stops.

Free of ROS and of threads: `tick` is called at the control rate with the robot's time and returns what to send.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum

import numpy as np

from plan_protocol.messages import Observation, Plan
from robot_bridge.asking import Answer, Asker, Link, Senser
from robot_bridge.commanded import Command, CommandedMotion
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event, event, guarded_fields, plan_fields
from robot_bridge.gripper import GripperSwitch
from robot_bridge.guard.command import Tracking
from robot_bridge.guard.observation import JointAge, ObservationGuard
from robot_bridge.guard.plan import Expected, PlanGuard, Proposal
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.guard.stop import LatchedStop
from robot_bridge.planner_link import LinkEvent
from robot_bridge.synchroniser import JointSample

CLOCK_SET_BACK = 0.5
"""Seconds by which the robot's clock must jump back to count as set back."""

STANDSTILL = 0.05
"""Measured joint speed below which the arm counts as standing still, rad/s."""

SETTLED = 0.4
"""Seconds at rest after which the measured arm should be where it was commanded."""


class State(str, Enum):
    """What the bridge is doing."""

    IDLE = "idle"
    WAITING = "waiting"
    EXECUTING = "executing"
    HOLDING = "holding"
    STOPPED = "stopped"


class Executor:
    """Follows plans with a real arm, or in a dry run shadows an arm that others move.

    In a dry run nothing is executed, so nothing is committed: each plan starts from the measured arm at its
    observation, and its whole commanded motion is computed, guarded and returned (for the record) as it would have
    been. One plan is asked for per horizon.

    Attributes:
        rejected: Reason code -> how often observations, plans or commands were refused.
        latencies_ms: Round trip of every plan, wall clock.
        plans: Plans received.
        holds: Times the arm had to hold, not counting short waits for a plan that is on its way.
    """

    def __init__(
        self,
        config: BridgeConfig,
        link: Link,
        senser: Senser,
        tell: Callable[[Event], None],
        keep_plan: Callable[[int, Observation, Plan], None] | None = None,
    ) -> None:
        """Create it.

        Args:
            config: Settings.
            link: Connection to the planner.
            senser: What the robot sees and feels.
            tell: Takes every event.
            keep_plan: Takes every plan with its number and the observation it rests on.
        """
        self.config = config
        self.link = link
        self.senser = senser
        self.motion = CommandedMotion(config)
        self.gripper = GripperSwitch(config)
        self.stop_latch = LatchedStop()
        self.state = State.IDLE
        self.rejected: Counter[str] = Counter()
        self.latencies_ms: list[float] = []
        self.plans = 0
        self.holds = 0
        self._tell = tell
        self._keep_plan = keep_plan
        self._asker = Asker(config, link, senser, tell, self._reject)
        self._joint_age = JointAge(config)
        self._observation = ObservationGuard(config)
        self._tracking = Tracking(config, self.motion.path_guard.ik.kinematics.franka)
        self._plan_guard: PlanGuard | None = None
        self._hold_reason = Reason.NO_PLAN
        self._instruction = config.instruction
        self._new_instruction = False
        self._last_tick = -np.inf

    @property
    def planning(self) -> bool:
        """A request is on its way: a player of recordings may wait for it."""
        return self._asker.waiting

    @property
    def at_rest(self) -> bool:
        """The commanded arm stood still at the last tick."""
        return not self.motion.moving(self._last_tick)

    @property
    def stopped(self) -> bool:
        """A stop has taken effect."""
        return self.state is State.STOPPED

    @property
    def instruction(self) -> str:
        """The task in words."""
        return self._instruction

    def instruct(self, instruction: str) -> None:
        """Give a (new) task; an empty one means: stand still. Takes effect at the next tick."""
        if instruction != self._instruction:
            self._instruction, self._new_instruction = instruction, True

    def stop(self, finding: Finding) -> None:
        """Brake, hold, and stay so until `rearm`. Takes effect at the next tick."""
        self.stop_latch.trip(finding)

    def rearm(self) -> Finding | None:
        """Allow motion again after a stop, or say why not: the arm must be at rest and the senses fresh.

        No plan from before the stop is followed: they are dropped when the stop takes effect.
        """
        if self.stop_latch.finding is None:
            return Finding(Reason.NOT_STOPPED, "there is nothing to re-arm")
        finding = self._unfit_to_rearm(self._last_tick)
        if finding is None:
            self.stop_latch.rearm()
        return finding

    def _unfit_to_rearm(self, now: float) -> Finding | None:
        joints = self.senser.joints()
        moving = joints is not None and float(np.abs(joints.velocities).max()) > STANDSTILL
        if self.state is not State.STOPPED or self.motion.moving(now) or moving:
            return Finding(Reason.NOT_AT_REST, "wait until the arm stands still, then re-arm")
        layers = self._observation.layers if self.link.spec is not None else (self._joint_age,)
        senses = self.senser.senses(now)
        return next((finding for layer in layers if (finding := layer.check(senses))), None)

    def tick(self, now: float) -> list[Command]:
        """One control period.

        Args:
            now: Seconds on the robot's clock.

        Returns:
            What to send (and record): at most one command, or in a dry run all commands of a whole chunk.
        """
        self._notice_clock(now)
        joints = self.senser.joints()
        if joints is not None:
            self._anchor(now, joints)
        late = None if self.config.dry_run else self.motion.catch_up(now)
        if late:
            self._hold(now, late)
        commands = self._listen(now)
        self._obey(now)
        if joints is not None and not self.config.dry_run:
            self._watch(now, joints)
        if joints is not None and self.state not in (State.IDLE, State.STOPPED):
            self._asker.ask(now, self._instruction, self.motion)
        return commands if self.config.dry_run else [*commands, *self._command(now)]

    # --- what happened --------------------------------------------------------------------------------------------

    def _notice_clock(self, now: float) -> None:
        if now < self._last_tick - CLOCK_SET_BACK:
            self._asker.start_over()
            self.motion.forget()
            self.state = State.WAITING if self.state is not State.STOPPED else self.state
        self._last_tick = now

    def _anchor(self, now: float, joints: JointSample) -> None:
        """Take the measured arm as commanded: at first, and when it rests somewhere else than it was told."""
        if not self.motion.known:
            self.motion.anchor(now, joints.joints)
            self.motion.gripper = joints.gripper
            self.gripper.start_from(joints.gripper)
        elif now > self.motion.schedule.end + SETTLED and not self.config.dry_run:
            off = float(np.abs(joints.joints - self.motion.schedule.joints(now)).max())
            if off > self.config.anchor_tolerance:
                self._asker.drop()
                self.motion.anchor(now, joints.joints)
                self._tell(event("anchored", now, detail=f"it was {off:.3f} rad from its command"))

    def _listen(self, now: float) -> list[Command]:
        commands: list[Command] = []
        for news in self.link.poll():
            if news.kind == "reply":
                answer = self._asker.answer(now, news)
                commands += self._judge(now, answer) if answer else []
            elif news.kind in ("connected", "back"):
                self._meet(now, news)
            elif news.kind == "lost":
                self._tell(event("server_lost", now, detail=news.detail))
                self._hold(now, Finding(Reason.SERVER_LOST, news.detail))
            elif news.kind == "mismatch":
                self._reject(now, Finding(Reason.SPEC_MISMATCH, news.detail))
            else:
                self._tell(event("waiting", now, detail=news.detail))
        return commands

    def _meet(self, now: float, news: LinkEvent) -> None:
        spec = self.link.spec
        if spec is None:
            return
        self._asker.meet(spec)
        self._plan_guard = PlanGuard(self.config, spec)
        self._tell(event("connected" if news.kind == "connected" else "server_back", now, detail=news.detail))

    def _obey(self, now: float) -> None:
        """Stops and instructions."""
        stopped = self.stop_latch.finding
        if stopped and self.state is not State.STOPPED:
            self._asker.drop()
            self.motion.brake(now) if self.motion.known else None
            self.state = State.STOPPED
            self._tell(event("stop", now, reason=stopped.reason.value, detail=stopped.detail))
        if not stopped and self.state is State.STOPPED:
            self.state = State.WAITING
            self._tell(event("rearmed", now))
        if self._new_instruction:
            self._new_instruction = False
            self._tell(event("instruction", now, detail=self._instruction or "none: standing still"))
            self.link.forget_task()
            self._hold(now, Finding(Reason.NEW_INSTRUCTION, self._instruction))
        if self.state is State.IDLE and self._instruction:
            self.state = State.WAITING
        elif self.state not in (State.IDLE, State.STOPPED) and not self._instruction:
            self.state = State.IDLE

    def _watch(self, now: float, joints: JointSample) -> None:
        """While the arm moves: is its state fresh, does it follow, is there anything left to follow?"""
        if self.motion.moving(now):
            senses = self.senser.senses(now)
            told = self.motion.schedule.joints(joints.stamp)
            finding = self._joint_age.check(senses) or self._tracking.check(told, joints.joints)
            if finding and self.state is State.EXECUTING:
                self.rejected[finding.reason.value] += 1
                self._hold(now, finding)
        elif self.state is State.EXECUTING:
            reason = Reason.AWAITING_PLAN if self.planning else Reason.NO_PLAN
            self._hold(now, Finding(reason, "the chunk is done and the next one is not here"), drop=False)

    # --- answers --------------------------------------------------------------------------------------------------

    def _judge(self, now: float, answer: Answer) -> list[Command]:
        plan = answer.plan
        self.plans += 1
        self.latencies_ms.append(answer.latency_ms)
        if self._keep_plan is not None:
            self._keep_plan(self.plans, answer.observation, plan)
        begin = now
        if self.config.dry_run:
            begin = answer.expected.observation_stamp
            self.motion.anchor(begin, answer.observation.joints)
            self.motion.gripper = float(answer.observation.poses[-1, 6])
        fields = plan_fields(plan, self.plans, answer.request_id, answer.latency_ms)
        outcome = self._guarded(begin, answer.expected, plan)
        if isinstance(outcome, Finding):
            self._tell(event("plan", now, **fields, accepted=False))
            self._reject(now, outcome)
            self._asker.pause(now)
            return []
        proposal, notes = outcome
        self._tell(event("plan", now, **fields, accepted=True, **guarded_fields(proposal, notes)))
        held, self.state = self.state is State.HOLDING, State.EXECUTING
        if self.config.dry_run:
            return self._shadowed(begin)
        if held:
            self._tell(event("resume", now, reason=self._hold_reason.value))
        return []

    def _guarded(self, now: float, expected: Expected, plan: Plan) -> tuple[Proposal, tuple[Finding, ...]] | Finding:
        if self._plan_guard is None:
            return Finding(Reason.PLAN_MISMATCHED, "came before the planner said what it promises")
        proposal = self._plan_guard.check(Proposal.of(plan, expected, now, self.motion.pose))
        if isinstance(proposal, Finding):
            return proposal
        path = self.motion.accept(proposal)
        if isinstance(path, Finding):
            return path
        return proposal, tuple(note for note in (*proposal.notes, path.slowed, path.cut) if note is not None)

    # --- moving ---------------------------------------------------------------------------------------------------

    def _command(self, now: float) -> list[Command]:
        if not self.motion.known:
            return []
        message = self.motion.message(now)
        if isinstance(message, Finding):
            self.rejected[message.reason.value] += 1
            self.stop_latch.trip(message)
            return []
        pose = self.motion.pose(now)
        goal = self.gripper.update(now, pose[6]) if self.state is State.EXECUTING else None
        return [Command(now, self.motion.schedule.joints(now), pose, message, goal)]

    def _shadowed(self, begin: float) -> list[Command]:
        """All commands of a dry run's chunk, made and guarded as they would have been."""
        commands = []
        for time in np.arange(begin, self.motion.schedule.end, self.config.control_period):
            message = self.motion.message(float(time))
            if isinstance(message, Finding):
                self._reject(float(time), message)
                break
            pose = self.motion.pose(float(time))
            goal = self.gripper.update(float(time), pose[6])
            commands.append(Command(float(time), self.motion.schedule.joints(float(time)), pose, message, goal))
        return commands

    def _hold(self, now: float, finding: Finding, drop: bool = True) -> None:
        """Brake and stand still; goes on by itself with the next accepted plan."""
        if drop:
            self._asker.drop()
        if self.config.dry_run or not self.motion.known:
            return
        self.motion.brake(now) if drop else None
        if self.state in (State.EXECUTING, State.HOLDING):
            self.holds += finding.reason is not Reason.AWAITING_PLAN
            self.state, self._hold_reason = State.HOLDING, finding.reason
            self._tell(event("hold", now, reason=finding.reason.value, detail=finding.detail))

    def _reject(self, now: float, finding: Finding) -> None:
        self.rejected[finding.reason.value] += 1
        self._tell(event("reject", now, reason=finding.reason.value, detail=finding.detail))
