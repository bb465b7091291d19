"""What a long measurement is doing: one line that renews itself on a terminal, few plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TextIO

PLAIN_EVERY = 15.0
"""Seconds between two lines about the same work where there is no terminal."""


class Progress:
    """Callable ``(what, fraction)``; work that goes on for a while gets an estimate of the time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._terminal = stream, stream.isatty()
        self._what, self._begun, self._said, self._first = "", 0.0, 0.0, 0.0

    def __call__(self, what: str, fraction: float) -> None:
        """Say that ``fraction`` (0 .. 1) of ``what`` is done."""
        now = time.monotonic()
        fresh = what != self._what
        if fresh:
            self._what, self._begun, self._first = what, now, fraction
            if self._terminal and self._said:
                print(file=self._stream)
        if not fresh and not self._terminal and now - self._said < PLAIN_EVERY and fraction < 1:
            return
        self._said = now
        line = f"{what}  {100 * fraction:.0f} %"
        if self._first < fraction < 1:
            line += f", {(now - self._begun) * (1 - fraction) / (fraction - self._first):.0f} s left"
        print(
            f"\r{line:<78}" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=self._stream,
            flush=True,
        )
