"""What a person sees while an experiment runs: a line per trial, and how long it will take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from robot_bridge.trials.trial import Trial


class Progress:
    """Counts trials; may be told of them from several threads."""

    def __init__(
        self,
        total: int,
        done: int,
        say: Callable[[str], None] = lambda line: print(line, flush=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count.

        Args:
            total: Trials of the experiment.
            done: Those that an earlier call has done.
            say: Shows a line.
            clock: The wall clock, seconds.
        """
        self._total, self._before, self._done = total, done, done
        self._say, self._clock, self._began = say, clock, clock()
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        """Show a line that is not about a trial."""
        with self._lock:
            self._say(f"  {line}")

    def trial(self, trial: Trial) -> None:
        """A trial has ended."""
        with self._lock:
            self._done += 1
            self._say(f"[{self._done:{len(str(self._total))}d}/{self._total}] {_in_words(trial)}{self._left()}")

    def _left(self) -> str:
        left = self._total - self._done
        if not left:
            return ""
        return f"   about {duration((self._clock() - self._began) / (self._done - self._before) * left)} left"


def duration(seconds: float) -> str:
    """A time as people say it."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _in_words(trial: Trial) -> str:
    setup, figures, labels = trial.setup, trial.figures, trial.labels
    name = f"{setup.task:<7} {setup.method:<19} seed {setup.seed:<4}"
    if not trial.judged:
        return f"{name} {trial.outcome}"
    went = f"{'DONE' if labels.success else 'not done'}, touched {labels.first_object or 'nothing'}"
    facts = [f"{figures.seconds:.0f} s"] if figures.seconds is not None else []
    facts += [f"{figures.plans} plans"] if figures.plans is not None else []
    facts += [f"longest stall {figures.longest_stall_s:.1f} s"] if figures.longest_stall_s else []
    return f"{name} {went:<34} {', '.join(facts)}"
