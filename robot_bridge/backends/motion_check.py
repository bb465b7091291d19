"""Does the arm move when it is told to? For controllers that accept every command and say nothing."""

from __future__ import annotations

from collections import deque

import numpy as np

from robot_bridge.guard.reasons import Finding, Reason

WINDOW = 1.0
"""Seconds over which commanded and measured travel are compared."""

TRAVEL = 0.05
"""Radians some joint must have been told to move within the window before anything is concluded."""

SHARE = 0.2
"""Smallest share of that travel that must have been measured."""


class MotionCheck:
    """Compares what was commanded with what was measured, over the last second."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, np.ndarray, np.ndarray]] = deque()

    def add(self, time: float, commanded: np.ndarray, measured: np.ndarray) -> Finding | None:
        """Take a pair of joint vectors ``(7,)`` of one moment; returns the objection, or None."""
        self._seen.append((time, commanded, measured))
        while self._seen[0][0] < time - WINDOW:
            self._seen.popleft()
        if time - self._seen[0][0] < 0.8 * WINDOW:
            return None
        told = np.ptp([pair[1] for pair in self._seen], axis=0)
        done = np.ptp([pair[2] for pair in self._seen], axis=0)
        joint = int(told.argmax())
        if told[joint] < TRAVEL or done[joint] >= SHARE * told[joint]:
            return None
        return Finding(
            Reason.NOT_FOLLOWING,
            f"joint {joint + 1} was told to move {told[joint]:.2f} rad within {WINDOW:g} s and moved "
            f"{done[joint]:.3f}; is its controller running, the user stop released?",
        )

    def forget(self) -> None:
        """Start over: commands were interrupted."""
        self._seen.clear()
