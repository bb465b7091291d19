"""A task while it runs: what happens to it, how it is, and when and why it ends. Free of ROS."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from robot_bridge.events import Event
from robot_bridge.execution.states import State
from robot_bridge.task.codes import TaskError, code_of


class Phase(IntEnum):
    """The action's phases."""

    WAITING = 0
    PLANNING = 1
    MOVING = 2
    HOLDING = 3
    STOPPED = 4


class Outcome(IntEnum):
    """The action's outcomes."""

    UNKNOWN = 0
    SUCCESS = 1
    FAILURE = 2


@dataclass(frozen=True)
class Goal:
    """What a client asks for; see ExecuteTask.action."""

    instruction: str
    timeout: float = 0.0
    dry_run: bool = False
    seed: int = 0
    trial_id: str = ""


@dataclass(frozen=True)
class Ending:
    """How a task ended.

    Attributes:
        code: Number.
        message: What was wrong, where, and what to do.
        outcome: What whoever watched said.
    """

    code: TaskError
    message: str = ""
    outcome: Outcome = Outcome.UNKNOWN


NOT_ACTIVE = Ending(TaskError.NOT_ACTIVE, "activate it: ros2 lifecycle set /vidplan_bridge activate")


@dataclass(frozen=True)
class Moment:
    """The bridge at one moment.

    Attributes:
        now: Robot time.
        state: Of the state machine.
        active: Motion is allowed.
        planning: A request is on its way.
        followed_stamp: Stamp of the observation that the plan being followed rests on, or None.
        stop: Reason and detail of the latched stop, or None.
    """

    now: float
    state: State
    active: bool
    planning: bool
    followed_stamp: float | None
    stop: tuple[str, str] | None


@dataclass(frozen=True)
class Progress:
    """What a client is told meanwhile; see ExecuteTask.action."""

    phase: Phase
    reason: str
    elapsed: float
    plans: int
    plan_latency: float
    plan_age: float
    reward: float
    uncertainty: float


def objection(goal: Goal, dry_run: bool, active: bool, busy: bool) -> Ending | None:
    """Why a goal is not carried out at all, or None.

    Args:
        goal: What is asked for.
        dry_run: The bridge is one.
        active: The bridge is activated.
        busy: It has a goal already.
    """
    if not goal.instruction.strip():
        return Ending(TaskError.INVALID_GOAL, "instruction: say what to do, e.g. 'put the carrot in the bowl'")
    if not (math.isfinite(goal.timeout) and goal.timeout >= 0):
        return Ending(TaskError.INVALID_GOAL, f"timeout: must be 0 (none) or more seconds, got {goal.timeout:g}")
    if not 0 <= goal.seed < 2**31:
        return Ending(TaskError.INVALID_GOAL, f"seed: must lie in [0, 2147483647], got {goal.seed}")
    if goal.dry_run != dry_run:
        mode = "a dry run" if dry_run else "live"
        return Ending(
            TaskError.INVALID_GOAL, f"dry_run: this bridge is {mode}; ask for that, or start it the other way"
        )
    if not active:
        return NOT_ACTIVE
    return Ending(TaskError.BUSY, "cancel the other goal, or wait for its end") if busy else None


class TaskRun:
    """One accepted goal. `hear` may be called in another thread than the rest."""

    def __init__(self, goal: Goal, now: float, patience: float) -> None:
        """Begin.

        Args:
            goal: What is asked for.
            now: Robot time.
            patience: Seconds without an accepted plan after which a lasting trouble ends it.
        """
        self.goal, self.began = goal, now
        self.plans = self.refused = self.holds = 0
        self._patience, self._good = patience, now
        self._given = False
        self._trouble: tuple[str, str] | None = None
        self._plan: Event | None = None
        self._ending: Ending | None = None
        self._heard: deque[Event] = deque()

    def hear(self, happened: Event) -> None:
        """Take an event of the bridge."""
        self._heard.append(happened)

    def cancel(self, message: str = "cancelled by the client; the arm brakes and holds") -> None:
        """End it: nobody wants it any more."""
        self._ending = self._ending or Ending(TaskError.CANCELLED, message)

    def label(self, outcome: Outcome) -> None:
        """End it: whoever watches has seen enough."""
        self._ending = self._ending or Ending(TaskError.NONE, "", outcome)

    def step(self, moment: Moment) -> Ending | None:
        """Look at the bridge; returns how the task ended, once it has."""
        if self.began <= 0.0:  # simulated time had not begun
            self.began = self._good = moment.now
        while self._heard:
            self._take(self._heard.popleft())
        self._ending = self._ending or self._look(moment)
        return self._ending

    def progress(self, moment: Moment) -> Progress:
        """How it is."""
        plan, winner = self._plan, None
        if plan is not None and plan["candidates"]:
            winner = plan["candidates"][plan["chosen"]]
        stamp = moment.followed_stamp if self.plans else None
        return Progress(
            phase=self._phase(moment),
            reason=moment.stop[0] if moment.stop else (self._trouble[0] if self._trouble else ""),
            elapsed=moment.now - self.began,
            plans=self.plans,
            plan_latency=plan["latency_ms"] / 1e3 if plan else math.nan,
            plan_age=moment.now - stamp if stamp is not None else math.nan,
            reward=winner["reward"] if winner else math.nan,
            uncertainty=plan["uncertainty"] if plan else math.nan,
        )

    def _take(self, happened: Event) -> None:
        name = happened["event"]
        if name == "plan":
            self._plan = happened
            self.plans += happened["accepted"]
            self.refused += not happened["accepted"]
            if happened["accepted"]:
                self._good, self._trouble = happened["t"], None
        elif name in ("reject", "hold"):
            self.holds += name == "hold" and happened["reason"] != "awaiting_plan"
            self._trouble = happened["reason"], happened["detail"]
        elif name == "server_lost":
            self._trouble = name, happened["detail"]
        elif name == "instruction" and happened["detail"] == self.goal.instruction:
            self._given = True
        elif name == "instruction" and self._given:  # before, it was the end of the task before this one
            self.cancel(f"another task came: {happened['detail']}")

    def _look(self, moment: Moment) -> Ending | None:
        if moment.stop:
            reason, detail = moment.stop
            code = code_of(reason)
            return Ending(code if code is not TaskError.PLAN_REFUSED else TaskError.STOPPED, f"{reason}: {detail}")
        if not moment.active:
            return Ending(TaskError.NOT_ACTIVE, "the bridge was deactivated; the arm brakes and holds")
        if self.goal.timeout and moment.now - self.began >= self.goal.timeout:
            return Ending(TaskError.TIMEOUT, f"not done within {self.goal.timeout:g} s; the arm brakes and holds")
        if moment.now - self._good > self._patience:
            reason, detail = self._trouble or ("request_timeout", "no plan came")
            return Ending(code_of(reason), f"{reason}: {detail} (no accepted plan for {self._patience:g} s)")
        return None

    def _phase(self, moment: Moment) -> Phase:
        if moment.state is State.STOPPED:
            return Phase.STOPPED
        if moment.state is State.EXECUTING:
            return Phase.MOVING
        if moment.planning:
            return Phase.PLANNING
        return Phase.HOLDING if moment.state is State.HOLDING else Phase.WAITING
