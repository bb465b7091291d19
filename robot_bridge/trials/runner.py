"""What runs one trial: a small protocol, and the bridge as a child process."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from robot_bridge.children import Child
from robot_bridge.trials.figures import figures_of
from robot_bridge.trials.trial import Figures, Setup


class TrialRunner(Protocol):
    """Runs one trial at a time."""

    def start(self, setup: Setup, folder: Path) -> None:
        """Let the method begin; the recording goes into ``folder``."""

    def wait(self, seconds: float) -> str | None:
        """Wait that long for it to end by itself: the outcome (``timeout``, ``error``), or None while it runs."""

    def stop(self) -> None:
        """End it in order: the arm comes to rest. Without effect on one that has ended."""

    def abort(self) -> None:
        """End it because something is wrong."""

    def figures(self) -> Figures:
        """What was measured, once it has ended."""


class BridgeRunner:
    """`vidplan bridge` as a child process that records the run.

    A bridge that ends by itself without an error has come to the end of its time (``--duration``).
    """

    def __init__(
        self,
        options: Sequence[str],
        environment: Mapping[str, str] | None = None,
        late: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Keep the options.

        Args:
            options: Of `vidplan bridge`, without instruction and recording.
            environment: Variables set on top of this program's own.
            late: Further options, asked for at every start; they win.
        """
        self._options, self._environment, self._late = list(options), environment, late
        self._child: Child | None = None
        self._folder, self._named = Path(), ""

    def start(self, setup: Setup, folder: Path) -> None:
        """Start the bridge; its output goes to ``bridge.log``."""
        self._folder, self._named = folder, setup.run or str(folder)
        arguments = ["--instruction", setup.instruction, "--record", str(folder), *self._options, *self._late()]
        self._child = Child("bridge", arguments, folder / "bridge.log", self._environment)

    def wait(self, seconds: float) -> str | None:
        """See `TrialRunner.wait`."""
        if self._child is None:
            return "error"
        try:
            code = self._child.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return "timeout" if code == 0 else "error"

    def stop(self) -> None:
        """Stop the bridge as Ctrl-C would: it slows the arm down within its limits, holds, and ends."""
        if self._child is not None:
            self._child.stop()

    def abort(self) -> None:
        """The same: nothing a program can do stops the arm sooner in a way that spares it. See the user stop."""
        self.stop()

    def figures(self) -> Figures:
        """What the bridge recorded."""
        return figures_of(self._folder, self._named)

    def last_words(self) -> str:
        """The end of the bridge's output, for a message on why it ended."""
        return "" if self._child is None else self._child.last_words()
