"""The asking side of openpi's protocol: metadata on connection, then one answer per observation."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from planner_server.policy.errors import MessageError, RefusedError, UnreachableError
from planner_server.policy.wire import MAX_BYTES, decode, encode


class PolicyClient:
    """One connection to a policy server; belongs to one thread.

    Attributes:
        address: ``ws://HOST:PORT``.
        metadata: What the server said of itself.
    """

    def __init__(self, address: str, timeout: float = 5.0) -> None:
        """Connect.

        Args:
            address: ``ws://HOST:PORT`` or ``wss://...``.
            timeout: Most seconds to wait for the connection, and for the metadata.

        Raises:
            UnreachableError: Nobody answers there.
            MessageError: Somebody does, but does not speak this protocol.
        """
        self.address = address
        self._open = ExitStack()
        try:
            # No proxy: a robot's server is not behind that of an office network. No pings: openpi's server does not
            # answer them while it infers (its first answer can take a minute), and every wait here has its own limit.
            connection = connect(
                address,
                compression=None,
                max_size=MAX_BYTES,
                open_timeout=timeout,
                close_timeout=1.0,
                ping_interval=None,
                proxy=None,
            )
            self._socket = self._open.enter_context(connection)
        except (OSError, TimeoutError, WebSocketException) as error:
            raise UnreachableError(f"no policy server at {address} ({_why(error)})") from error
        try:
            self.metadata = self._receive(timeout)
        except BaseException:
            self.close()
            raise

    def infer(self, observation: dict[str, Any], timeout: float) -> dict[Any, Any]:
        """The server's answer to an observation.

        After any error but `RefusedError` close the connection: an answer that is still on its way must not be taken
        for the next one.

        Raises:
            UnreachableError: The connection broke, or no answer came within ``timeout`` seconds.
            RefusedError: The server answered with an error.
            MessageError: The observation cannot be sent, or the answer is not understood.
        """
        try:
            self._socket.send(encode(observation))
        except (OSError, WebSocketException) as error:
            raise UnreachableError(f"the connection to {self.address} broke ({_why(error)})") from error
        return self._receive(timeout)

    def close(self) -> None:
        """Hang up."""
        self._open.close()

    def _receive(self, timeout: float) -> dict[Any, Any]:
        try:
            answer = self._socket.recv(timeout)
        except TimeoutError as error:
            raise UnreachableError(f"{self.address} did not answer within {timeout:g} s") from error
        except (OSError, WebSocketException) as error:
            raise UnreachableError(f"the connection to {self.address} broke ({_why(error)})") from error
        if isinstance(answer, str):
            raise RefusedError(f"{self.address} answered: {_last_line(answer)}")
        try:
            return decode(answer)
        except MessageError as error:
            raise MessageError(f"{self.address} answered what is not understood: {error}") from error


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _last_line(text: str) -> str:
    """What happened: of a traceback, which openpi sends, its last line."""
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "an error without words"
