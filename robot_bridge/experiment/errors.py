"""Why a trial did not come to an end that says something about the method."""

from __future__ import annotations

from robot_bridge.errors import BridgeError


class ExperimentError(BridgeError):
    """A trial could not be run to its end; the message says why, and what to do."""


class Stopped(Exception):  # noqa: N818 -- a wish, no error
    """Somebody wants the experiment to end now."""
