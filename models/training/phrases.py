"""What people may call the objects: synonyms and templates for the semantic reward's training.

Known names get synonyms; every name is also used as it stands. Words of things that are never there train the encoder
to answer "nowhere" instead of guessing.
"""

from __future__ import annotations

import numpy as np

SYNONYMS: dict[str, tuple[str, ...]] = {
    "measuring tape": ("tape measure", "measuring tape", "yellow tape measure", "tape", "yellow box", "yellow block"),
    "fish": ("fish", "toy fish", "blue fish", "blue toy fish"),
    "pea": ("pea", "green pea", "green ball", "small green ball", "pea ball"),
    "carrot": ("carrot", "orange carrot", "vegetable carrot", "orange vegetable"),
    "towel": ("towel", "pink towel", "folded towel", "cloth", "pink cloth", "towel cloth"),
    "red cube": ("red cube", "red block", "cube", "red box"),
    "purple cup": ("purple cup", "cup", "purple mug", "mug"),
    "bowl": ("bowl", "white bowl", "light blue bowl", "dish"),
    "robot": ("robot", "robot arm", "gripper", "robot gripper"),
}
TEMPLATES = ("{}", "{}", "{}", "the {}", "a {}", "grasp the {}", "pick up the {}")
ABSENT = (
    "banana", "apple", "bottle", "spoon", "fork", "knife", "plate", "lid", "marker", "pen", "book", "remote",
    "phone", "scissors", "stapler", "penguin", "plushy toy", "burger", "bread", "tomato", "onion", "pepper",
    "lemon", "orange fruit", "candy", "snack bag", "box of tea", "can", "jar", "kettle", "pot", "pan", "drawer",
    "door", "cabinet", "button", "switch", "cable", "keyboard", "charger", "screwdriver", "hammer", "wrench", "brush",
    "sponge", "envelope", "napkin", "shoe", "sock", "hat", "glove", "doll", "car", "dinosaur", "bear", "duck", "egg",
    "cheese", "grape", "strawberry", "green towel", "black marker", "white plate", "orange cup", "green block",
    "blue block", "brown bottle", "grey rock",
)  # fmt: skip
"""Common nouns of DROID tasks that the cell does not hold."""
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def say(name: str, rng: np.random.Generator) -> str:
    """One way to name an object."""
    words = SYNONYMS.get(name, (name,))
    phrase = name if rng.random() < 0.4 else words[rng.integers(len(words))]
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(phrase)


def say_absent(rng: np.random.Generator) -> str:
    """The name of something that is not there: a noun of the list, or letters that no one has heard."""
    if rng.random() < 0.6:
        return ABSENT[rng.integers(len(ABSENT))]
    return "".join(rng.choice(_LETTERS, size=rng.integers(3, 9)))
