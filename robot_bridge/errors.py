"""The bridge's errors: one base class; each message says what was wrong, where, and what to do."""

from __future__ import annotations


class BridgeError(Exception):
    """Base of every error of this package."""


class ConfigError(BridgeError):
    """A setting of the bridge cannot be used.

    Attributes:
        field: Name of the setting.
        message: What is wrong with it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class ImageError(BridgeError):
    """A camera message cannot be turned into an RGB image."""


class HistoryError(BridgeError):
    """The frames a planner wants are not there.

    Attributes:
        reason: Reason code, see `robot_bridge.guard.reasons.Reason`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PlannerError(BridgeError):
    """No planner yet that fits this robot; trying again later may help."""


class MismatchError(PlannerError):
    """The planner's promises differ from what this robot needs; the message names each difference."""
