"""What the bridge is doing, and what changes that: wishes, stops, holds. When they happen is the executor's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from plan_protocol.messages import Observation, Plan
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event, event
from robot_bridge.execution.commanded import CommandedMotion
from robot_bridge.execution.states import RESTING, State
from robot_bridge.execution.wishes import Wishes
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.planner.asking import Link, Senser
from robot_bridge.planner.conversation import Conversation


class StateMachine(Wishes):
    """States and their transitions, each of which brakes the commanded motion where it must.

    Attributes:
        config: Settings.
        motion: The commanded motion.
        conversation: With the planner.
        state: What it does.
        rejected: Reason code -> how often observations, plans or commands were refused.
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
        self.motion = CommandedMotion(config)
        self.conversation = Conversation(config, link, senser, self.motion, tell, self._reject, keep_plan)
        self.state = State.IDLE if active else State.INACTIVE
        self.rejected: Counter[str] = Counter()
        self.holds = 0
        self.hold_reason = Reason.NO_PLAN
        self._tell = tell

    @property
    def stopped(self) -> bool:
        """A stop has taken effect."""
        return self.state is State.STOPPED

    @property
    def resting(self) -> bool:
        """A stop or a deactivation has taken effect."""
        return self.state in (State.STOPPED, State.INACTIVE)

    def _obey(self, now: float) -> None:
        """Stops, activation and instructions."""
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
            self.conversation.forget_task()
            self._hold(now, Finding(Reason.NEW_INSTRUCTION, self._instruction))
        if self.state is State.IDLE and self._instruction:
            self.state = State.WAITING
        elif self.state not in RESTING and not self._instruction:
            self.state = State.IDLE

    def _rest(self, now: float, state: State) -> None:
        """Nothing that is on its way is followed any more."""
        self.conversation.drop()
        if self.motion.known:
            self.motion.brake(now)
        self.state = state

    def _hold(self, now: float, finding: Finding, drop: bool = True) -> None:
        """Brake and stand still; goes on by itself with the next accepted plan."""
        if drop:
            self.conversation.drop()
        if self.config.dry_run or not self.motion.known:
            return
        if drop:
            self.motion.brake(now)
        if self.state in (State.EXECUTING, State.HOLDING):
            self.holds += finding.reason is not Reason.AWAITING_PLAN
            self.state, self.hold_reason = State.HOLDING, finding.reason
            self._tell(event("hold", now, reason=finding.reason.value, detail=finding.detail))

    def _reject(self, now: float, finding: Finding) -> None:
        self.rejected[finding.reason.value] += 1
        self._tell(event("reject", now, reason=finding.reason.value, detail=finding.detail))
