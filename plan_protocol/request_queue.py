"""The plan requests a server has not answered yet: one waiting per robot, the newest wins, expired ones are dropped.

Plain Python without sockets. The I/O thread puts, cancels, resets and expires; the worker threads take and finish.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from plan_protocol import limits
from plan_protocol.codec import Buffer, Envelope, Header
from plan_protocol.errors import BusyError


@dataclass
class Context:
    """What a planner knows about the request it works on, beside the request itself.

    Attributes:
        robot_id: Name of the robot that asked.
        session: Name of that client's run.
        timings: Stage -> milliseconds, merged into `Plan.timings`.
        on_progress: Where progress goes.
    """

    robot_id: str
    session: str
    timings: dict[str, float] = field(default_factory=dict)
    on_progress: Callable[[str, float], None] | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def cancelled(self) -> bool:
        """True once nobody waits for the answer any more; a planner may then raise `CancelledError`."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Say that the answer is no longer wanted."""
        self._cancelled.set()

    def progress(self, stage: str, fraction: float) -> None:
        """Tell the client which stage has begun and the rough share of the work done, in [0, 1]."""
        if self.on_progress is not None:
            self.on_progress(stage, fraction)


@dataclass(eq=False)
class Job:
    """A plan request as it waits or runs; its arrays are not opened yet.

    Attributes:
        peer: The connection it came from.
        envelope: The header, checked.
        frames: The array frames.
        context: What the planner will see.
        arrived: Monotonic seconds.
    """

    peer: bytes
    envelope: Envelope
    frames: Sequence[Buffer]
    context: Context
    arrived: float = field(default_factory=time.monotonic)

    @property
    def header(self) -> Header:
        """The request's header."""
        return self.envelope.header

    @property
    def expires(self) -> float:
        """Monotonic seconds after which it is useless."""
        deadline = self.header.deadline
        return self.arrived + (limits.MAX_DEADLINE if deadline is None else deadline)


@dataclass(frozen=True)
class ResetOrder:
    """Forget this robot's previous plan, before any newer request of it is planned."""

    robot: str


class RequestQueue:
    """One waiting request per robot, robots served in the order in which they came; of one robot, one thing at a time.

    Attributes:
        dropped: Requests superseded, expired or cancelled so far.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, Job] = OrderedDict()
        self._resets: OrderedDict[str, ResetOrder] = OrderedDict()
        self._running: dict[str, Job | ResetOrder] = {}
        self._closed = False
        self.dropped = 0

    @property
    def busy(self) -> bool:
        """A plan is being made."""
        return any(isinstance(order, Job) for order in list(self._running.values()))

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, job: Job) -> Job | None:
        """Let a job wait. Returns the older one of the same robot that it replaces, if any.

        Raises:
            BusyError: If too many robots wait already.
        """
        with self._changed:
            older = self._waiting.get(job.header.robot)
            if older is None and len(self._waiting) >= limits.MAX_WAITING_ROBOTS:
                raise BusyError(f"{limits.MAX_WAITING_ROBOTS} robots are waiting for this server already")
            self._waiting[job.header.robot] = job  # keeps the older one's turn
            self._changed.notify()
            self.dropped += older is not None
            return older

    def take(self) -> Job | ResetOrder | None:
        """Wait for what to do next; None when the queue is closed. What is taken runs until `finish`.

        Nothing of a robot for which something runs is taken: its next plan goes on from the one that is being made.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._next() is not None)
            order = None if self._closed else self._next()
            if order is None:
                return None
            robot = _robot(order)
            self._running[robot] = order
            if isinstance(order, ResetOrder):
                return self._resets.pop(robot)
            return self._waiting.pop(robot)

    def finish(self, order: Job | ResetOrder) -> None:
        """What was taken is done."""
        with self._changed:
            self._running.pop(_robot(order), None)
            self._changed.notify_all()

    def cancel(self, peer: bytes, session: str, request: int) -> Job | None:
        """Drop a request of this client: a waiting one is removed, a running one told. Returns it, or None."""
        with self._changed:
            for job in [*self._waiting.values(), *self._jobs()]:
                if (job.peer, job.header.session, job.header.request) == (peer, session, request):
                    return self._drop(job)
            return None

    def reset(self, robot: str) -> list[Job]:
        """Order a reset of this robot and drop its requests, which belong to the task before. Returns them."""
        with self._changed:
            if robot not in self._resets and len(self._resets) >= limits.MAX_WAITING_ROBOTS:
                raise BusyError(f"{limits.MAX_WAITING_ROBOTS} robots are waiting for this server already")
            jobs = [self._waiting[robot]] if robot in self._waiting else []
            jobs += [job for job in self._jobs() if job.header.robot == robot]
            self._resets[robot] = ResetOrder(robot)
            self._changed.notify()
            return [dropped for job in jobs if (dropped := self._drop(job)) is not None]

    def expire(self, now: float) -> list[Job]:
        """Remove the waiting jobs whose deadline has passed and return them."""
        with self._changed:
            late = [job for job in self._waiting.values() if job.expires <= now]
            for job in late:
                del self._waiting[job.header.robot]
            self.dropped += len(late)
            return late

    def next_expiry(self) -> float | None:
        """Monotonic seconds of the earliest deadline among the waiting jobs."""
        with self._changed:
            return min((job.expires for job in self._waiting.values()), default=None)

    def close(self) -> None:
        """End `take` and tell the running jobs that nobody waits."""
        with self._changed:
            self._closed = True
            for job in self._jobs():
                job.context.cancel()
            self._changed.notify_all()

    def _next(self) -> Job | ResetOrder | None:
        """A reset, else the waiting job whose turn it is; `expire` is about to remove those too late."""
        now = time.monotonic()
        timely = (job for job in self._waiting.values() if job.expires > now)
        orders: Iterator[Job | ResetOrder] = itertools.chain(self._resets.values(), timely)
        return next((order for order in orders if _robot(order) not in self._running), None)

    def _jobs(self) -> list[Job]:
        """The running ones."""
        return [order for order in self._running.values() if isinstance(order, Job)]

    def _drop(self, job: Job) -> Job | None:
        """Remove or tell a job; None if it had been cancelled before."""
        if job.context.cancelled:
            return None
        job.context.cancel()
        self.dropped += 1
        if self._waiting.get(job.header.robot) is job:
            del self._waiting[job.header.robot]
        return job


def _robot(order: Job | ResetOrder) -> str:
    return order.robot if isinstance(order, ResetOrder) else order.header.robot
