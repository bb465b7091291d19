"""Other `vidplan` commands as child processes: started, listened to, and always stopped again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from robot_bridge.errors import BridgeError

POLL = 0.05
GRACE = (8.0, 3.0)
"""Seconds a child gets after SIGINT, and after SIGTERM, before it is killed."""
TAIL = 15
PARENT = "VIDPLAN_PARENT"
"""Environment variable of a child: the process that started it."""


def abandoned() -> bool:
    """Whether this program was started as a `Child` whose parent has gone without ending it, and nobody minds it."""
    parent = os.environ.get(PARENT)
    return parent is not None and parent != str(os.getppid())


class ChildError(BridgeError):
    """A child process ended, or did not become ready; the message holds its last words."""


class Child:
    """One running ``vidplan`` command whose output goes to a log file.

    It runs in a session of its own, so that Ctrl-C reaches only this program, which then stops its children in order.
    The environment is handed on as it is: the child is the same interpreter, and the library path that the ROS wheels
    set for it is the right one there too.
    """

    def __init__(self, name: str, arguments: list[str], log: Path, environment: Mapping[str, str] | None = None):
        """Start it.

        Args:
            name: The subcommand, e.g. ``serve``.
            arguments: Its options.
            log: File for its output; its folder is created.
            environment: Variables set on top of this program's own.
        """
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vidplan", name, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1", PARENT: str(os.getpid()), **(environment or {})},
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def check(self) -> None:
        """Raise `ChildError` when it has ended."""
        if not self.alive:
            raise ChildError(f"'vidplan {self.name}' ended with code {self.process.returncode}.{self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, ready to be appended to a message."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL:] if self.log.exists() else []
        return "".join(f"\n    {line}" for line in [f"The last lines of {self.log}:", *(lines or ["(empty)"])])

    def wait_for(self, pattern: str, timeout: float, waiting: Callable[[], object] = lambda: None) -> re.Match[str]:
        """Wait until a line of its output matches.

        Args:
            pattern: Regular expression.
            timeout: Seconds.
            waiting: Called every now and then.

        Raises:
            ChildError: It ended, or said nothing of the kind in time.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ended = not self.alive
            if found := re.search(pattern, self.log.read_text(errors="replace"), re.MULTILINE):
                return found
            if ended:
                self.check()
            waiting()
            time.sleep(POLL)
        raise ChildError(f"'vidplan {self.name}' was not ready after {timeout:.0f} s.{self.last_words()}")

    def stop(self) -> None:
        """Ask it to end as Ctrl-C would, then harder."""
        for number, patience in zip((signal.SIGINT, signal.SIGTERM), GRACE, strict=True):
            if not self.alive:
                return
            self.process.send_signal(number)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        if self.alive:
            self.process.kill()
            self.process.wait()
