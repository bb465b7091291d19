"""How far a stage is: a bar on a terminal, a plain line now and then in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

LINE_EVERY = 30.0
"""Seconds between lines where stderr is no terminal."""


class Progress:
    """Shows figures and time left of one stage on stderr.

    Args:
        name: Of the stage.
        done: Share of the budget that an earlier run used.
    """

    def __init__(self, name: str, done: float) -> None:
        self.name = name
        self._began, self._before = time.monotonic(), done
        self._spoke = self._began
        self._bar: tqdm | None = None
        if sys.stderr.isatty():
            layout = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}"
            self._bar = tqdm(total=100, initial=100 * done, desc=name, unit="%", bar_format=layout)

    def show(self, step: int, done: float, figures: Mapping[str, float]) -> None:
        """Tell the state after ``step`` steps, at a share ``done`` of the budget."""
        text = ", ".join([f"step {step}", *(f"{name} {value:.4f}" for name, value in figures.items())])
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(100 * min(1.0, done) - self._bar.n)
        elif time.monotonic() - self._spoke >= LINE_EVERY:
            self._spoke = time.monotonic()
            left = _clock((self._spoke - self._began) * (1 - done) / max(1e-9, done - self._before))
            print(f"{self.name}: {100 * done:.1f} %, {text}, {left} left", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
