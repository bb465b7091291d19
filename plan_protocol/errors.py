"""The protocol's errors: one base class, a code a program can switch on, and whether trying again makes sense.

An error crosses the wire as `messages.ErrorReply` (code, message, retryable) and becomes the same exception on the
other side (`from_reply`). Nothing else escapes from this package for bad input.
"""

from __future__ import annotations

from enum import Enum

from plan_protocol.messages import ErrorReply


class ErrorCode(str, Enum):
    """Every code that may appear in `ErrorReply.code`."""

    MALFORMED = "malformed"
    UNSUPPORTED_VERSION = "unsupported_version"
    LIMIT_EXCEEDED = "limit_exceeded"
    INVALID_FIELD = "invalid_field"
    SPEC_MISMATCH = "spec_mismatch"
    BUSY = "busy"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    SERVER_LOST = "server_lost"
    TIMEOUT = "timeout"
    ADDRESS = "address"


class ProtocolError(Exception):
    """Base of every error of this package.

    Attributes:
        code: What kind of error it is.
        retryable: True where the same request may succeed later.
    """

    code: ErrorCode = ErrorCode.INTERNAL
    retryable: bool = False

    def to_reply(self) -> ErrorReply:
        """The error as a message for the peer."""
        return ErrorReply(code=self.code.value, message=shorten(str(self)), retryable=self.retryable)


class MalformedMessageError(ProtocolError):
    """The bytes are not a message of this protocol: broken msgpack, wrong keys, missing frames."""

    code = ErrorCode.MALFORMED


class UnsupportedVersionError(ProtocolError):
    """The peer speaks another version of the protocol."""

    code = ErrorCode.UNSUPPORTED_VERSION


class LimitExceededError(ProtocolError):
    """A count, size, length or shape is beyond `limits`."""

    code = ErrorCode.LIMIT_EXCEEDED


class InvalidFieldError(ProtocolError):
    """A field has the wrong type, is not finite, or contradicts another field."""

    code = ErrorCode.INVALID_FIELD


class SpecMismatchError(ProtocolError):
    """Robot and planner do not agree on cameras, frames, units or sizes.

    Attributes:
        differences: Each difference in words.
    """

    code = ErrorCode.SPEC_MISMATCH

    def __init__(self, message: str, differences: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.differences = differences


class BusyError(ProtocolError):
    """Too many robots are waiting for this server."""

    code = ErrorCode.BUSY
    retryable = True


class SupersededError(ProtocolError):
    """A newer request of the same robot took this one's place."""

    code = ErrorCode.SUPERSEDED


class ExpiredError(ProtocolError):
    """The request waited longer than its deadline; send one with a fresh observation."""

    code = ErrorCode.EXPIRED
    retryable = True


class CancelledError(ProtocolError):
    """The request was cancelled, or its robot was reset."""

    code = ErrorCode.CANCELLED


class InternalServerError(ProtocolError):
    """The planner failed; the server goes on and its log has the traceback."""

    code = ErrorCode.INTERNAL
    retryable = True


class ServerLostError(ProtocolError):
    """The connection to the server broke, or it stopped answering heartbeats."""

    code = ErrorCode.SERVER_LOST
    retryable = True


class ReplyTimeoutError(ProtocolError):
    """The server is there but did not answer in time."""

    code = ErrorCode.TIMEOUT
    retryable = True


class AddressError(ProtocolError):
    """The address cannot be used: not understood, in use, or refused because others on the network could reach it."""

    code = ErrorCode.ADDRESS


_CLASSES: dict[str, type[ProtocolError]] = {
    kind.code.value: kind
    for kind in (
        MalformedMessageError,
        UnsupportedVersionError,
        LimitExceededError,
        InvalidFieldError,
        SpecMismatchError,
        BusyError,
        SupersededError,
        ExpiredError,
        CancelledError,
        InternalServerError,
        ServerLostError,
        ReplyTimeoutError,
        AddressError,
    )
}


def from_reply(reply: ErrorReply) -> ProtocolError:
    """The exception an `ErrorReply` stands for; an unknown code becomes a plain `ProtocolError`."""
    error = _CLASSES.get(reply.code, ProtocolError)(reply.message)
    error.retryable = reply.retryable
    return error


def shorten(text: str, length: int = 900) -> str:
    """Text that fits in an `ErrorReply`, whatever it was made from."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= length else clean[: length - 1] + "…"
