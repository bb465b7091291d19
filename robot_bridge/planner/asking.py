"""Asks the planner: when it is time, with a fresh look at the cell, one request at a time."""

from __future__ import annotations

import time as wall_clock
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from plan_protocol.errors import ProtocolError
from plan_protocol.messages import ErrorReply, Observation, Plan, PlannerSpec, PlanRequest
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import HistoryError
from robot_bridge.events import Event, event
from robot_bridge.execution.commanded import CommandedMotion
from robot_bridge.execution.steps import judging_time
from robot_bridge.guard.observation import ObservationGuard, Senses
from robot_bridge.guard.plan import Expected
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.planner.link import LinkEvent
from robot_bridge.planner.requests import Latency, Pending, committed_frames
from robot_bridge.sensing.synchroniser import JointSample

COMPLAINT_AFTER = 0.5
"""Seconds that observations must be unfit before it is said: sensors start one after another."""

PATIENCE_AFTER_REFUSAL = 5
"""Retry pauses to wait where the planner says that the same request will not succeed."""


class Link(Protocol):
    """What the bridge's logic needs of `robot_bridge.planner.link.PlannerLink`."""

    @property
    def ready(self) -> bool: ...  # noqa: D102
    @property
    def spec(self) -> PlannerSpec | None: ...  # noqa: D102
    def poll(self) -> list[LinkEvent]: ...  # noqa: D102
    def request(self, request: PlanRequest) -> int: ...  # noqa: D102
    def cancel(self, request_id: int) -> None: ...  # noqa: D102
    def forget_task(self) -> None: ...  # noqa: D102


class Senser(Protocol):
    """What the bridge's logic needs of `robot_bridge.sensing.perception.Perception`."""

    def follow_spec(self, spec: PlannerSpec) -> None: ...  # noqa: D102
    def joints(self) -> JointSample | None: ...  # noqa: D102
    def senses(self, now: float) -> Senses: ...  # noqa: D102
    def observation(self) -> Observation: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Answer:
    """A plan that came for the present request.

    Attributes:
        plan: The plan.
        request_id: The protocol's id.
        expected: What it must fit.
        observation: What it rests on.
        latency_ms: Round trip, wall clock.
    """

    plan: Plan
    request_id: int
    expected: Expected
    observation: Observation
    latency_ms: float


class Asker:
    """One request at a time, never without a fit observation."""

    def __init__(
        self,
        config: BridgeConfig,
        link: Link,
        senser: Senser,
        tell: Callable[[Event], None],
        reject: Callable[[float, Finding], None],
    ) -> None:
        self.config = config
        self._link, self._senser, self._tell, self._reject = link, senser, tell, reject
        self._guard = ObservationGuard(config)
        self._latency = Latency(0.0)
        self._pending: tuple[Pending, Observation] | None = None
        self._requests = 0
        self._not_before = -np.inf
        self._newest_asked = -np.inf
        self._shadow_from = -np.inf
        self._unfit: tuple[Reason, float] | None = None
        self._told = False

    @property
    def waiting(self) -> bool:
        """A request is on its way."""
        return self._pending is not None

    def meet(self, spec: PlannerSpec) -> None:
        """A planner was found, and said what it promises."""
        self._senser.follow_spec(spec)
        self._latency = Latency(spec.plan_latency)

    def drop(self) -> None:
        """Nobody wants the answer any more."""
        if self._pending is not None:
            self._link.cancel(self._pending[0].request_id)
            self._pending = None
            self._shadow_from = -np.inf

    def pause(self, now: float, times: int = 1) -> None:
        """Do not ask again at once."""
        self._not_before = now + times * self.config.retry_pause

    def start_over(self) -> None:
        """The clock was set back: drop what waits, forget every time."""
        self.drop()
        self._not_before = self._shadow_from = self._newest_asked = -np.inf

    def ask(self, now: float, instruction: str, motion: CommandedMotion) -> None:
        """Send the next request if it is time for one."""
        self._give_up_on_silence(now)
        spec = self._link.spec
        if self.waiting or spec is None or not self._link.ready or now < self._not_before:
            return
        if not motion.known:
            self._look(now)  # no arm to plan for: only to say what is missing
            return
        shadow = self.config.dry_run
        path_end = now if shadow else motion.path_end(now)
        resting = path_end <= now
        if resting and not shadow and motion.moving(now):
            return  # still braking: plan on a look at the arm at rest
        observation = self._look(now)
        if observation is None:
            return
        stamp = float(observation.stamps[-1])
        if stamp <= self._newest_asked and not resting:
            return  # nothing new was seen
        if (shadow and stamp < self._shadow_from) or (resting and not shadow and stamp < motion.schedule.end):
            return
        expected = self._latency.seconds + judging_time(self.config) + self.config.latency_margin
        committed = committed_frames(now, stamp, path_end, expected, spec)
        if committed is not None:
            self._send(now, instruction, observation, Expected(stamp, committed, spec), motion)

    def answer(self, now: float, news: LinkEvent) -> Answer | None:
        """The plan in a reply, if it is one and belongs to the present request; errors are told and tried again."""
        if self._pending is None or news.request_id != self._pending[0].request_id:
            return None
        pending, observation = self._pending
        if isinstance(news.reply, ErrorReply):
            self._pending, self._shadow_from = None, -np.inf
            self.pause(now, 1 if news.reply.retryable else PATIENCE_AFTER_REFUSAL)
            self._reject(now, Finding(Reason.SERVER_ERROR, f"{news.reply.code}: {news.reply.message}"))
        if not isinstance(news.reply, Plan):
            return None
        self._pending = None
        self._latency.add(now - pending.asked)
        latency_ms = (wall_clock.perf_counter() - pending.asked_wall) * 1e3
        return Answer(news.reply, pending.request_id, pending.expected, observation, latency_ms)

    def _give_up_on_silence(self, now: float) -> None:
        if self._pending is not None and now - self._pending[0].asked > self.config.request_timeout:
            self.drop()
            self._reject(now, Finding(Reason.REQUEST_TIMEOUT, f"no plan within {self.config.request_timeout:g} s"))

    def _look(self, now: float) -> Observation | None:
        """A fresh observation, or None; what is wrong with it is said once, when it lasts."""
        finding = self._guard.check(self._senser.senses(now))
        if finding is None:
            try:
                observation = self._senser.observation()
            except HistoryError as error:
                finding = Finding(Reason(error.reason), str(error))
            else:
                self._unfit, self._told = None, False
                return observation
        if self._unfit is None or self._unfit[0] is not finding.reason:
            self._unfit, self._told = (finding.reason, now), False
        if not self._told and now - self._unfit[1] >= COMPLAINT_AFTER:
            self._told = True
            self._reject(now, finding)
        return None

    def _send(
        self, now: float, instruction: str, observation: Observation, expected: Expected, motion: CommandedMotion
    ) -> None:
        config, spec, stamp = self.config, expected.spec, expected.observation_stamp
        promised = [motion.pose(stamp + spec.frame_period * k) for k in range(1, expected.committed + 1)]
        request = PlanRequest(
            instruction=instruction,
            observation=observation,
            committed=np.array(promised).reshape(-1, 7),
            start_joints=observation.joints if config.dry_run else motion.schedule.joints(expected.start),
            deadline=config.max_plan_age,
            frames_wanted=config.frames_wanted or bool(config.record),
            seed=config.seed + self._requests,
        )
        try:
            request_id = self._link.request(request)
        except ProtocolError as error:
            self._reject(now, Finding(Reason.SERVER_ERROR, str(error)))
            self.pause(now)
            return
        self._requests += 1
        self._pending = Pending(request_id, expected, now, wall_clock.perf_counter()), observation
        self._newest_asked = stamp
        self._shadow_from = stamp + (spec.horizon - 0.5) * spec.frame_period
        self._tell(event("plan_requested", now, request_id=request_id, stamp=stamp, committed=expected.committed))
