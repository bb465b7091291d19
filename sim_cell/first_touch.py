"""Which object the robot went for: the first one it grasped or pushed, from MuJoCo's contacts. For evaluation only."""

from __future__ import annotations

import numpy as np

from sim_cell.cell import Cell

PUSHED = 0.01
"""Metres that an object has moved since the robot first met it: less is brushing past."""
PADS = {"left_pad1": 0, "left_pad2": 0, "right_pad1": 1, "right_pad2": 1}
OPPOSED = -0.5
"""Cosine between the directions in which the two fingers press: closed fingers that shove press alike."""


class FirstTouch:
    """Follows one episode. Call `start` after every reset and `update` often; the bowl does not count.

    Attributes:
        name: The first object touched; None so far.
        how: ``grasp``: the finger pads pressed on it from two sides; ``push``: it moved by `PUSHED` since the robot met
            it.
    """

    def __init__(self, cell: Cell):
        self._cell = cell
        model = cell.model
        self._robot = (model.body_rootid == model.body("link0").id)[model.geom_bodyid]
        self._finger_of_geom = {model.geom(name).id: finger for name, finger in PADS.items()}
        self.start()

    def start(self) -> None:
        """Forget what happened before; the objects on the table may be others."""
        model = self._cell.model
        on_table = (*self._cell.visible, *self._cell.strangers)
        self._name_of_body = {model.body(name).id: name for name in on_table}
        self._met: dict[str, np.ndarray] = {}
        self.name: str | None = None
        self.how: str | None = None

    def update(self) -> None:
        """Take note of the contacts of this moment."""
        if self.name is not None:
            return
        pressed = self._pressed()
        for name in pressed:
            self._met.setdefault(name, self._cell.position(name))
        for name, met in self._met.items():
            if name in pressed and _from_two_sides(pressed[name]):
                self.name, self.how = name, "grasp"
            elif np.linalg.norm(self._cell.position(name) - met) > PUSHED:
                self.name, self.how = name, "push"

    def _pressed(self) -> dict[str, np.ndarray]:
        """Objects in touch with the robot: sum ``(2, 3)`` of the directions in which each finger's pads press on it."""
        data, bodies = self._cell.data, self._cell.model.geom_bodyid
        found: dict[str, np.ndarray] = {}
        for pair, frame in zip(data.contact.geom[: data.ncon], data.contact.frame[: data.ncon], strict=True):
            robot = self._robot[pair]
            if robot[0] == robot[1]:
                continue
            ours, other, normal = (*pair, frame[:3]) if robot[0] else (*pair[::-1], -frame[:3])
            if name := self._name_of_body.get(bodies[other]):
                fingers = found.setdefault(name, np.zeros((2, 3)))
                if (finger := self._finger_of_geom.get(ours)) is not None:
                    fingers[finger] += normal
        return found


def _from_two_sides(fingers: np.ndarray) -> bool:
    lengths = np.linalg.norm(fingers, axis=1)
    return bool(lengths.min() > 0 and fingers[0] @ fingers[1] < OPPOSED * lengths.prod())
