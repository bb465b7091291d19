"""Work in small steps, so that a control tick can do a little of it and still be on time.

Judging a plan takes about a hundred times as long as a command at a high rate may be late. It is a generator that
yields after every layer and every posture it has looked at; who runs it decides how much of it is done now. There is no
second thread: the interpreter runs one at a time anyway, and what is looked at cannot change in between unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TypeVar

from robot_bridge.config import BridgeConfig

LONG_TICK = 1 / 30
"""Seconds of a control period from which on a plan is judged within one tick."""

JUDGING_TIME = 0.1
"""Seconds that judging is spread over where ticks are shorter; the motion changes that much later."""

USUAL_STEPS = 80
"""Steps for a plan: the guard's layers, then the postures of the longest prefix and a chunk, twice each."""

T = TypeVar("T")
Steps = Generator[None, None, T]
"""A computation that yields between its steps and returns its result."""


def at_once(steps: Steps[T]) -> T:
    """All of it now."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def judging_time(config: BridgeConfig) -> float:
    """Seconds between a plan's arrival and the first moment from which it can be followed."""
    return 0.0 if config.dry_run or config.control_period >= LONG_TICK else JUDGING_TIME


def steps_per_tick(config: BridgeConfig) -> int | None:
    """Steps of judging that a tick does, so that the usual number is done one tick early; None: all of them."""
    if not judging_time(config):
        return None
    ticks = max(int(JUDGING_TIME / config.control_period + 1e-9) - 1, 1)
    return math.ceil(USUAL_STEPS / ticks)
