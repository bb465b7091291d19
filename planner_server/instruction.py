"""From the words of a task to the phrases of the objects it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ARTICLE = r"(?:the|a|an|that|this|your|my|some)\s+"
_TAKE = r"(?:pick\s+up|pick|grasp|grab|take|lift|get|fetch|fold|unfold|touch|push|pull|open|close|reach(?:\s+for)?)"
_CARRY = r"(?:put|place|move|drop|bring|set|carry|lay|pick\s+up|pick|take|grab|throw)"
_WHERE = r"(?:into|inside|in|onto|on\s+top\s+of|on|to|next\s+to|beside|near|over|under|toward|towards|at|from|out\s+of)"
_AFTER = r"(?:\s+and\s+(?:then\s+)?(?:put|place|drop|set|move|bring)\s+(?:it|them))?"
_CARRY_FORM = re.compile(
    rf"^(?:please\s+)?{_CARRY}\s+(?P<target>.+?){_AFTER}\s+{_WHERE}\s+(?:{_ARTICLE})?(?P<goal>.+)$", re.IGNORECASE
)
_TAKE_FORM = re.compile(rf"^(?:please\s+)?{_TAKE}\s+(?P<target>.+)$", re.IGNORECASE)
_LEADING_ARTICLE = re.compile(rf"^(?:{_ARTICLE})", re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """What an instruction is about.

    Attributes:
        target: Phrase of the object to go to, e.g. ``carrot``.
        goal: Phrase of the place it should end at, e.g. ``bowl``; empty when none is named.
    """

    target: str
    goal: str = ""


def understand(instruction: str) -> Task:
    """Object phrases of an instruction.

    ``put the carrot in the bowl`` -> target ``carrot``, goal ``bowl``; ``pick up the pea`` -> target ``pea``. A form
    that is not known is not guessed at: its whole text becomes the target phrase, for the semantic reward to judge.
    """
    text = re.sub(r"\s+", " ", instruction).strip().rstrip(".!").strip()
    if match := _CARRY_FORM.match(text):
        return Task(_noun(match["target"]), _noun(match["goal"]))
    if match := _TAKE_FORM.match(text):
        return Task(_noun(re.sub(r"\s+up$", "", match["target"], flags=re.IGNORECASE)))
    return Task(text.lower())


def _noun(words: str) -> str:
    return _LEADING_ARTICLE.sub("", words.strip()).strip().lower()
