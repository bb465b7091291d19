"""What to do with plans that say of themselves that they are uncertain: explore slowly, then hold and ask a person.

```
            uncertain plan                 too many in a row, or for too long
CONFIDENT ─────────────────► EXPLORING ─────────────────────────────────────► ASKING
    ▲                            │                                               │
    └────────────────────────────┴────────────── any confident plan ◄────────────┘
```

While exploring, the planner's exploratory chunk is followed along the same path at a part of its speed. While asking,
no uncertain plan is followed; the planner is still asked, so that whatever a person changes in the scene is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from plan_protocol.messages import Plan
from robot_model.conventions import interpolate_pose


class Stance(str, Enum):
    """How far the planner is trusted now."""

    CONFIDENT = "confident"
    EXPLORING = "exploring"
    ASKING = "asking"


@dataclass(frozen=True)
class Weighed:
    """What is to be done with one plan.

    Attributes:
        speed: Share of its speed at which it may be followed; 0 where the arm has to hold instead.
        detail: Why it is slowed down or may not be followed, for people; empty for a confident plan.
    """

    speed: float
    detail: str = ""


class Doubt:
    """Weighs plans by their ``status``, one task at a time.

    Attributes:
        stance: After the newest plan.
    """

    def __init__(self, speed: float, plans: float, seconds: float) -> None:
        """Create it, trusting.

        Args:
            speed: Share of its speed at which an uncertain plan is followed, in (0, 1].
            plans: Uncertain plans in a row that are followed.
            seconds: Robot time after the first of them until which they are followed.
        """
        self.stance = Stance.CONFIDENT
        self._speed, self._plans, self._seconds = speed, plans, seconds
        self._uncertain = 0
        self._since = 0.0

    def forget(self) -> None:
        """Another task begins, or a person says: go on."""
        self.stance, self._uncertain = Stance.CONFIDENT, 0

    def weigh(self, now: float, plan: Plan) -> Weighed:
        """Follow it, follow it slowly, or hold and ask.

        Args:
            now: Robot time.
            plan: As it came.
        """
        if plan.status != "uncertain":
            self.forget()
            return Weighed(1.0)
        if self._uncertain == 0 or now < self._since:  # the first, or the clock was set back
            self._since = now
        self._uncertain += 1
        waited = now - self._since
        if self._uncertain > self._plans or waited > self._seconds:
            self.stance = Stance.ASKING
            return Weighed(
                0.0,
                f"the planner trusts none of its futures, {self._uncertain} plans in {waited:.1f} s: {plan.doubt}. "
                "Look at the cell, then change it or give another instruction",
            )
        self.stance = Stance.EXPLORING
        return Weighed(
            self._speed,
            f"{plan.doubt}: explores at {100 * self._speed:.0f} % of its speed "
            f"({self._uncertain} of at most {self._plans:.0f} plans)",
        )


def slowed(poses: np.ndarray, start: np.ndarray, speed: float) -> np.ndarray:
    """As much of a path as a part of its speed reaches in the same time, the fingers as commanded on the way.

    Args:
        poses: ``(H, 7)``, one per frame.
        start: ``(7,)`` pose one frame before the first.
        speed: In (0, 1].

    Returns:
        ``(H, 7)``.
    """
    path = np.vstack([start, poses])
    along = speed * np.arange(1, len(path))
    before = np.minimum(along.astype(int), len(path) - 2)
    return interpolate_pose(path[before], path[before + 1], along - before)
