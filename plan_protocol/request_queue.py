"""The plan requests a server has not answered yet: one waiting per robot, the newest wins, expired ones are dropped.

Plain Python without sockets. The I/O thread puts, cancels, resets and expires; the worker thread takes and finishes.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
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
    """One waiting request per robot, robots served in the order in which they came.

    Attributes:
        dropped: Requests superseded, expired or cancelled so far.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, Job] = OrderedDict()
        self._resets: OrderedDict[str, ResetOrder] = OrderedDict()
        self._running: Job | None = None
        self._closed = False
        self.dropped = 0

    @property
    def busy(self) -> bool:
        """A plan is being made."""
        return self._running is not None

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
        """Wait for what to do next; None when the queue is closed. A job is running until `finish`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._resets or self._next() is not None)
            if self._closed:
                return None
            if self._resets:
                return self._resets.popitem(last=False)[1]
            self._running = self._next()
            assert self._running is not None
            return self._waiting.pop(self._running.header.robot)

    def finish(self) -> None:
        """The running job is done."""
        with self._changed:
            self._running = None

    def cancel(self, peer: bytes, session: str, request: int) -> Job | None:
        """Drop a request of this client: a waiting one is removed, a running one told. Returns it, or None."""
        with self._changed:
            for job in [*self._waiting.values(), *([self._running] if self._running else [])]:
                if (job.peer, job.header.session, job.header.request) == (peer, session, request):
                    return self._drop(job)
            return None

    def reset(self, robot: str) -> list[Job]:
        """Order a reset of this robot and drop its requests, which belong to the task before. Returns them."""
        with self._changed:
            if robot not in self._resets and len(self._resets) >= limits.MAX_WAITING_ROBOTS:
                raise BusyError(f"{limits.MAX_WAITING_ROBOTS} robots are waiting for this server already")
            jobs = [self._waiting[robot]] if robot in self._waiting else []
            if self._running is not None and self._running.header.robot == robot:
                jobs.append(self._running)
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
        """End `take` and tell the running job that nobody waits."""
        with self._changed:
            self._closed = True
            if self._running is not None:
                self._running.context.cancel()
            self._changed.notify_all()

    def _next(self) -> Job | None:
        """The waiting job whose turn it is. Those too late are passed over: `expire` is about to remove them."""
        now = time.monotonic()
        return next((job for job in self._waiting.values() if job.expires > now), None)

    def _drop(self, job: Job) -> Job | None:
        """Remove or tell a job; None if it had been cancelled before."""
        if job.context.cancelled:
            return None
        job.context.cancel()
        self.dropped += 1
        if self._waiting.get(job.header.robot) is job:
            del self._waiting[job.header.robot]
        return job
