"""All that passes between the state machine and the planner: news heard, plans asked for, answers judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from plan_protocol.messages import Observation, Plan
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event, event
from robot_bridge.execution.commanded import CommandedMotion
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.planner.asking import Answer, Asker, Link, Senser
from robot_bridge.planner.judging import Judge
from robot_bridge.planner.link import LinkEvent


class Conversation:
    """One request and one judgement at a time.

    Attributes:
        judge: What became of the plans.
    """

    def __init__(
        self,
        config: BridgeConfig,
        link: Link,
        senser: Senser,
        motion: CommandedMotion,
        tell: Callable[[Event], None],
        reject: Callable[[float, Finding], None],
        keep_plan: Callable[[int, Observation, Plan], None] | None,
    ) -> None:
        """Create it; nothing is asked before a planner was met.

        Args:
            config: Settings.
            link: Connection to the planner.
            senser: What the robot sees and feels.
            motion: What accepted plans change.
            tell: Takes every event.
            reject: Counts and tells what was refused, with the robot's time.
            keep_plan: Takes every plan with its number and the observation it rests on.
        """
        self.judge = Judge(config, motion, tell, keep_plan)
        self._config, self._link, self._senser, self._motion = config, link, senser, motion
        self._tell, self._reject = tell, reject
        self._asker = Asker(config, link, senser, tell, reject)
        self._early: list[LinkEvent] = []

    @property
    def going_on(self) -> bool:
        """A plan is on its way, or being judged."""
        return self._asker.waiting or self.judge.busy

    @property
    def met(self) -> bool:
        """A planner has said what it promises."""
        return self._link.spec is not None

    def hear(self, news: Iterable[LinkEvent]) -> None:
        """Take news of the planner that came before anybody listened."""
        self._early += news

    def listen(self, now: float) -> Iterator[Answer | Finding]:
        """What came since the last call, one by one: plans, and the loss of the planner; the rest is dealt with."""
        early, self._early = self._early, []
        for news in [*early, *self._link.poll()]:
            if news.kind == "reply":
                answer = self._asker.answer(now, news)
                if answer is not None:
                    yield answer
            elif news.kind in ("connected", "back"):
                self._meet(now, news)
            elif news.kind == "lost":
                self._tell(event("server_lost", now, detail=news.detail))
                yield Finding(Reason.SERVER_LOST, news.detail)
            elif news.kind == "mismatch":
                self._reject(now, Finding(Reason.SPEC_MISMATCH, news.detail))
            else:
                self._tell(event("waiting", now, detail=news.detail))

    def ask(self, now: float, instruction: str) -> None:
        """Send the next request if it is time for one."""
        self._asker.ask(now, instruction, self._motion)

    def pause(self, now: float) -> None:
        """Do not ask again at once."""
        self._asker.pause(now)

    def drop(self) -> None:
        """Nobody wants the plan that is on its way, or being judged."""
        self.judge.drop()
        self._asker.drop()

    def start_over(self) -> None:
        """The clock was set back: no time remembered counts any more."""
        self.judge.drop()
        self._asker.start_over()

    def forget_task(self) -> None:
        """Another task begins: planner and judge forget the last one."""
        self._link.forget_task()
        self.judge.forget_task()

    def draw_from(self, seed: int) -> None:
        """Let the planner's random draws begin with ``seed``, so that a task can be repeated."""
        self.drop()
        self._asker = Asker(replace(self._asker.config, seed=seed), self._link, self._senser, self._tell, self._reject)
        if self._link.spec is not None:
            self._asker.meet(self._link.spec)

    def want_frames(self, wanted: bool) -> None:
        """Ask for the imagined frames from the next request on, or no longer beyond what the settings say."""
        wanted = wanted or self._config.frames_wanted
        if wanted != self._asker.config.frames_wanted:
            self._asker.config = replace(self._asker.config, frames_wanted=wanted)

    def _meet(self, now: float, news: LinkEvent) -> None:
        spec = self._link.spec
        if spec is None:
            return
        self._asker.meet(spec)
        self.judge.meet(spec)
        self._tell(event("connected" if news.kind == "connected" else "server_back", now, detail=news.detail))
