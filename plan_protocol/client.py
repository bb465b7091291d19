"""The robot's side: ask for plans without ever waiting for the network, and know at once when the server is gone.

with PlanClient("tcp://127.0.0.1:5555", "cell-3") as client:
    spec = client.hello(Hello("panda", "0.1.0"))
    number = client.request(plan_request)
    for answered, reply in client.poll(timeout=0.05):
        ...
"""

from __future__ import annotations

import itertools
import math
import secrets
import threading
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TypeVar

from plan_protocol import codec
from plan_protocol.codec import NOBODY, Buffer, Header, Packed
from plan_protocol.connection import Connection
from plan_protocol.errors import (
    CancelledError,
    InvalidFieldError,
    MalformedMessageError,
    ProtocolError,
    ReplyTimeoutError,
    ServerLostError,
    from_reply,
)
from plan_protocol.jpeg import QUALITY
from plan_protocol.messages import (
    Cancel,
    Done,
    ErrorReply,
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
from plan_protocol.security import ClientKeys, is_local

Answer = TypeVar("Answer", PlannerSpec, Plan, Done, Status)

HEARTBEAT = 0  # request number of heartbeats
MAX_UNREAD = 1000  # replies kept for `poll`


@dataclass
class _Pending:
    """A request without its final answer; `future` where a caller blocks for it."""

    stamp: float | None
    future: Future | None


class PlanClient:
    """A connection of one robot to one planner server. All methods may be called from any thread.

    Args:
        address: ``tcp://HOST:PORT`` of the server, which need not run yet.
        robot_id: Name of this robot, unique among the server's clients.
        heartbeat: Seconds between heartbeats.
        heartbeat_timeout: Seconds without an answer after which the server counts as lost.
        ping_timeout: The same for ZeroMQ's own pings. A thread below Python answers them, whom neither planning nor
            the interpreter's lock delays, so this may be much shorter; None leaves them to dead networks (5 s).
        compress: ``"jpeg"`` sends the images of requests as JPEG (quality 90); None sends the pixels.
        keys: CURVE keys, if the server demands them.

    Attributes:
        session: Random name of this client's run.
        connections: How often the server was found. If it grows, a server came back, perhaps another: say hello again.

    Raises:
        AddressError: If the address or a key file cannot be used.
    """

    def __init__(
        self,
        address: str,
        robot_id: str,
        *,
        heartbeat: float = 0.1,
        heartbeat_timeout: float = 0.5,
        ping_timeout: float | None = None,
        compress: str | None = None,
        keys: ClientKeys | None = None,
    ) -> None:
        is_local(address)  # says what is wrong with an address that is none
        if compress not in (None, "jpeg"):
            raise InvalidFieldError(f"compress: expected 'jpeg' or None, got {compress!r}")
        self.address, self.robot_id, self.session = address, robot_id, secrets.token_hex(8)
        self.connections = 0
        self._jpeg_quality = QUALITY if compress else None
        self._numbers, self._sequence = itertools.count(HEARTBEAT + 1), itertools.count()
        self._heartbeat = codec.pack(StatusRequest())
        self._heartbeat.frames(self._header(HEARTBEAT))  # a robot id that cannot be sent must fail here
        self._changed = threading.Condition()
        self._pending: dict[int, _Pending] = {}
        self._inbox: deque[tuple[int, Plan | ErrorReply | Progress]] = deque(maxlen=MAX_UNREAD)
        self._alive, self._closed, self._last_heard = False, False, -math.inf
        self._trouble: ProtocolError | None = None  # why there is no server, if known
        self._connection = Connection(
            address,
            keys=keys,
            heartbeat=heartbeat,
            heartbeat_timeout=heartbeat_timeout,
            ping_timeout=ping_timeout,
            heartbeat_frames=lambda: self._heartbeat.frames(self._header(HEARTBEAT)),
            on_frames=self._on_frames,
            on_alive=self._on_alive,
            on_lost=self._on_lost,
        )

    @property
    def alive(self) -> bool:
        """The server is connected and answers heartbeats."""
        return self._alive

    @property
    def last_heard(self) -> float:
        """`time.monotonic` of the last message from the server; minus infinity before the first."""
        return self._last_heard

    def hello(self, hello: Hello, timeout: float = 5.0) -> PlannerSpec:
        """Introduce the robot and get the planner's spec; waits for a server that is still starting.

        Raises:
            ServerLostError: If no server is found in time, or it is lost.
            ReplyTimeoutError: If it does not answer in time.
            UnsupportedVersionError: If it speaks another version of the protocol.
        """
        return self._call(hello, timeout, PlannerSpec)

    def request(self, request: PlanRequest) -> int:
        """Ask for a plan and return at once. Leave the request's arrays unchanged: they are not copied.

        Returns:
            The number under which `poll` gives the progress, and then either the plan or an error. Where there is no
            server that error comes immediately.

        Raises:
            ProtocolError: If the request is not valid.
        """
        return self._submit(codec.pack(request, jpeg_quality=self._jpeg_quality), None)

    def plan(self, request: PlanRequest, timeout: float) -> Plan:
        """Ask for a plan and wait for it. On timeout the request is cancelled.

        Raises:
            ProtocolError: Whatever kept the plan from being made; see `errors`.
        """
        return self._call(request, timeout, Plan)

    def poll(self, timeout: float = 0.0) -> list[tuple[int, Plan | ErrorReply | Progress]]:
        """What came for `request`s, oldest first; waits up to `timeout` seconds for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._inbox or self._closed, timeout)
            replies = list(self._inbox)
            self._inbox.clear()
            return replies

    def cancel(self, number: int) -> None:
        """Give up on a request: its answer becomes the error ``cancelled`` at once, whatever the server does."""
        if self._fail(CancelledError("cancelled by its client"), number):
            self._connection.send(None, codec.encode(Cancel(number), self._header(next(self._numbers))))

    def reset(self, timeout: float = 1.0) -> None:
        """Begin a new task: the server drops this robot's requests and forgets its previous plan.

        Raises:
            ProtocolError: If the server is lost or does not confirm in time.
        """
        self._call(Reset(), timeout, Done)

    def status(self, timeout: float = 1.0) -> Status:
        """The server's state.

        Raises:
            ProtocolError: If the server is lost or does not answer in time.
        """
        return self._call(StatusRequest(), timeout, Status)

    def close(self) -> None:
        """Close at once. Open requests get the error ``server_lost``."""
        with self._changed:
            self._closed = True
        self._connection.close()
        self._on_lost(ServerLostError("this client was closed"), None)

    def __enter__(self) -> PlanClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- asking -------------------------------------------------------------------------------------------------

    def _call(self, message: Message, timeout: float, expected: type[Answer]) -> Answer:
        packed = codec.pack(message, jpeg_quality=self._jpeg_quality)
        end = time.monotonic() + timeout
        with self._changed:
            # Trouble that will not pass, such as another version of the protocol, is not worth waiting for.
            self._changed.wait_for(
                lambda: self._alive or self._closed or (self._trouble is not None and not self._trouble.retryable),
                timeout,
            )
            if not self._alive:
                raise self._no_server()
        future: Future = Future()
        number = self._submit(packed, future)
        try:
            reply = future.result(max(0.0, end - time.monotonic()))
        except FutureTimeoutError as error:
            self.cancel(number)
            raise ReplyTimeoutError(f"the server at {self.address} did not answer within {timeout:g} s") from error
        if isinstance(reply, ErrorReply):
            raise from_reply(reply)
        if not isinstance(reply, expected):
            raise MalformedMessageError(f"expected {expected.__name__} as the answer, got {type(reply).__name__}")
        return reply

    def _submit(self, packed: Packed, future: Future | None) -> int:
        with self._changed:
            number = next(self._numbers)
            frames = packed.frames(self._header(number))
            self._pending[number] = _Pending(packed.stamp, future)
            if self._alive:
                self._connection.send(number, frames)
            else:
                self._fail(self._no_server(), number)
            return number

    def _header(self, number: int) -> Header:
        return Header(self.robot_id, self.session, number, next(self._sequence))

    def _no_server(self) -> ProtocolError:
        if self._closed:
            return ServerLostError("this client was closed")
        return self._trouble or ServerLostError(f"no planner server answers at {self.address}: is it running there?")

    # ---- answers; called by the connection's thread -------------------------------------------------------------

    def _on_frames(self, frames: list[Buffer]) -> bool:
        try:
            codec.check_sizes([len(frame) for frame in frames])
            envelope = codec.read_header(frames[0])
            header = envelope.header
            if header.session == NOBODY and header.type == "error":
                refusal = envelope.open(frames[1:])
                assert isinstance(refusal, ErrorReply)
                raise from_reply(refusal)
        except ProtocolError as error:  # the two sides cannot talk, and which request it was about is unknown
            self._trouble = error
            self._fail(error, None)
            return False
        if (header.robot, header.session) != (self.robot_id, self.session):
            return False
        with self._changed:
            self._last_heard, self._trouble = time.monotonic(), None
        try:
            self._deliver(header, envelope.open(frames[1:]))
        except ProtocolError as error:
            self._fail(error, header.request)
        return True

    def _deliver(self, header: Header, message: Message) -> None:
        with self._changed:
            pending = self._pending.get(header.request)
            if pending is None or (pending.stamp is not None and pending.stamp != header.stamp):
                # A heartbeat, or what comes too late: of a cancelled request, or about another observation.
                return
            if isinstance(message, Progress):
                if pending.future is None:
                    self._inbox.append((header.request, message))
                    self._changed.notify_all()
                return
            if pending.future is None and not isinstance(message, (Plan, ErrorReply)):
                raise MalformedMessageError(f"expected a plan as the answer, got a message of type {header.type}")
            self._finish(header.request, message)

    def _finish(self, number: int, message: Message) -> None:
        """The final answer of a request; the caller holds the lock."""
        pending = self._pending.pop(number)
        if pending.future is not None:
            pending.future.set_result(message)
        elif isinstance(message, (Plan, ErrorReply)):
            self._inbox.append((number, message))
        self._changed.notify_all()

    def _fail(self, error: ProtocolError, number: int | None) -> bool:
        """Answer one open request, or all, with an error. True if there was one."""
        with self._changed:
            numbers = list(self._pending) if number is None else [n for n in (number,) if n in self._pending]
            for n in numbers:
                self._finish(n, error.to_reply())
            self._changed.notify_all()
            return bool(numbers)

    def _on_alive(self) -> None:
        with self._changed:
            self._alive = True
            self.connections += 1
            self._changed.notify_all()

    def _on_lost(self, error: ProtocolError, number: int | None) -> None:
        with self._changed:
            if number is None:
                self._alive, self._trouble = False, error
            self._fail(error, number)
