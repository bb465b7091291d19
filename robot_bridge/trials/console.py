"""The operator's terminal: plain lines in, plain lines out."""

from __future__ import annotations

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
    """Standard input and output."""

    def say(self, text: str) -> None:
        """See `Console.say`."""
        print(text, flush=True)

    def ask(self, prompt: str) -> str:
        """See `Console.ask`."""
        print(f"{prompt} ", end="", flush=True)
        return self._line()

    def poll(self) -> str | None:
        """See `Console.poll`."""
        ready, _, _ = select.select([sys.stdin], [], [], 0.0)
        return self._line() if ready else None

    def _line(self) -> str:
        line = sys.stdin.readline()  # not input(): its own buffer would hide lines from select
        if not line:
            raise EOFError("the terminal was closed")
        return line.strip()
