"""The control loop: asks for plans, follows them, plans the next while executing the present, holds, stops.

Free of ROS and of threads: `tick` is called at the control rate with the robot's time and returns what to send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from plan_protocol.messages import Observation, Plan
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event, event
from robot_bridge.execution.commanded import Command
from robot_bridge.execution.commanding import Commander
from robot_bridge.execution.following import Following
from robot_bridge.execution.state_machine import StateMachine
from robot_bridge.execution.states import RESTING, State
from robot_bridge.guard.rearm import RearmCheck
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.planner.asking import Answer, Link, Senser
from robot_bridge.planner.judging import Judge
from robot_bridge.planner.link import LinkEvent
from robot_bridge.sensing.synchroniser import JointSample

CLOCK_SET_BACK = 0.5
"""Seconds by which the robot's clock must jump back to count as set back."""


class Executor(StateMachine):
    """Follows plans with a real arm, or in a dry run shadows an arm that others move.

    In a dry run nothing is executed, so nothing is committed: each plan starts from the measured arm at its
    observation, and its whole commanded motion is computed, guarded and returned (for the record) as it would have
    been. One plan is asked for per horizon.
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
        """Create it; the arguments are those of `StateMachine`."""
        super().__init__(config, link, senser, tell, keep_plan, active)
        self._senser = senser
        self._following = Following(config, self.motion)
        self._commander = Commander(config, self.motion)
        self._rearm = RearmCheck(config)
        self._last_tick = -np.inf

    @property
    def judge(self) -> Judge:
        """What became of the plans."""
        return self.conversation.judge

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
        return self.conversation.going_on

    @property
    def at_rest(self) -> bool:
        """The commanded arm stood still at the last tick."""
        return not self.motion.moving(self._last_tick)

    def begin_task(self, instruction: str, seed: int) -> None:
        """Give a task whose random draws begin with ``seed``, so that it can be repeated."""
        self.conversation.draw_from(seed)
        self.instruct(instruction, again=True)

    def want_frames(self, wanted: bool) -> None:
        """Ask for the imagined frames from the next request on, or no longer beyond what the settings say."""
        self.conversation.want_frames(wanted)

    def hear(self, news: Iterable[LinkEvent]) -> None:
        """Take news of the planner that came before the first tick."""
        self.conversation.hear(news)

    def rearm(self) -> Finding | None:
        """Allow motion again after a stop, or say why not: the arm must be at rest and the senses fresh.

        No plan from before the stop is followed: they are dropped when the stop takes effect.
        """
        if self.stop_latch.finding is None:
            return Finding(Reason.NOT_STOPPED, "there is nothing to re-arm")
        finding = self._rearm.objection(
            self.stopped and self.at_rest,
            self._senser.joints(),
            self._senser.senses(self._last_tick),
            self.conversation.met,
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
        joints = self._senser.joints()
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
        elif self.state not in RESTING:
            self.conversation.ask(now, self._instruction)

    # --- what happened --------------------------------------------------------------------------------------------

    def _notice_clock(self, now: float) -> None:
        if now < self._last_tick - CLOCK_SET_BACK:
            self.conversation.start_over()
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
            self.conversation.drop()
            self.motion.anchor(now, joints.joints)
            self._tell(event("anchored", now, detail=f"it was {off:.3f} rad from its command"))

    def _listen(self, now: float) -> list[Command]:
        commands: list[Command] = []
        for heard in self.conversation.listen(now):
            if isinstance(heard, Finding):
                self._hold(now, heard)
            else:
                commands += self._take(now, heard)
        return commands

    def _watch(self, now: float, joints: JointSample) -> None:
        """While the arm moves: is its state fresh, does it follow, is there anything left to follow?"""
        if self.motion.moving(now):
            finding = self._following.trouble(joints, self._senser.senses(now))
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
            self.conversation.pause(now)
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
