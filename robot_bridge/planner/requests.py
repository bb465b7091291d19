"""When to ask for the next chunk, and what to promise the planner about the time until it begins."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from plan_protocol.messages import PlannerSpec
from robot_bridge.guard.plan import Expected

REMEMBERED = 5
EPSILON = 1e-6


class Latency:
    """From asking to having a plan, in seconds of the robot's clock: the slowest of the last few."""

    def __init__(self, first_guess: float) -> None:
        self._recent: deque[float] = deque([first_guess], maxlen=REMEMBERED)

    def add(self, seconds: float) -> None:
        """Count one more plan."""
        self._recent.append(seconds)

    @property
    def seconds(self) -> float:
        """What to expect."""
        return max(self._recent)


@dataclass(frozen=True)
class Pending:
    """A request on its way.

    Attributes:
        request_id: The protocol's id.
        expected: What the answer must fit.
        asked: Robot time.
        asked_wall: `time.perf_counter` then.
    """

    request_id: int
    expected: Expected
    asked: float
    asked_wall: float


def committed_frames(now: float, stamp: float, path_end: float, latency: float, spec: PlannerSpec) -> int | None:
    """How many frames after the observation are promised already, or None where that is more than can be imagined.

    The next chunk takes over from the active one at the first frame by which its plan should be here; as little as
    possible is promised, because what is promised cannot react to what is seen. Where the plan cannot come before the
    active path ends, it begins at the first frame after that: the arm waits there, however long it takes. At rest
    nothing is promised.

    Args:
        now: Robot time.
        stamp: The observation's stamp.
        path_end: When the active path ends; not after ``now`` where the arm rests.
        latency: Seconds until the plan is expected.
        spec: Frame period and longest prefix.
    """
    if path_end <= now:
        return 0
    in_time = math.ceil((now + latency - stamp) / spec.frame_period - EPSILON)
    after_path = math.ceil((path_end - stamp) / spec.frame_period - EPSILON)
    frames = max(min(in_time, after_path), 0)
    return frames if frames <= spec.max_committed else None
