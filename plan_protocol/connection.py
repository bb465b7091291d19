"""One DEALER socket with a thread of its own: sends, receives, asks for a heartbeat, and notices the server's end.

Three signs of a lost server: ZeroMQ's socket monitor reports that the connection broke, which follows the death of the
server's process within milliseconds; ZeroMQ's own pings stay unanswered, which is how a stopped process or a pulled
cable shows (the monitor reports it too); or heartbeats do, which is how a server that hangs within Python shows.
Reconnecting is ZeroMQ's work. Nothing is ever kept for a later connection: a request must not reach a server
that came back when its observation is long past.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import zmq
from zmq.utils.monitor import recv_monitor_message

from plan_protocol.codec import Buffer
from plan_protocol.errors import AddressError, ProtocolError, ServerLostError
from plan_protocol.security import ClientKeys, secure_client
from plan_protocol.transport import Mailbox, configure, milliseconds_until, receive

logger = logging.getLogger(__name__)

_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
RECONNECT_MS = 50
PINGS = 4
"""Pings within the time that one may stay unanswered."""


class Connection:
    """Keeps one connection to a server alive and reports on it from its own thread.

    Args:
        address: Where the server listens.
        keys: CURVE keys, if the server demands them.
        heartbeat: Seconds between heartbeats.
        heartbeat_timeout: Seconds a heartbeat may stay unanswered.
        ping_timeout: Seconds one of ZeroMQ's own pings may stay unanswered; None: see `configure`.
        heartbeat_frames: Makes the frames of a heartbeat.
        on_frames: Takes the frames of a message and returns True if it was a sign of life of the server.
        on_alive: The server has answered after a time without one.
        on_lost: The server is lost, or numbered messages could not be sent; with the error and their numbers (None:
            all).
    """

    def __init__(
        self,
        address: str,
        *,
        keys: ClientKeys | None,
        heartbeat: float,
        heartbeat_timeout: float,
        ping_timeout: float | None,
        heartbeat_frames: Callable[[], list[Buffer]],
        on_frames: Callable[[list[Buffer]], bool],
        on_alive: Callable[[], None],
        on_lost: Callable[[ProtocolError, int | None], None],
    ) -> None:
        self._address = address
        self._heartbeat, self._timeout = heartbeat, heartbeat_timeout
        self._heartbeat_frames, self._on_frames = heartbeat_frames, on_frames
        self._on_alive, self._on_lost = on_alive, on_lost
        self._connected = self._alive = False
        self._asked_at: float | None = None  # when the oldest unanswered heartbeat was sent
        self._next_heartbeat = 0.0
        self._closing = threading.Event()
        self._context = zmq.Context()
        self._mailbox = Mailbox(self._context)
        self._socket = self._context.socket(zmq.DEALER)
        configure(self._socket)
        if ping_timeout is not None:
            self._socket.set(zmq.HEARTBEAT_IVL, max(1, round(1e3 * ping_timeout / PINGS)))
            self._socket.set(zmq.HEARTBEAT_TIMEOUT, max(1, round(1e3 * ping_timeout)))
        self._socket.immediate = True  # no queue while there is no connection
        self._socket.reconnect_ivl = RECONNECT_MS
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _REFUSED
        )
        self._thread = threading.Thread(target=self._run, name="plan-client", daemon=True)
        try:
            if keys is not None:
                secure_client(self._socket, keys)
            self._socket.connect(address)
        except (zmq.ZMQError, AddressError) as error:
            self._end()
            if isinstance(error, AddressError):
                raise
            raise AddressError(f"cannot connect to {address}: {error}") from error
        self._thread.start()

    def send(self, number: int | None, frames: list[Buffer]) -> None:
        """Send soon. Where that is impossible `on_lost` hears the number; unnumbered messages are dropped."""
        self._mailbox.put((number, frames))

    def close(self) -> None:
        """Stop the thread and close the socket at once."""
        self._closing.set()
        if self._mailbox.put(None) and self._thread is not threading.current_thread():
            self._thread.join()

    def _end(self) -> None:
        self._mailbox.close()
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)
        self._context.term()

    # ---- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._socket, self._monitor, self._mailbox.receiver):
            poller.register(socket, zmq.POLLIN)
        try:
            while not self._closing.is_set():
                ready = dict(poller.poll(milliseconds_until(self._next_heartbeat)))
                # Received before lost: an answer that made it through is an answer.
                if self._socket in ready or self._monitor in ready:
                    self._receive()
                if self._monitor in ready:
                    self._watch()
                self._send()
                self._beat()
        except Exception as error:
            logger.exception("the connection to %s stops", self._address)
            self._lose(f"the client's own thread failed with {type(error).__name__}: {error}")
        finally:
            self._end()

    def _receive(self) -> None:
        while True:
            frames = receive(self._socket)
            if frames is None:
                return
            if self._on_frames(frames):
                self._asked_at = None
                if not self._alive:
                    self._alive = True
                    self._on_alive()

    def _watch(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._connected, self._next_heartbeat, self._asked_at = True, 0.0, None
            elif event == zmq.EVENT_DISCONNECTED and self._connected:
                self._connected = False
                self._lose("the connection broke: its process ended or is stopped, or the network is down")
            elif event == zmq.EVENT_DISCONNECTED or event & _REFUSED:  # before both sides had agreed
                self._lose("the server refused the connection: do both sides use CURVE keys that know each other?")

    def _send(self) -> None:
        for post in self._mailbox.take():
            if post is None:
                continue
            number, frames = post
            try:
                if not self._connected:
                    raise zmq.Again
                self._socket.send_multipart(frames, zmq.NOBLOCK, copy=False)
            except zmq.Again:
                if number is not None:
                    self._on_lost(self._error("there is no connection"), number)

    def _beat(self) -> None:
        now = time.monotonic()
        if self._connected and self._asked_at is not None and now - self._asked_at > self._timeout and self._alive:
            self._lose(f"no answer to a heartbeat for {self._timeout:g} s")
        if now < self._next_heartbeat:
            return
        self._next_heartbeat = now + self._heartbeat
        if self._connected:
            try:
                self._socket.send_multipart(self._heartbeat_frames(), zmq.NOBLOCK)
            except zmq.Again:
                return  # thousands are waiting already: the server hangs, which the timeout has noticed
            if self._asked_at is None:
                self._asked_at = now

    def _lose(self, reason: str) -> None:
        self._alive = False
        self._on_lost(self._error(reason), None)

    def _error(self, reason: str) -> ServerLostError:
        return ServerLostError(f"the planner server at {self._address} is lost: {reason}")
