"""The bridge's state machine: asks for plans, follows them, plans the next while executing the present, holds, stops.

Free of ROS and of threads: `tick` is called at the control rate with the robot's time and returns what to send.
"""

from __future__ import annotations

import time as wall_clock
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Protocol

import numpy as np

from plan_protocol.errors import ProtocolError
from plan_protocol.messages import ErrorReply, Observation, Plan, PlannerSpec, PlanRequest, Progress
from robot_bridge.commanded import Command, CommandedMotion
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import HistoryError
from robot_bridge.events import Event, event, guarded_fields, plan_fields
from robot_bridge.gripper import GripperSwitch
from robot_bridge.guard.command import Tracking
from robot_bridge.guard.observation import JointAge, ObservationGuard, Senses
from robot_bridge.guard.plan import Expected, PlanGuard, Proposal
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.guard.stop import LatchedStop
from robot_bridge.planner_link import LinkEvent
from robot_bridge.requests import Latency, Pending, committed_frames
from robot_bridge.synchroniser import JointSample

CLOCK_SET_BACK = 0.5
COMPLAINT_AFTER = 0.5
"""Seconds that observations must be unfit before it is said: sensors start one after another."""

SETTLED = 0.4
"""Seconds at rest after which the measured arm should be where it was commanded."""


class State(str, Enum):
    """What the bridge is doing."""

    IDLE = "idle"
    WAITING = "waiting"
    EXECUTING = "executing"
    HOLDING = "holding"
    STOPPED = "stopped"


class Link(Protocol):
    """What the executor needs of `robot_bridge.planner_link.PlannerLink`."""

    @property
    def ready(self) -> bool: ...  # noqa: D102
    @property
    def spec(self) -> PlannerSpec | None: ...  # noqa: D102
    def poll(self) -> list[LinkEvent]: ...  # noqa: D102
    def request(self, request: PlanRequest) -> int: ...  # noqa: D102
    def cancel(self, request_id: int) -> None: ...  # noqa: D102
    def forget_task(self) -> None: ...  # noqa: D102


class Senser(Protocol):
    """What the executor needs of `robot_bridge.perception.Perception`."""

    def follow_spec(self, spec: PlannerSpec) -> None: ...  # noqa: D102
    def joints(self) -> JointSample | None: ...  # noqa: D102
    def senses(self, now: float) -> Senses: ...  # noqa: D102
    def observation(self) -> Observation: ...  # noqa: D102


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
        self._observations = ObservationGuard(config)
        self._joint_age = JointAge(config)
        self._tracking = Tracking(config, self.motion.path_guard.ik.kinematics.franka)
        self._plan_guard: PlanGuard | None = None
        self._latency = Latency(0.0)
        self._pending: Pending | None = None
        self._asked_with: Observation | None = None
        self._requests = 0
        self._not_before = -np.inf
        self._shadow_from = -np.inf
        self._complaint: tuple[Reason, float] | None = None
        self._complained = False
        self._hold_reason = Reason.NO_PLAN
        self._instruction = config.instruction
        self._new_instruction = False
        self._last_tick = -np.inf

    @property
    def planning(self) -> bool:
        """A request is on its way: a player of recordings may wait for it."""
        return self._pending is not None

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

    def rearm(self) -> bool:
        """Allow motion again after a stop; returns False where there was none."""
        return self.stop_latch.rearm()

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
            self._ask(now)
        return commands if self.config.dry_run else [*commands, *self._command(now)]

    # --- what happened --------------------------------------------------------------------------------------------

    def _notice_clock(self, now: float) -> None:
        if now < self._last_tick - CLOCK_SET_BACK:
            self._drop_request()
            self.motion.forget()
            self._not_before = self._shadow_from = -np.inf
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
                self._drop_request()
                self.motion.anchor(now, joints.joints)
                self._tell(event("anchored", now, detail=f"it was {off:.3f} rad from its command"))

    def _listen(self, now: float) -> list[Command]:
        commands: list[Command] = []
        for news in self.link.poll():
            if news.kind == "reply":
                commands += self._reply(now, news)
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
        self.senser.follow_spec(spec)
        self._plan_guard = PlanGuard(self.config, spec)
        self._latency = Latency(spec.plan_latency)
        self._tell(event("connected" if news.kind == "connected" else "server_back", now, detail=news.detail))

    def _obey(self, now: float) -> None:
        """Stops and instructions."""
        stopped = self.stop_latch.finding
        if stopped and self.state is not State.STOPPED:
            self._drop_request()
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

    # --- asking ---------------------------------------------------------------------------------------------------

    def _ask(self, now: float) -> None:
        spec = self.link.spec
        if self._pending is not None and now - self._pending.asked > self.config.request_timeout:
            self._drop_request()
            self._reject(now, Finding(Reason.REQUEST_TIMEOUT, f"no plan within {self.config.request_timeout:g} s"))
        if self._pending is not None or spec is None or not self.link.ready or now < self._not_before:
            return
        path_end = now if self.config.dry_run else self.motion.path_end(now)
        if path_end - now > self._latency.seconds + self.config.latency_margin:
            return
        resting = path_end <= now
        if resting and not self.config.dry_run and self.motion.moving(now):
            return  # still braking: plan on a look at the arm at rest
        observation = self._look(now)
        if observation is None:
            return
        stamp = float(observation.stamps[-1])
        if stamp < (self._shadow_from if self.config.dry_run else self.motion.schedule.times[-1] if resting else stamp):
            return
        committed = committed_frames(now, stamp, path_end, self._latency.seconds, spec)
        if committed is not None:
            self._send(now, spec, observation, committed)

    def _look(self, now: float) -> Observation | None:
        """A fresh observation, or None; what is wrong with it is said once, when it lasts."""
        finding = self._observations.check(self.senser.senses(now))
        if finding is None:
            try:
                observation = self.senser.observation()
            except HistoryError as error:
                finding = Finding(Reason(error.reason), str(error))
            else:
                self._complaint, self._complained = None, False
                return observation
        if self._complaint is None or self._complaint[0] is not finding.reason:
            self._complaint, self._complained = (finding.reason, now), False
        if not self._complained and now - self._complaint[1] >= COMPLAINT_AFTER:
            self._complained = True
            self._reject(now, finding)
        return None

    def _send(self, now: float, spec: PlannerSpec, observation: Observation, committed: int) -> None:
        expected = Expected(float(observation.stamps[-1]), committed, spec)
        frames = expected.observation_stamp + spec.frame_period * np.arange(1, committed + 1)
        poses = np.array([self.motion.pose(time) for time in frames]).reshape(-1, 7)
        start_joints = observation.joints if self.config.dry_run else self.motion.schedule.joints(expected.start)
        request = PlanRequest(
            instruction=self._instruction,
            observation=observation,
            committed=poses,
            start_joints=start_joints,
            deadline=self.config.max_plan_age,
            frames_wanted=self.config.frames_wanted or bool(self.config.record),
            seed=self.config.seed + self._requests,
        )
        try:
            request_id = self.link.request(request)
        except ProtocolError as error:
            self._reject(now, Finding(Reason.SERVER_ERROR, str(error)))
            self._not_before = now + self.config.retry_pause
            return
        self._requests += 1
        self._pending = Pending(request_id, expected, now, wall_clock.perf_counter())
        self._asked_with = observation
        self._shadow_from = expected.observation_stamp + (spec.horizon - 0.5) * spec.frame_period
        self._tell(
            event("plan_requested", now, request_id=request_id, stamp=expected.observation_stamp, committed=committed)
        )

    # --- answers --------------------------------------------------------------------------------------------------

    def _reply(self, now: float, news: LinkEvent) -> list[Command]:
        pending, observation = self._pending, self._asked_with
        if pending is None or observation is None or news.request_id != pending.request_id:
            return []
        if isinstance(news.reply, Progress):
            return []
        self._pending = self._asked_with = None
        if isinstance(news.reply, ErrorReply):
            pause = self.config.retry_pause if news.reply.retryable else 5 * self.config.retry_pause
            self._not_before = now + pause
            self._reject(now, Finding(Reason.SERVER_ERROR, f"{news.reply.code}: {news.reply.message}"))
            return []
        return self._judge(now, pending, observation, news.reply) if isinstance(news.reply, Plan) else []

    def _judge(self, now: float, pending: Pending, observation: Observation, plan: Plan) -> list[Command]:
        latency_ms = (wall_clock.perf_counter() - pending.asked_wall) * 1e3
        self.plans += 1
        self.latencies_ms.append(latency_ms)
        self._latency.add(now - pending.asked)
        fields = plan_fields(plan, self.plans, pending.request_id, latency_ms)
        if self._keep_plan is not None:
            self._keep_plan(self.plans, observation, plan)
        begin = now
        if self.config.dry_run:
            begin = pending.expected.observation_stamp
            self.motion.anchor(begin, observation.joints)
            self.motion.gripper = float(observation.poses[-1, 6])
        outcome = self._guarded(begin, pending.expected, plan)
        if isinstance(outcome, Finding):
            self._tell(event("plan", now, **fields, accepted=False))
            self._reject(now, outcome)
            self._not_before = now + self.config.retry_pause
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
            self._drop_request()
        if self.config.dry_run or not self.motion.known:
            return
        self.motion.brake(now) if drop else None
        if self.state in (State.EXECUTING, State.HOLDING):
            self.holds += finding.reason is not Reason.AWAITING_PLAN
            self.state, self._hold_reason = State.HOLDING, finding.reason
            self._tell(event("hold", now, reason=finding.reason.value, detail=finding.detail))

    def _drop_request(self) -> None:
        if self._pending is not None:
            self.link.cancel(self._pending.request_id)
        self._pending = self._asked_with = None

    def _reject(self, now: float, finding: Finding) -> None:
        self.rejected[finding.reason.value] += 1
        self._tell(event("reject", now, reason=finding.reason.value, detail=finding.detail))
