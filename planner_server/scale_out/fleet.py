"""Which replica plans for which robot, and what becomes of a plan whose replica is lost."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from plan_protocol.errors import BusyError, CancelledError
from plan_protocol.messages import Plan, PlanRequest
from plan_protocol.server import Context
from planner_server.scale_out.replica import Previous
from planner_server.scale_out.sharing import LostError

logger = logging.getLogger(__name__)

LOOK_AGAIN = 0.1
"""Seconds between looks for a replica while none is up."""


class Member(Protocol):
    """A replica, as the server sees it."""

    def up(self) -> bool:
        """Whether it can be asked at present."""
        ...

    def plan(self, *arguments: Any) -> Iterator[Any]:
        """`Replica.plan`, with a None every now and then while there is nothing to say.

        Raises:
            LostError: The plan will not come from this one.
        """
        ...

    def cancel(self, number: int) -> None:
        """See `Replica.cancel`."""
        ...


class Fleet:
    """The planner of a `PlanServer` with one worker per replica: every robot's plan is made by the least busy replica.

    A plan is a function of the request, its seed and the robot's previous plan, all of which are kept here until it is
    answered. So the plan of a replica that dies is made again by another, and is the same.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = tuple(members)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._busy = [0] * len(self._members)
        self._last: dict[str, int] = {}
        self._previous: dict[str, Previous] = {}

    def __call__(self, request: PlanRequest, context: Context) -> Plan:
        """What `PlanServer` calls, from several threads.

        Raises:
            BusyError: No replica was up until the request's deadline.
            CancelledError: The context was cancelled.
        """
        end = time.monotonic() + request.deadline
        while True:
            index = self._take(context, end)
            try:
                plan = self._ask(self._members[index], request, context)
                break
            except LostError as error:
                logger.warning("the plan for %s is made again by another replica: %s", context.robot_id, error)
            finally:
                with self._lock:
                    self._busy[index] -= 1
        self._previous[context.robot_id] = (plan.times, plan.poses)
        return plan

    def reset(self, robot_id: str) -> None:
        """Forget the previous plan of a robot: a new task begins."""
        self._previous.pop(robot_id, None)

    def _take(self, context: Context, end: float) -> int:
        """The least busy replica that is up; among equals the one that planned for this robot last."""
        while True:
            with self._lock:
                up = [index for index, member in enumerate(self._members) if member.up()]
                if up:
                    last = self._last.get(context.robot_id, -1)
                    index = min(up, key=lambda i: (self._busy[i], i != last, i))
                    self._busy[index] += 1
                    self._last[context.robot_id] = index
                    return index
            if context.cancelled:
                raise CancelledError("cancelled while it waited for a replica")
            if time.monotonic() > end:
                raise BusyError(f"none of {len(self._members)} replicas is up; they are being started again")
            time.sleep(LOOK_AGAIN)

    def _ask(self, member: Member, request: PlanRequest, context: Context) -> Plan:
        number = next(self._numbers)
        robot = context.robot_id
        for item in member.plan(number, request, robot, context.session, self._previous.get(robot)):
            if context.cancelled:
                member.cancel(number)
                raise CancelledError("cancelled while it was planned")
            if isinstance(item, Plan):
                return item
            if item is not None:
                context.progress(*item)
        raise LostError("it ended without an answer")
