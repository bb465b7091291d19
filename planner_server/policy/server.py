"""The answering side of openpi's protocol, for any policy with ``infer``."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from planner_server.policy.errors import MessageError, PolicyError
from planner_server.policy.wire import MAX_BYTES, decode, encode

GOODBYE = 5.0
"""Most seconds that clients get to hang up when the server ends."""


class Policy(Protocol):
    """What can be served."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What a client is told on connection."""
        ...

    def infer(self, observation: Mapping[Any, Any]) -> dict[str, Any]:
        """Actions for an observation.

        Raises:
            MessageError: The observation lacks something or does not fit.
        """
        ...


class PolicyServer:
    """Serves one policy to any number of clients, one observation at a time.

    Metadata first; then per observation an answer with ``server_timing`` in milliseconds, or a text frame that says
    what was wrong. ``GET /healthz`` answers 200, as openpi's server does.

    Attributes:
        address: Where it listens, ``ws://HOST:PORT``.
    """

    def __init__(self, policy: Policy, address: str, allow_remote: bool = False) -> None:
        """Listen; answers once `serve_forever` runs.

        Args:
            policy: What answers.
            address: ``ws://HOST:PORT``, port 0 for a free one.
            allow_remote: Listen where other machines can reach it. The protocol knows neither keys nor passwords.

        Raises:
            PolicyError: The address is refused, not understood or in use.
        """
        host, port = checked_address(address)
        if not allow_remote and not _is_loopback(host):
            raise PolicyError(
                f"{address} can be reached from other machines, and the protocol has no keys: whoever reaches it can "
                "use the policy. Listen on ws://127.0.0.1:PORT, or allow that with --allow-remote"
            )
        self._policy = policy
        self._turn = threading.Lock()
        self._closed = threading.Event()
        try:
            self._server = serve(self._talk, host, port, compression=None, max_size=MAX_BYTES, process_request=_health)
        except OSError as error:
            raise PolicyError(f"cannot listen on {address}: {error.strerror or error}") from error
        shown = f"[{host}]" if ":" in host else host
        self.address = f"ws://{shown}:{self._server.socket.getsockname()[1]}"

    def serve_forever(self) -> None:
        """Serve until `close`, called from another thread, has hung up on every client."""
        self._server.serve_forever()
        self._closed.wait(GOODBYE)

    def close(self) -> None:
        """Stop listening and hang up."""
        self._server.shutdown()
        self._closed.set()

    def _talk(self, connection: ServerConnection) -> None:
        previous: float | None = None
        try:
            connection.send(encode(self._policy.metadata))
            for message in connection:
                begun = time.perf_counter()
                try:
                    connection.send(encode(self._answer(message, previous)))
                except MessageError as error:
                    connection.send(str(error))
                except Exception as error:  # a broken policy must say so, or its clients wait for nothing
                    connection.send(f"the policy failed: {type(error).__name__}: {error}")
                previous = 1e3 * (time.perf_counter() - begun)
        except ConnectionClosed:
            return

    def _answer(self, message: str | bytes, previous: float | None) -> dict[str, Any]:
        if isinstance(message, str):
            raise MessageError("observations come as binary frames, this was text")
        observation = decode(message)
        with self._turn:
            begun = time.perf_counter()
            answer = self._policy.infer(observation)
            timing = {"infer_ms": 1e3 * (time.perf_counter() - begun)}
        if previous is not None:
            timing["prev_total_ms"] = previous
        return {**answer, "server_timing": timing}


def checked_address(address: str) -> tuple[str, int]:
    """Host and port of ``ws://HOST:PORT``.

    Raises:
        PolicyError: It is something else.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.scheme not in ("ws", "wss"):
        raise PolicyError(f"'{address}' is no address of a policy server: expected ws://HOST:PORT")
    return host, port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _health(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(HTTPStatus.OK, "OK\n") if request.path == "/healthz" else None
