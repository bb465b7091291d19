"""Asks a policy server from a thread of its own, so that a slow or absent policy never holds up a plan."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from planner_server.policy.client import PolicyClient
from planner_server.policy.droid import PROMPT, checked_actions
from planner_server.policy.errors import PolicyError, UnreachableError

CONNECTION_LIMIT = 5.0
ANSWER_LIMIT = 120.0
"""Seconds after which a connection without an answer is given up; a policy's first one may be compiled meanwhile."""
PAUSE = 2.0
"""Seconds without a new attempt after a connection failed."""


@dataclass(frozen=True)
class Answer:
    """A chunk of actions.

    Attributes:
        stamp: Robot's time [s] of the observation it answers; its first action begins then.
        prompt: Instruction it answers.
        actions: ``(N, 8)``, see `droid`.
        metadata: What the server said of itself.
    """

    stamp: float
    prompt: str
    actions: np.ndarray
    metadata: Mapping[Any, Any]


@dataclass(frozen=True, eq=False)
class Question:
    """An observation on its way to the policy; ``done`` is set once it is answered, failed or replaced."""

    robot_id: str
    task: object
    stamp: float
    observation: dict[str, Any]
    done: threading.Event = field(default_factory=threading.Event)


class PolicyLink:
    """Newest question of each robot in, newest answer out.

    Attributes:
        trouble: Why the newest question of any robot failed; empty when it did not.
    """

    def __init__(self, address: str) -> None:
        self.trouble = ""
        self._address = address
        self._client: PolicyClient | None = None
        self._failed = -np.inf
        self._changed = threading.Condition()
        self._closing = False
        self._tasks: dict[str, object] = {}
        self._waiting: dict[str, Question] = {}
        self._answers: dict[str, Answer] = {}
        self._thread = threading.Thread(target=self._work, name="policy", daemon=True)
        self._thread.start()

    def ask(self, robot_id: str, stamp: float, observation: dict[str, Any], patience: float) -> Answer | None:
        """Send an observation, wait a little, and take the newest answer there is, perhaps to an earlier one.

        Args:
            robot_id: Whose it is.
            stamp: Its time on the robot's clock, s.
            observation: As `droid.droid_observation` makes it.
            patience: Most seconds to wait. A later answer is kept for the next time.
        """
        with self._changed:
            question = Question(robot_id, self._tasks.setdefault(robot_id, object()), stamp, observation)
            if replaced := self._waiting.pop(robot_id, None):
                replaced.done.set()
            self._waiting[robot_id] = question
            self._changed.notify()
        question.done.wait(patience)
        with self._changed:
            return self._answers.get(robot_id)

    def forget(self, robot_id: str) -> None:
        """Drop a robot's answer, and the one that is still on its way."""
        with self._changed:
            self._tasks.pop(robot_id, None)
            self._answers.pop(robot_id, None)

    def close(self) -> None:
        """End the thread after the answer it waits for."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def _work(self) -> None:
        while question := self._next():
            try:
                answer, trouble = self._infer(question), ""
            except PolicyError as error:
                answer, trouble = None, str(error)
            except Exception as error:  # without this thread every plan would wait in vain
                answer, trouble = None, f"{type(error).__name__}: {error}"
            with self._changed:
                self.trouble = trouble
                if answer is not None and self._tasks.get(question.robot_id) is question.task:
                    self._answers[question.robot_id] = answer
            question.done.set()
        if self._client:
            self._client.close()

    def _next(self) -> Question | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return None if self._closing else self._waiting.pop(next(iter(self._waiting)))

    def _infer(self, question: Question) -> Answer:
        client, observation = self._connected(), question.observation
        try:
            actions = checked_actions(client.infer(observation, ANSWER_LIMIT))
            return Answer(question.stamp, observation[PROMPT], actions, client.metadata)
        except PolicyError:
            # openpi's server hangs up after an error, ours does not; either way the next question connects anew.
            client.close()
            self._client = None
            raise

    def _connected(self) -> PolicyClient:
        if self._client is None:
            if time.monotonic() - self._failed < PAUSE:
                raise UnreachableError(self.trouble)
            try:
                self._client = PolicyClient(self._address, CONNECTION_LIMIT)
            except PolicyError:
                self._failed = time.monotonic()
                raise
        return self._client
