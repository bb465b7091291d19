"""A RoboArena-style session with an operator: one instruction, one method or a blinded pair, labelled at once."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from robot_bridge.bags.contact_sheet import show
from robot_bridge.errors import BridgeError
from robot_bridge.trials.bench import Bench
from robot_bridge.trials.console import Console
from robot_bridge.trials.labelling import label_trial, prefer
from robot_bridge.trials.preflight import Preflight
from robot_bridge.trials.runner import TrialRunner
from robot_bridge.trials.store import TrialStore
from robot_bridge.trials.trial import SIDES, Setup, Trial

POLL = 0.1
"""Seconds between looks at the keyboard while a trial runs."""
QUIT, GO, REFERENCE = "q", "g", "r"
"""Starting takes a letter: an Enter too many must never move the arm."""


@dataclass(frozen=True)
class Task:
    """What is fixed before anything else.

    Attributes:
        suite: Name of the series.
        name: Short name of the task.
        instruction: The task in words, the same for every method.
        source: ``real`` or ``sim``.
        in_distribution: See `Setup`.
    """

    suite: str
    name: str
    instruction: str
    source: str = "real"
    in_distribution: bool | None = None


class Quit(Exception):  # noqa: N818 -- a decision, no error
    """The operator ends the session."""


class Session:
    """Walks an operator through trials of one task.

    With two methods every round is a blinded comparison: their order is drawn anew, they are called A and B, and which
    was which is told once both are labelled and compared.
    """

    def __init__(
        self,
        store: TrialStore,
        task: Task,
        runners: Mapping[str, TrialRunner],
        preflights: Sequence[Preflight],
        console: Console,
        draw: random.Random | None = None,
        bench: Bench | None = None,
        viewer: Callable[[Path], bool] = show,
    ) -> None:
        """Keep what it needs.

        Args:
            store: Where the trials go; their recordings go beside it.
            task: What is to be done.
            runners: One or two methods by name.
            preflights: Looked at before every trial.
            console: The operator.
            draw: Source of the drawn order; None: the operating system's.
            bench: One of the preflights that has pictures to show; None: none does.
            viewer: Opens a picture; says whether it could.
        """
        self._store, self._task, self._runners = store, task, dict(runners)
        self._preflights, self._console, self._draw = list(preflights), console, draw or random.SystemRandom()
        self._bench, self._viewer = bench, viewer

    def round(self) -> list[Trial]:
        """One trial, or one comparison; returns the labelled trials.

        Raises:
            Quit: The operator does not want to start (any more).
        """
        methods = list(self._runners)
        seed = self._store.next_seed(self._task.suite, self._task.name)
        self._console.say(f'\nRound {seed}: "{self._task.instruction}"')
        if len(methods) == 1:
            return [label_trial(self._store, self._console, self._run(methods[0], seed, None))]
        self._draw.shuffle(methods)
        halves = []
        for side, method in zip(SIDES, methods, strict=True):
            halves.append(label_trial(self._store, self._console, self._run(method, seed, side)))
        halves = prefer(self._store, self._console, halves)
        self._console.say("  " + ", ".join(f"{side} was {method}" for side, method in zip(SIDES, methods, strict=True)))
        return halves

    def _run(self, method: str, seed: int, side: str | None) -> Trial:
        """Run a trial until it ends other than in an error; the operator may quit between attempts."""
        while True:
            self._ready(side)
            trial = self._attempt(method, seed, side)
            self._console.say(f"  ended: {trial.outcome}, {trial.figures.plans or 0} plans")
            if trial.outcome != "error":
                return trial
            self._console.say(f"  It does not count, see {self._folder(trial.setup)}. Once mended, try again:")

    def _attempt(self, method: str, seed: int, side: str | None) -> Trial:
        setup = self._setup(method, seed, side)
        runner, trial = self._runners[method], self._store.begin(setup)
        outcome = "error"
        try:
            runner.start(setup, self._folder(setup))
            outcome = self._watch(runner)
        except (KeyboardInterrupt, EOFError):
            outcome = "aborted"
            raise
        finally:
            # Whatever happened: the arm first, then the row.
            (runner.abort if outcome in ("aborted", "error") else runner.stop)()
            trial = self._store.end(trial.id, outcome, runner.figures())
        return trial

    def _setup(self, method: str, seed: int, side: str | None) -> Setup:
        task, base = self._task, self._store.path.parent
        # The folder's name tells the side, not the method: operators see it.
        name = f"runs/{plain(task.suite)}/{plain(task.name)}-{seed:04d}{side or ''}"
        names = chain([name], (f"{name}-{again}" for again in count(2)))
        run = next(free for free in names if not (base / free).exists())
        pair = f"{task.suite}/{task.name}/{seed}" if side else None
        known = task.in_distribution
        return Setup(task.suite, task.name, task.instruction, method, seed, task.source, known, pair, side, run)

    def _folder(self, setup: Setup) -> Path:
        return self._store.path.parent / str(setup.run)

    def _ready(self, side: str | None) -> None:
        """Preflight until it passes and the operator starts."""
        name = f"trial {side}" if side else "the trial"
        while True:
            checks = [check for preflight in self._preflights for check in preflight.examine()]
            for check in checks:
                self._console.say(f"  {'ok  ' if check.passed else 'FAIL'} {check.name:<12} {check.found}")
                if not check.passed and check.advice:
                    self._console.say(f"       -> {check.advice}")
            passed = all(check.passed for check in checks)
            if self._bench and not self._confirm_cameras(self._bench):
                continue
            if passed:
                also = ", r takes the pictures as reset reference" if self._bench else ""
                prompt = f"Scene reset, user stop in your hand? g starts {name}, Enter checks again{also}, q ends:"
            else:
                prompt = "Not ready. Enter checks again, q ends:"
            answer = self._console.ask(prompt).lower()
            if answer == QUIT:
                raise Quit
            if answer == REFERENCE and self._bench:
                self._take_reference(self._bench)
            if answer == GO and passed:
                return

    def _confirm_cameras(self, bench: Bench) -> bool:
        """Show the pictures; False where the cameras were assigned anew and must be looked at again."""
        if not bench.has_pictures:
            return True
        sheet = bench.sheet()
        if bench.confirmed:
            if overlay := bench.overlay():
                self._present("reset", overlay)
            return True
        self._present("cameras", sheet)
        while answer := self._console.ask("Are they who they are said to be? Enter: yes; else e.g. 2 1 3:"):
            if answer.lower() == QUIT:
                raise Quit
            try:
                bench.assign(answer)
            except ValueError as error:
                self._console.say(f"  {error}")
                continue
            self._console.say("  " + ", ".join(f"{role}: {topic}" for role, topic in bench.cameras.items()))
            return False
        bench.confirmed = True
        return self._confirm_cameras(bench)

    def _take_reference(self, bench: Bench) -> None:
        try:
            bench.take_reference()
        except BridgeError as error:
            self._console.say(f"  {error}")

    def _present(self, name: str, picture: Path) -> None:
        self._console.say(f"  look {name:<12} {picture}" + (" (opened)" if self._viewer(picture) else ""))

    def _watch(self, runner: TrialRunner) -> str:
        self._console.say("  RUNNING. s + Enter: stop, it is over. a + Enter: abort, something is wrong.")
        keys: dict[str, str] = {"s": "finished", "a": "aborted"}
        while True:
            ended = runner.wait(POLL)
            if ended is not None:
                return ended
            line = self._console.poll()
            if line is None:
                continue
            if outcome := keys.get(line.lower()):
                return outcome
            self._console.say("  s stops, a aborts.")


def rounds(session: Session, wanted: int, after: Callable[[list[Trial]], object] = lambda trials: None) -> int:
    """Run up to ``wanted`` rounds, 0: until the operator quits; returns how many were completed.

    Args:
        session: The session.
        wanted: How many.
        after: Called with the trials of each.
    """
    done = 0
    try:
        while not wanted or done < wanted:
            after(session.round())
            done += 1
    except Quit:
        pass
    return done


def plain(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "unnamed"
