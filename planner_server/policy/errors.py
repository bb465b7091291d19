"""Errors of talking to a policy server; each says what was wrong, where, and what to do."""

from __future__ import annotations


class PolicyError(Exception):
    """Base of everything that keeps a policy from answering."""


class UnreachableError(PolicyError):
    """No server there, the connection broke, or the answer did not come in time."""


class RefusedError(PolicyError):
    """The server answered with an error of its own."""


class MessageError(PolicyError):
    """A message is not one of this protocol, exceeds its limits, or lacks what it must hold."""
