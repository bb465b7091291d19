"""Ctrl-C and SIGTERM end a run after the step it is in, with everything saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from models.errors import TrainingError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(TrainingError):
    """A run was asked to stop, and has saved where it is.

    Attributes:
        step: Steps done.
    """

    def __init__(self, stage: str, step: int) -> None:
        super().__init__(f"{stage}: stopped after step {step}, which is saved; the same command goes on from there")
        self.step = step


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within the body, the first signal only makes the given function answer True; a second one acts as before."""
    asked: list[int] = []
    before: list[Any] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        _restore(before)

    before += _install(note)
    try:
        yield lambda: bool(asked)
    finally:
        _restore(before)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Within the body, SIGTERM raises KeyboardInterrupt as Ctrl-C does."""
    before = _install(signal.default_int_handler)
    try:
        yield
    finally:
        _restore(before)


def _install(handler: Callable[[int, FrameType | None], None]) -> list[Any]:
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        return []
    return [signal.signal(number, handler) for number in SIGNALS]


def _restore(handlers: list[Any]) -> None:
    for number, handler in zip(SIGNALS, handlers, strict=False):
        signal.signal(number, handler)
