"""Errors of this room: one base, so that a caller can catch what the planner itself refuses.

A plan that nobody wants any more ends with `plan_protocol.errors.CancelledError`.
"""

from __future__ import annotations

from plan_protocol.errors import InvalidFieldError


class PlannerError(Exception):
    """Base of everything the planner refuses; the message says what was wrong, where, and what to do."""


class BadRequestError(PlannerError, InvalidFieldError):
    """A request does not fit the loaded bundle; the client sees it as the protocol's ``invalid_field``."""


class StartError(PlannerError):
    """The server cannot start: bundle missing or unreadable, address in use."""
