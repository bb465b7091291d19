"""A small client of zerorpc's wire format (protocol version 3), as DROID's NUC speaks it.

Each message is two frames on a ZeroMQ DEALER socket: an empty one, and a msgpack array ``[header, name, args]``. A
request's header carries ``message_id`` and ``v``; everything that belongs to it later carries ``response_to``. The
answer is named ``OK`` (args: the value) or ``ERR`` (args: exception name, message, traceback); ``_zpc_hb`` is a
heartbeat and ``_zpc_more`` flow control. The `zerorpc` package itself would bring gevent, for these hundred lines.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import msgpack
import zmq

from robot_bridge.backends.interfaces import BackendError

HEARTBEAT = 20.0
"""Seconds between two heartbeats, as DROID sets it; twice as long without one means the other side is gone."""

VERSION = 3


class RemoteError(BackendError):
    """The other side's function raised."""


class ZerorpcClient:
    """Calls functions of a zerorpc server, one at a time; belongs to one thread."""

    def __init__(self, address: str, heartbeat: float = HEARTBEAT) -> None:
        self.address, self.heartbeat = address, heartbeat
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(address)

    def call(self, name: str, *args: Any, timeout: float = 5.0) -> Any:
        """Call a function and wait for its value.

        Raises:
            RemoteError: It raised there.
            BackendError: No answer within ``timeout`` seconds, or one that is no zerorpc.
        """
        identity = uuid.uuid4().hex
        self._send({"message_id": identity, "v": VERSION}, name, args)
        end, beat = time.monotonic() + timeout, time.monotonic() + self.heartbeat
        while (now := time.monotonic()) < end:
            if now >= beat:
                self._send({"message_id": uuid.uuid4().hex, "v": VERSION, "response_to": identity}, "_zpc_hb", (0,))
                beat = now + self.heartbeat
            if not self._socket.poll(max(1, round(1e3 * (min(end, beat) - now)))):
                continue
            header, event, values = self._receive()
            if header.get("response_to") != identity or event.startswith("_zpc_"):
                continue  # heartbeats, and late answers to calls given up
            if event == "OK":
                return values[0] if values else None
            if event == "ERR":
                raise RemoteError(f"{name} failed on {self.address}: {': '.join(str(part) for part in values[:2])}")
            raise BackendError(f"{self.address} answered {name} with '{event}', which is no single value")
        raise BackendError(f"{self.address} did not answer {name} within {timeout:g} s; is the NUC's server running?")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
        self._context.term()

    def _send(self, header: dict[str, Any], name: str, args: tuple[Any, ...]) -> None:
        self._socket.send_multipart([b"", msgpack.packb([header, name, list(args)])])

    def _receive(self) -> tuple[dict[str, Any], str, list[Any]]:
        frames = self._socket.recv_multipart()
        try:
            header, event, values = msgpack.unpackb(frames[-1])
            return dict(header), str(event), list(values)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise BackendError(f"{self.address} does not speak zerorpc: {error}") from error
