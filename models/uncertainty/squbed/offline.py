"""Refiner and text embedder that need no download and no network."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from models.training.phrases import SYNONYMS
from models.uncertainty.squbed.interfaces import Task

OPEN_WORDS = ("object", "thing", "something", "anything", "item", "it", "stuff", "one", "toy")
"""Words that leave open what is meant."""
NEVER_MEANT = ("bowl", "robot")
"""Known names that no one means by them: where things go, and what moves them."""
MANNERS = (
    "slowly", "carefully", "gently", "with one smooth motion", "from above", "from the side", "along the shortest way",
    "while keeping the gripper level", "without touching anything else", "with a firm grasp",
)  # fmt: skip
_WIDTH = 512
_COMMON = frozenset(("the", "a", "an", "of", "to", "in", "into", "on", "and", "with", "please"))
_CONCEPTS = {other: name for name, others in SYNONYMS.items() for other in (*others, name)}
_OBJECTS = re.compile(rf"\b({'|'.join(sorted(_CONCEPTS, key=len, reverse=True))})\b")


class TemplateRefiner:
    """Says more: a name for every word that leaves something open, another name for known objects, and a manner.

    "Put the object in the bowl" becomes "put the carrot in the bowl slowly", "put the pea in the bowl from above", ...;
    "put the carrot in the bowl" only varies in what the carrot is called and in the manner.
    """

    def __init__(self, objects: Sequence[str] = ()) -> None:
        """Know what may be meant by an open word, unless the task says what is there."""
        self._objects = tuple(objects) or tuple(name for name in SYNONYMS if name not in NEVER_MEANT)
        self.name = f"template {zlib.crc32(' '.join(self._objects).encode()):08x}"

    def refine(self, task: Task, count: int, seed: int) -> list[str]:
        """See `PromptRefiner`; what may be meant is gone through in turn, in random order."""
        rng = np.random.default_rng([seed, zlib.crc32(task.prompt.encode())])
        objects = [name for name in task.objects or self._objects if name not in task.prompt.lower()]
        order = rng.permutation(len(objects))
        return [self._once(task.prompt, objects[order[k % len(order)]] if objects else "", rng) for k in range(count)]

    def _once(self, prompt: str, meant: str, rng: np.random.Generator) -> str:
        text = prompt.strip().rstrip(".!")
        if meant:
            text = re.sub(rf"\b({'|'.join(OPEN_WORDS)})\b", meant, text, flags=re.I)
        for name, others in SYNONYMS.items():
            if re.search(rf"\b{name}\b", text, flags=re.I):
                text = re.sub(rf"\b{name}\b", others[rng.integers(len(others))], text, count=1, flags=re.I)
                break
        return f"{text} {MANNERS[rng.integers(len(MANNERS))]}"


class HashedTexts:
    """Hashed words, synonyms of a known object as one: a tiny language that knows the cell's objects.

    Objects count most, other words less, articles and the like little: what a prompt leaves open in the cell is mostly
    which object is meant. Words that nobody knows are words like any other.
    """

    name = f"hashed {_WIDTH}, objects as concepts"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See `TextEmbedder`."""
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> np.ndarray:
        vector = np.zeros(_WIDTH)
        vector[0] = 1e-3  # a text without words has a direction too
        objects: list[str] = []

        def note(match: re.Match[str]) -> str:
            objects.append(_CONCEPTS[match[0]])
            return " "

        rest = _OBJECTS.sub(note, text.lower())
        for token, weight in [(name, 1.0) for name in objects] + [
            (word, 0.05 if word in _COMMON else 0.25) for word in re.findall(r"\w+", rest)
        ]:
            code = zlib.crc32(token.encode())
            vector[1 + code % (_WIDTH - 1)] += weight if code & 1 << 20 else -weight
        return vector
