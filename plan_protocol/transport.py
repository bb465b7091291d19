"""What client and server both need around a socket: waking the thread that owns it, and receiving within limits."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import Any

import zmq

from plan_protocol import limits
from plan_protocol.codec import Buffer


class Mailbox:
    """Hands things from any thread to the one thread that owns the sockets, and wakes it.

    ZeroMQ sockets belong to one thread. That thread polls `receiver` next to its own sockets and calls `take`.
    """

    def __init__(self, context: zmq.Context) -> None:
        self.receiver = context.socket(zmq.PAIR)
        self._sender = context.socket(zmq.PAIR)
        address = f"inproc://mailbox-{id(self)}"
        self.receiver.bind(address)
        self._sender.connect(address)
        self._lock = threading.Lock()
        self._items: deque[Any] = deque()
        self._woken = False
        self._closed = False

    def put(self, item: Any) -> bool:
        """Hand over an item; False if nobody will ever take it."""
        with self._lock:
            if self._closed:
                return False
            self._items.append(item)
            if not self._woken:  # one wake-up in flight is enough, so this can never block
                self._woken = True
                self._sender.send(b"")
            return True

    def take(self) -> list[Any]:
        """Everything handed over since the last call; only for the owning thread."""
        with self._lock:
            if self._woken:
                self.receiver.recv()
                self._woken = False
            items = list(self._items)
            self._items.clear()
            return items

    def close(self) -> None:
        """Refuse everything from now on and close the sockets."""
        with self._lock:
            self._closed = True
            self._sender.close(linger=0)
            self.receiver.close(linger=0)


def receive(socket: zmq.Socket) -> list[Buffer] | None:
    """The frames of the next message without copying them, or None when there is none.

    Of a message beyond the limits only as much is kept as `codec.check_sizes` needs to refuse it.
    """
    frames: list[Buffer] = []
    size = 0
    flags = zmq.NOBLOCK
    while True:
        try:
            frame = socket.recv(flags, copy=False)
        except zmq.Again:
            return None
        # A ROUTER puts the sender's name in front of the message's own frames, hence one more than too many.
        if size <= limits.MAX_MESSAGE_BYTES and len(frames) <= limits.MAX_FRAMES + 1:
            frames.append(frame.buffer)
            size += len(frame)
        if not frame.more:
            return frames
        flags = zmq.Flag(0)  # a message arrives whole: the rest is there


def configure(socket: zmq.Socket) -> None:
    """Options that both ends share."""
    socket.linger = 0  # closing never waits for a peer
    socket.set(zmq.MAXMSGSIZE, limits.MAX_FRAME_BYTES)
    # ZeroMQ's own pings, answered below Python: they only tear down connections that are dead on the network.
    socket.set(zmq.HEARTBEAT_IVL, 1000)
    socket.set(zmq.HEARTBEAT_TIMEOUT, 5000)


def milliseconds_until(when: float) -> int:
    """Whole milliseconds until a `time.monotonic` time, rounded up, for `zmq.Poller.poll`."""
    return max(0, math.ceil(1e3 * (when - time.monotonic())))
