"""The operator's terminal: plain lines in, plain lines out."""

from __future__ import annotations

import os
import select
import sys
from typing import Protocol


class Console(Protocol):
    """How a session talks to its operator."""

    def say(self, text: str) -> None:
        """Show a line."""

    def ask(self, prompt: str) -> str:
        """Ask for a line.

        Raises:
            EOFError: Nobody is there any more.
        """

    def poll(self) -> str | None:
        """A line if one has been typed, without waiting.

        Raises:
            EOFError: Nobody is there any more.
        """


class Terminal:
    """Standard input and output.

    Reads the file itself: Python's own buffer would swallow lines that `select` then never announces, the abort key
    among them.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """Listen.

        Args:
            descriptor: File to read; None: standard input.
        """
        self._input = sys.stdin.fileno() if descriptor is None else descriptor
        self._typed = b""

    def say(self, text: str) -> None:
        """See `Console.say`."""
        print(text, flush=True)

    def ask(self, prompt: str) -> str:
        """See `Console.ask`."""
        print(f"{prompt} ", end="", flush=True)
        while (line := self._line()) is None:
            self._read()
        return line

    def poll(self) -> str | None:
        """See `Console.poll`."""
        if (line := self._line()) is None and select.select([self._input], [], [], 0.0)[0]:
            self._read()
            line = self._line()
        return line

    def _read(self) -> None:
        more = os.read(self._input, 4096)
        if not more:
            raise EOFError("the terminal was closed")
        self._typed += more

    def _line(self) -> str | None:
        line, end, rest = self._typed.partition(b"\n")
        if not end:
            return None
        self._typed = rest
        return line.decode(errors="replace").strip()
