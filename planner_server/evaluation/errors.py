"""What can go wrong while the planner is measured."""

from __future__ import annotations

from planner_server.errors import PlannerError


class EvaluationError(PlannerError):
    """Something could not be measured; the message says what, and what to do."""


class SimulatorError(EvaluationError):
    """The simulator's process refused a request or ended."""
