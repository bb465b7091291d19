"""The questions after a trial; every answer is written at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from robot_bridge.trials.console import Console
from robot_bridge.trials.store import TrialStore
from robot_bridge.trials.trial import PREFERENCES, Trial

_YES_NO = {"y": True, "yes": True, "n": False, "no": False}


def label_trial(store: TrialStore, console: Console, trial: Trial) -> Trial:
    """Ask how a trial went."""
    questions: list[tuple[str, str, Callable[[str], Any]]] = [
        ("success", "Task done? [y/n]", yes_or_no),
        (
            "instruction_followed",
            "Went for the right thing first? [y/n, Enter: cannot say]",
            yes_no_or_nothing,
        ),
        ("first_object", "Touched first [name, Enter: nothing]:", lambda text: text or None),
        ("partial_credit", "Partial credit [0-100]:", percent),
        ("note", "Note:", str),
    ]
    for name, prompt, read in questions:
        answer = ask_until(console, prompt, read)
        trial = store.label(trial.id, replace(trial.labels, **{name: answer}))
    return trial


def prefer(store: TrialStore, console: Console, halves: list[Trial]) -> list[Trial]:
    """Ask which of two trials was better, and write the answer into both."""
    preference = ask_until(console, "Which was better? [A/B/tie]", preferred)
    return [store.label(half.id, replace(half.labels, preference=preference)) for half in halves]


def ask_until(console: Console, prompt: str, read: Callable[[str], Any]) -> Any:
    """Ask until the answer can be read; ``read`` raises ValueError with what is wrong with it."""
    while True:
        try:
            return read(console.ask(prompt).strip())
        except ValueError as error:
            console.say(f"  {error}")


def yes_or_no(text: str) -> bool:
    """Read y or n."""
    if text.lower() not in _YES_NO:
        raise ValueError("please answer y or n")
    return _YES_NO[text.lower()]


def yes_no_or_nothing(text: str) -> bool | None:
    """Read y, n or an empty line."""
    return yes_or_no(text) if text else None


def percent(text: str) -> int:
    """Read 0 to 100."""
    if not (text.isascii() and text.isdigit() and int(text) <= 100):
        raise ValueError("please answer with a whole number from 0 to 100")
    return int(text)


def preferred(text: str) -> str:
    """Read A, B or tie."""
    for name in PREFERENCES:
        if text.lower() == name.lower():
            return name
    raise ValueError("please answer A, B or tie")
