"""The latched stop. A software stop: it is not, and does not replace, the arm's emergency stop."""

from __future__ import annotations

from robot_bridge.guard.reasons import Finding


class LatchedStop:
    """Once stopped, stopped until somebody re-arms it on purpose."""

    def __init__(self) -> None:
        self._finding: Finding | None = None

    @property
    def finding(self) -> Finding | None:
        """Why it is stopped, or None."""
        return self._finding

    def trip(self, finding: Finding) -> bool:
        """Stop; the first reason stays. Returns True where it was not stopped before."""
        if self._finding is not None:
            return False
        self._finding = finding
        return True

    def rearm(self) -> bool:
        """Allow motion again. Returns True where it was stopped."""
        stopped, self._finding = self._finding is not None, None
        return stopped
