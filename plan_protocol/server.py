"""The server's side: answers requests with a planner function, and everything else at once.

One thread owns the sockets and answers hello, status, cancel and reset within milliseconds; another, or several, run
the planner. However long the planner computes, heartbeats go on.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import zmq

from plan_protocol import codec
from plan_protocol.codec import NOBODY, Buffer, Envelope, Header
from plan_protocol.errors import (
    AddressError,
    CancelledError,
    ExpiredError,
    InternalServerError,
    MalformedMessageError,
    ProtocolError,
    SupersededError,
)
from plan_protocol.messages import (
    Cancel,
    Done,
    Hello,
    Message,
    Plan,
    PlannerSpec,
    PlanRequest,
    Progress,
    Reset,
    Status,
    StatusRequest,
)
from plan_protocol.request_queue import Context, Job, RequestQueue, ResetOrder
from plan_protocol.security import ServerKeys, check_bind_address, secure_server
from plan_protocol.spec import check_plan, check_request
from plan_protocol.transport import Mailbox, configure, milliseconds_until, receive

__all__ = ["Context", "PlanServer"]

logger = logging.getLogger(__name__)


class PlanServer:
    """Serves one planner to any number of robots.

    Args:
        address: ``tcp://127.0.0.1:5555``; port ``*`` takes a free one (see `address`).
        spec: What `Hello` is answered with. Requests that do not fit it are refused.
        planner: Called as ``planner(request, context)``. If it has a method ``reset(robot_id)``, that is called when a
            robot starts a new task, never while a plan of that robot is made. An exception becomes an error reply.
        allow_remote: Bind to an address other machines can reach although there are no keys.
        keys: CURVE keys; with them other machines may connect, encrypted and authenticated.
        workers: Threads that call the planner, each for another robot; it must bear that when there are several.

    Raises:
        AddressError: If the address is refused, in use, or not understood.
    """

    def __init__(
        self,
        address: str,
        spec: PlannerSpec,
        planner: Callable[[PlanRequest, Context], Plan],
        *,
        allow_remote: bool = False,
        keys: ServerKeys | None = None,
        workers: int = 1,
    ) -> None:
        check_bind_address(address, keys, allow_remote)
        codec.pack(spec)  # a spec that cannot be sent must fail here, not at the first hello
        self._spec, self._planner = spec, planner
        self._queue = RequestQueue()
        self._sequence = itertools.count()
        self._started = time.monotonic()
        self._plans, self._counting = 0, threading.Lock()
        self._stopping = threading.Event()
        self._closing = threading.RLock()  # a signal handler may interrupt `close` to call it again
        self._failure: Exception | None = None
        self._context = zmq.Context()
        self._mailbox = Mailbox(self._context)
        self._router = self._context.socket(zmq.ROUTER)
        configure(self._router)
        self._authenticator = None
        try:
            if keys is not None:
                self._authenticator = secure_server(self._router, self._context, keys)
            self._router.bind(address)
        except (zmq.ZMQError, AddressError) as error:
            self._end_sockets()
            if isinstance(error, AddressError):
                raise
            raise AddressError(f"cannot listen on {address}: {error}. Is another server running there?") from error
        self.address: str = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._threads = [
            threading.Thread(target=self._guard, args=(run,), name=f"plan-server-{name}", daemon=True)
            for name, run in (("io", self._serve_sockets), *[("worker", self._work)] * workers)
        ]

    def start(self) -> PlanServer:
        """Serve in the background until `close`."""
        for thread in self._threads:
            thread.start()
        return self

    def serve_forever(self) -> None:
        """Serve until `close` is called from another thread or a signal handler, or Ctrl-C."""
        self.start()
        try:
            self._stopping.wait()
        finally:
            self.close()
        if self._failure is not None:
            raise self._failure

    def close(self, timeout: float = 2.0) -> None:
        """Stop serving. A planner still running after `timeout` seconds is left behind as a daemon thread."""
        self._stopping.set()
        with self._closing:
            if self._context.closed:
                return
            self._queue.close()
            self._mailbox.put(None)
            io, *workers = self._threads
            if io.is_alive():
                io.join()
            end = time.monotonic() + timeout
            for worker in workers:
                if worker.is_alive() and worker is not threading.current_thread():
                    worker.join(max(0.0, end - time.monotonic()))
            self._end_sockets()

    def __enter__(self) -> PlanServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end_sockets(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        self._mailbox.close()
        self._router.close(linger=0)
        self._context.term()

    def _guard(self, run: Callable[[], None]) -> None:
        """Never let a thread die in silence: a server that has lost one must end."""
        try:
            run()
        except Exception as error:
            logger.exception("the plan server stops")
            self._failure = error
        finally:
            self._stopping.set()

    # ---- the I/O thread -----------------------------------------------------------------------------------------

    def _serve_sockets(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._mailbox.receiver, zmq.POLLIN)
        while not self._stopping.is_set():
            expiry = self._queue.next_expiry()
            ready = dict(poller.poll(None if expiry is None else milliseconds_until(expiry)))
            for post in self._mailbox.take():
                if post is not None:
                    self._router.send_multipart(post, zmq.NOBLOCK, copy=False)
            for job in self._queue.expire(time.monotonic()):
                self._drop(job, ExpiredError(f"waited longer than its deadline of {job.header.deadline:g} s"))
            if self._router in ready:
                self._receive()

    def _receive(self) -> None:
        """Answer everything that has come, but not so much that outgoing plans wait."""
        for _ in range(64):
            frames = receive(self._router)
            if frames is None:
                return
            peer, header = bytes(frames[0]), Header(NOBODY, NOBODY, 0)
            try:
                if len(frames) < 2:
                    raise MalformedMessageError("a message has at least one frame, the header")
                envelope = codec.read_header(frames[1])
                header = envelope.header
                codec.check_sizes([len(frame) for frame in frames[1:]])
                self._handle(peer, envelope, frames[2:])
            except ProtocolError as error:
                self._send(peer, header, error.to_reply())
            except Exception as error:
                logger.exception("message of %s", header)
                self._send(peer, header, InternalServerError(f"{type(error).__name__}: {error}").to_reply())

    def _handle(self, peer: bytes, envelope: Envelope, frames: list[Buffer]) -> None:
        header = envelope.header
        if envelope.header.type == "plan_request":  # opened by the worker: its arrays are large
            context = Context(header.robot, header.session)
            job = Job(peer, envelope, frames, context)
            context.on_progress = lambda stage, fraction: self._progress(job, stage, fraction)
            older = self._queue.put(job)
            if older is not None:
                self._drop(older, SupersededError("a newer request of this robot took its place"))
            return
        message = envelope.open(frames)
        answer: Message
        if isinstance(message, StatusRequest):
            answer = Status(
                self._queue.busy, len(self._queue), self._plans, self._queue.dropped, time.monotonic() - self._started
            )
        elif isinstance(message, Hello):
            answer = self._spec
        elif isinstance(message, Cancel):
            cancelled = self._queue.cancel(peer, header.session, message.request_id)
            if cancelled is not None:
                self._drop(cancelled, CancelledError("cancelled by its client"))
            answer = Done()
        elif isinstance(message, Reset):
            for job in self._queue.reset(header.robot):
                self._drop(job, CancelledError("its robot was reset"))
            answer = Done()
        else:
            raise MalformedMessageError(f"a server takes no message of type {header.type}")
        self._send(peer, header, answer)

    def _drop(self, job: Job, reason: ProtocolError) -> None:
        job.context.cancel()
        self._send(job.peer, job.header, reason.to_reply())

    # ---- the worker threads -------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (order := self._queue.take()) is not None:
            if isinstance(order, ResetOrder):
                self._reset(order)
                self._queue.finish(order)
                continue
            try:
                post = self._answer(order)
            except ProtocolError as error:
                post = self._frames(order.peer, order.header, error.to_reply())
            except Exception as error:
                logger.exception("planning for %s failed", order.header.robot)
                reply = InternalServerError(f"the planner failed with {type(error).__name__}: {error}").to_reply()
                post = self._frames(order.peer, order.header, reply)
            self._queue.finish(order)
            if not order.context.cancelled:  # who cancelled it has been told
                self._mailbox.put(post)

    def _reset(self, order: ResetOrder) -> None:
        reset = getattr(self._planner, "reset", None)
        if reset is not None:
            try:
                reset(order.robot)
            except Exception:
                logger.exception("resetting %s failed", order.robot)

    def _answer(self, job: Job) -> list[Buffer]:
        """Open, plan, pack. Adds queue, decode and encode milliseconds to the plan's timings."""
        timings = job.context.timings
        begun = time.monotonic()
        timings["queue"] = 1e3 * (begun - job.arrived)
        request = job.envelope.open(job.frames)
        assert isinstance(request, PlanRequest)
        check_request(self._spec, request)
        timings["decode"] = 1e3 * (time.monotonic() - begun)
        plan = self._planner(request, job.context)
        if job.context.cancelled:
            raise CancelledError("cancelled while it was planned")
        begun = time.monotonic()
        try:
            check_plan(self._spec, request, plan)
            packed = codec.pack(replace(plan, timings={**plan.timings, **timings}))
            packed.body["timings"]["encode"] = 1e3 * (time.monotonic() - begun)
            frames = packed.frames(self._reply_header(job.header))
        except ProtocolError as error:  # the planner's mistake, not the client's
            raise InternalServerError(f"the planner made a plan that cannot be sent: {error}") from error
        with self._counting:
            self._plans += 1
        return [job.peer, *frames]

    def _progress(self, job: Job, stage: str, fraction: float) -> None:
        if not job.context.cancelled:
            try:
                self._mailbox.put(self._frames(job.peer, job.header, Progress(stage, fraction)))
            except ProtocolError as error:  # the planner's mistake, not the client's
                raise InternalServerError(f"the planner reported a progress that cannot be sent: {error}") from error

    # ---- both ---------------------------------------------------------------------------------------------------

    def _reply_header(self, header: Header) -> Header:
        """Echo of whose message is answered."""
        return replace(header, sequence=next(self._sequence), deadline=None)

    def _frames(self, peer: bytes, header: Header, message: Message) -> list[Buffer]:
        return [peer, *codec.encode(message, self._reply_header(header))]

    def _send(self, peer: bytes, header: Header, message: Message) -> None:
        """Only for the I/O thread. A peer that has gone is no error."""
        self._router.send_multipart(self._frames(peer, header, message), zmq.NOBLOCK)
