"""What really happened: which objects were touched, lifted, put into the bowl. For labels and evaluation only."""

from __future__ import annotations

import numpy as np

from sim_cell.cell import Cell
from sim_cell.objects import BOWL, BOWL_RIM_RADIUS, NAMES, OBJECT

LIFTED = 0.04  # metres above the table
BOWL_RADIUS = 0.065  # metres between the bowl's middle and the origin of what lies in it
BOWL_DEPTH = (0.0, 0.085)  # metres above the bowl's foot
UPRIGHT = 0.9  # cosine of the bowl's tilt


class Truth:
    """Follows one episode. Call `start` after every reset and `update` often; touches between updates are missed.

    Attributes:
        touched: Names of objects touched by the arm or gripper, first one first. The bowl counts.
        lifted: Names of objects that were above the table while in touch with the arm, first one first.
    """

    def __init__(self, cell: Cell):
        self.cell = cell
        model = cell.model
        self._robot_body = model.body_rootid == model.body("link0").id
        self._name_of_body = {model.body(name).id: name for name in (*NAMES, BOWL)}
        self.touched: list[str] = []
        self.lifted: list[str] = []

    def start(self) -> None:
        """Forget what happened before."""
        self.touched.clear()
        self.lifted.clear()

    def update(self) -> None:
        """Take note of the contacts of this moment."""
        for name in self._in_touch():
            if name not in self.touched:
                self.touched.append(name)
            raised = self.cell.position(name)[2] - (OBJECT[name].height if name != BOWL else 0.0) > LIFTED
            if raised and name not in self.lifted:
                self.lifted.append(name)

    def in_bowl(self) -> list[str]:
        """Names of the objects that lie in the upright bowl now."""
        bowl, axes = self.cell.position(BOWL), self.cell.axes(BOWL)
        if axes[2, 2] < UPRIGHT:
            return []
        inside = []
        for name in self.cell.visible:
            offset = self.cell.position(name) - bowl
            near = np.hypot(offset[0], offset[1]) < BOWL_RADIUS and BOWL_DEPTH[0] < offset[2] < BOWL_DEPTH[1]
            if near and name not in self._in_touch():
                inside.append(name)
        return inside

    def success(self) -> bool:
        """Whether the target lies in the bowl, let go."""
        return self.cell.target in self.in_bowl()

    def rests_on_bowl(self, name: str) -> bool:
        """Whether an object, let go, lies in or across the bowl: its middle above it, and no part on the table."""
        offset = self.cell.position(name) - self.cell.position(BOWL)
        over = np.hypot(offset[0], offset[1]) < BOWL_RIM_RADIUS and offset[2] > 0.0
        return bool(over and name not in self._in_touch() and not self._on_table(name))

    def _on_table(self, name: str) -> bool:
        model, data = self.cell.model, self.cell.data
        pairs = data.contact.geom[: data.ncon]
        its = model.geom_bodyid[pairs] == model.body(name).id
        table = pairs == model.geom("table").id
        return bool((its.any(1) & table.any(1)).any())

    def _in_touch(self) -> list[str]:
        model, data = self.cell.model, self.cell.data
        names = []
        for first, second in model.geom_bodyid[data.contact.geom[: data.ncon]]:
            if self._robot_body[first] == self._robot_body[second]:
                continue
            name = self._name_of_body.get(second if self._robot_body[first] else first)
            if name is not None and name not in names:
                names.append(name)
        return names
