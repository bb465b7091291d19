"""The bridge's state machine: asks for plans, follows them, plans the next while executing the present, holds, stops.

Free of ROS and of threads: `tick` is called at the control rate with the robot's time and returns what to send.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from plan_protocol.messages import Observation, Plan
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event, event
from robot_bridge.execution.commanded import Command, CommandedMotion
from robot_bridge.execution.commanding import Commander
from robot_bridge.execution.following import Following
from robot_bridge.execution.states import RESTING, State
from robot_bridge.execution.wishes import Wishes
from robot_bridge.guard.rearm import RearmCheck
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.planner.asking import Answer, Asker, Link, Senser
from robot_bridge.planner.judging import Judge
from robot_bridge.planner.link import LinkEvent
from robot_bridge.sensing.synchroniser import JointSample

CLOCK_SET_BACK = 0.5
"""Seconds by which the robot's clock must jump back to count as set back."""


class Executor(Wishes):
    """Follows plans with a real arm, or in a dry run shadows an arm that others move.

    In a dry run nothing is executed, so nothing is committed: each plan starts from the measured arm at its
    observation, and its whole commanded motion is computed, guarded and returned (for the record) as it would have
    been. One plan is asked for per horizon.

    Attributes:
        rejected: Reason code -> how often observations, plans or commands were refused.
        judge: What became of the plans.
        hold_reason: Why it holds, or held last.
        holds: Times the arm had to hold, not counting short waits for a plan that is on its way.
    """

    def __init__(
        self,
        config: BridgeConfig,
        link: Link,
        senser: Senser,
        tell: Callable[[Event], None],
        keep_plan: Callable[[int, Observation, Plan], None] | None = None,
        active: bool = True,
    ) -> None:
        """Create it.

        Args:
            config: Settings.
            link: Connection to the planner.
            senser: What the robot sees and feels.
            tell: Takes every event.
            keep_plan: Takes every plan with its number and the observation it rests on.
            active: Motion is allowed from the start; otherwise from `activate` on.
        """
        super().__init__(config.instruction, active)
        self.config = config
        self.link = link
        self.senser = senser
        self.motion = CommandedMotion(config)
        self.state = State.IDLE if active else State.INACTIVE
        self.judge = Judge(config, self.motion, tell, keep_plan)
        self.rejected: Counter[str] = Counter()
        self.holds = 0
        self.hold_reason = Reason.NO_PLAN
        self._tell = tell
        self._asker = Asker(config, link, senser, tell, self._reject)
        self._following = Following(config, self.motion)
        self._commander = Commander(config, self.motion)
        self._rearm = RearmCheck(config)
        self._early: list[LinkEvent] = []
        self._last_tick = -np.inf

    @property
    def plans(self) -> int:
        """Plans received."""
        return self.judge.plans

    @property
    def latencies_ms(self) -> list[float]:
        """Round trip of every plan, wall clock."""
        return self.judge.latencies_ms

    @property
    def planning(self) -> bool:
        """A plan is on its way, or being judged: a player of recordings may wait for it."""
        return self._asker.waiting or self.judge.busy

    @property
    def at_rest(self) -> bool:
        """The commanded arm stood still at the last tick."""
        return not self.motion.moving(self._last_tick)

    @property
    def stopped(self) -> bool:
        """A stop has taken effect."""
        return self.state is State.STOPPED

    @property
    def resting(self) -> bool:
        """A stop or a deactivation has taken effect."""
        return self.state in (State.STOPPED, State.INACTIVE)

    def begin_task(self, instruction: str, seed: int) -> None:
        """Give a task whose random draws begin with ``seed``, so that it can be repeated."""
        self._drop()
        self._asker = Asker(replace(self._asker.config, seed=seed), self.link, self.senser, self._tell, self._reject)
        if self.link.spec is not None:
            self._asker.meet(self.link.spec)
        self.instruct(instruction, again=True)

    def want_frames(self, wanted: bool) -> None:
        """Ask for the imagined frames from the next request on, or no longer beyond what the settings say."""
        wanted = wanted or self.config.frames_wanted
        if wanted != self._asker.config.frames_wanted:
            self._asker.config = replace(self._asker.config, frames_wanted=wanted)

    def hear(self, news: Iterable[LinkEvent]) -> None:
        """Take news of the planner that came before the first tick."""
        self._early += news

    def rearm(self) -> Finding | None:
        """Allow motion again after a stop, or say why not: the arm must be at rest and the senses fresh.

        No plan from before the stop is followed: they are dropped when the stop takes effect.
        """
        if self.stop_latch.finding is None:
            return Finding(Reason.NOT_STOPPED, "there is nothing to re-arm")
        now = self._last_tick
        at_rest = self.state is State.STOPPED and not self.motion.moving(now)
        finding = self._rearm.objection(
            at_rest, self.senser.joints(), self.senser.senses(now), self.link.spec is not None
        )
        if finding is None:
            self.stop_latch.rearm()
        return finding

    def tick(self, now: float) -> list[Command]:
        """One control period: `act` and `think`."""
        commands = self.act(now)
        self.think(now)
        return commands

    def act(self, now: float) -> list[Command]:
        """The part of a control period that cannot wait.

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
        return commands if self.config.dry_run else [*commands, *self._command(now)]

    def think(self, now: float) -> None:
        """What can wait until the command is sent: judge the plan that came, or ask for the next."""
        if self.judge.busy:
            self._advance(now)
        elif self.motion.known and self.state not in RESTING:
            self._asker.ask(now, self._instruction, self.motion)

    # --- what happened --------------------------------------------------------------------------------------------

    def _notice_clock(self, now: float) -> None:
        if now < self._last_tick - CLOCK_SET_BACK:
            self.judge.drop()
            self._asker.start_over()
            self.motion.forget()
            self.state = State.WAITING if self.state is not State.STOPPED else self.state
        self._last_tick = now

    def _anchor(self, now: float, joints: JointSample) -> None:
        """Take the measured arm as commanded: at first, and when it rests somewhere else than it was told."""
        if not self.motion.known:
            self.motion.anchor(now, joints.joints)
            self.motion.gripper = joints.gripper
            self._commander.gripper.start_from(joints.gripper)
        elif not self.config.dry_run and (off := self._following.astray(now, joints)):
            self._drop()
            self.motion.anchor(now, joints.joints)
            self._tell(event("anchored", now, detail=f"it was {off:.3f} rad from its command"))

    def _listen(self, now: float) -> list[Command]:
        commands: list[Command] = []
        early, self._early = self._early, []
        for news in [*early, *self.link.poll()]:
            if news.kind == "reply":
                answer = self._asker.answer(now, news)
                commands += self._take(now, answer) if answer else []
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
        self.judge.meet(spec)
        self._tell(event("connected" if news.kind == "connected" else "server_back", now, detail=news.detail))

    def _obey(self, now: float) -> None:
        """Stops and instructions."""
        stopped = self.stop_latch.finding
        if stopped and self.state is not State.STOPPED:
            self._rest(now, State.STOPPED)
            self._tell(event("stop", now, reason=stopped.reason.value, detail=stopped.detail))
        if not stopped and self.state is State.STOPPED:
            self.state = State.WAITING
            self._tell(event("rearmed", now))
        if not self.active and self.state not in (State.INACTIVE, State.STOPPED):
            self._rest(now, State.INACTIVE)
            self._tell(event("deactivated", now, detail="braking, then holding"))
        if self.active and self.state is State.INACTIVE:
            self.state = State.IDLE
            self._tell(event("activated", now, detail="motion is allowed"))
        if self._take_instruction():
            self._tell(event("instruction", now, detail=self._instruction or "none: standing still"))
            self.link.forget_task()
            self.judge.forget_task()
            self._hold(now, Finding(Reason.NEW_INSTRUCTION, self._instruction))
        if self.state is State.IDLE and self._instruction:
            self.state = State.WAITING
        elif self.state not in RESTING and not self._instruction:
            self.state = State.IDLE

    def _rest(self, now: float, state: State) -> None:
        """Nothing that is on its way is followed any more."""
        self._drop()
        if self.motion.known:
            self.motion.brake(now)
        self.state = state

    def _watch(self, now: float, joints: JointSample) -> None:
        """While the arm moves: is its state fresh, does it follow, is there anything left to follow?"""
        if self.motion.moving(now):
            finding = self._following.trouble(joints, self.senser.senses(now))
            if finding and self.state is State.EXECUTING:
                self.rejected[finding.reason.value] += 1
                self._hold(now, finding)
        elif self.state is State.EXECUTING:
            reason = Reason.AWAITING_PLAN if self.planning else Reason.NO_PLAN
            self._hold(now, Finding(reason, "the chunk is done and the next one is not here"), drop=False)

    # --- answers --------------------------------------------------------------------------------------------------

    def _take(self, now: float, answer: Answer) -> list[Command]:
        begin = now
        if self.config.dry_run:
            begin = answer.expected.observation_stamp
            self.motion.anchor(begin, answer.observation.joints)
            self.motion.gripper = float(answer.observation.poses[-1, 6])
        self.judge.take(begin, answer)
        return [] if self.judge.gradual else self._advance(now)

    def _advance(self, now: float) -> list[Command]:
        """Judge on; in a dry run, the commands of an accepted chunk."""
        verdict = self.judge.advance(now)
        if verdict is None:
            return []
        if verdict.refusal:
            refusal = verdict.refusal
            self._reject(now, refusal)
            if refusal.reason is Reason.OPERATOR_NEEDED and self.state is State.EXECUTING:
                self._hold(now, refusal)
            self._asker.pause(now)
            return []
        held, self.state = self.state is State.HOLDING, State.EXECUTING
        if self.config.dry_run:
            return self._shadowed(verdict.begin)
        if held:
            self._tell(event("resume", now, reason=self.hold_reason.value))
        return []

    # --- moving ---------------------------------------------------------------------------------------------------

    def _command(self, now: float) -> list[Command]:
        command = self._commander.due(now, self.state is State.EXECUTING)
        if isinstance(command, Finding):
            self.rejected[command.reason.value] += 1
            self.stop_latch.trip(command)
            return []
        return [command] if command else []

    def _shadowed(self, begin: float) -> list[Command]:
        commands, refused = self._commander.shadow(begin)
        if refused:
            self._reject(*refused)
        return commands

    def _hold(self, now: float, finding: Finding, drop: bool = True) -> None:
        """Brake and stand still; goes on by itself with the next accepted plan."""
        if drop:
            self._drop()
        if self.config.dry_run or not self.motion.known:
            return
        self.motion.brake(now) if drop else None
        if self.state in (State.EXECUTING, State.HOLDING):
            self.holds += finding.reason is not Reason.AWAITING_PLAN
            self.state, self.hold_reason = State.HOLDING, finding.reason
            self._tell(event("hold", now, reason=finding.reason.value, detail=finding.detail))

    def _drop(self) -> None:
        """Nobody wants the plan that is on its way, or being judged."""
        self.judge.drop()
        self._asker.drop()

    def _reject(self, now: float, finding: Finding) -> None:
        self.rejected[finding.reason.value] += 1
        self._tell(event("reject", now, reason=finding.reason.value, detail=finding.detail))
