"""What the episodes of a recording are about: which objects, how many at once, what the arm does with them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sim_cell import behaviours
from sim_cell.cell import VISIBLE_OBJECTS
from sim_cell.errors import SimCellError
from sim_cell.objects import NAMES


@dataclass(frozen=True)
class Recipe:
    """The default is the mixture that world models are trained on.

    Attributes:
        objects: The only objects on the tables; episodes are about them in turn.
        count: Fewest and most objects on a table beside the bowl, the target included.
        behaviour: One of `behaviours.KINDS`; all of them in turn when not given.
        successes: Whether every episode has to succeed: one that fails is tried again in another scene.
    """

    objects: tuple[str, ...] = NAMES
    count: tuple[int, int] = VISIBLE_OBJECTS
    behaviour: str | None = None
    successes: bool = False

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            SimCellError: Says which one cannot be.
        """
        unknown = [name for name in self.objects if name not in NAMES]
        if unknown or not self.objects or len(set(self.objects)) < len(self.objects):
            wrong = f"no object is called {unknown[0]!r}" if unknown else "name each object once, and at least one"
            raise SimCellError(f"{wrong}; choose from: {', '.join(NAMES)}")
        if not 1 <= self.count[0] <= self.count[1] <= len(self.objects):
            fewest, most = self.count[0] - 1, self.count[1] - 1
            asked = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise SimCellError(f"{asked} objects beside the target cannot be had of {', '.join(self.objects)}")
        if self.behaviour is not None and self.behaviour not in behaviours.KINDS:
            raise SimCellError(f"no behaviour is called {self.behaviour!r}; choose from {', '.join(behaviours.KINDS)}")

    def turn(self, index: int) -> tuple[str, str]:
        """Behaviour and target of episode ``index``: round robin."""
        kinds = behaviours.KINDS if self.behaviour is None else (self.behaviour,)
        return kinds[index % len(kinds)], self.objects[index // len(kinds) % len(self.objects)]

    def describe(self) -> dict[str, Any]:
        """What an annotation says of it: nothing of the default."""
        if self == Recipe():
            return {}
        return {"recipe": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}}
