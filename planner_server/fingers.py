"""What the measured fingers say of the hand: open, holding something, or closed on nothing. No camera is asked."""

from __future__ import annotations

import numpy as np

AT_REST = 0.05
"""Change between two frames below which fingers have come to rest."""
HELD_BETWEEN = (0.1, 0.95)
"""Fingers at rest in between stand on something; above, on each other."""


def held_gripper(measured: float) -> float:
    """Gripper command that keeps things as they are when no command is known (no committed prefix).

    Fingers that stand clear of fully open are stopped by what they hold; commanding the measured width would let go.
    """
    return 1.0 if measured > HELD_BETWEEN[0] else 0.0


def holding(fingers: np.ndarray) -> bool:
    """Whether the fingers stand on something: at rest, neither open nor fully closed.

    Args:
        fingers: ``(T,)`` measured gripper at the history frames, 0 open .. 1 closed.
    """
    return at_rest(fingers) and HELD_BETWEEN[0] < float(fingers[-1]) < HELD_BETWEEN[1]


def closed_on_nothing(fingers: np.ndarray) -> bool:
    """Whether the fingers met: nothing can be grasped before they open again; see `holding`."""
    return at_rest(fingers) and float(fingers[-1]) >= HELD_BETWEEN[1]


def at_rest(fingers: np.ndarray) -> bool:
    """Whether the fingers stood still between the last two frames; see `holding`."""
    return float(np.ptp(fingers[-2:])) < AT_REST
