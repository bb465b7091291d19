"""How often something comes, by its own stamps: a slow simulation is no slow camera."""

from __future__ import annotations

import math
from collections import deque

REMEMBERED = 30


class Arrivals:
    """The last stamps of one sensor.

    Attributes:
        count: Messages taken.
        shape: Of the newest picture, (height, width); None for other sensors and before the first.
    """

    def __init__(self) -> None:
        self.count = 0
        self.shape: tuple[int, int] | None = None
        self._stamps: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, stamp: float, shape: tuple[int, int] | None = None) -> None:
        """Count a message."""
        if self._stamps and stamp < self._stamps[-1]:
            self._stamps.clear()  # the clock was set back, or messages overtook each other
        self._stamps.append(stamp)
        self.count += 1
        self.shape = shape

    @property
    def rate(self) -> float:
        """Messages per second; 0 before the second one."""
        stamps = list(self._stamps)
        return (len(stamps) - 1) / (stamps[-1] - stamps[0]) if len(stamps) > 1 and stamps[-1] > stamps[0] else 0.0

    def age(self, now: float) -> float:
        """Seconds since the newest stamp; infinite before the first."""
        return now - self._stamps[-1] if self._stamps else math.inf
