"""Pairs of simulated scenes that differ in one object: a familiar one, or one that no training recording shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import mujoco
import numpy as np

from models.bundle import BundleConfig
from robot_model.ros_names import CAMERAS
from sim_cell import behaviours
from sim_cell.look import varied
from sim_cell.objects import OBJECT
from sim_cell.scene import PHYSICS_RATE
from sim_cell.what_if import Follower, WhatIf

OVERSAMPLING = 2
RELATIVES = {"banana": "carrot", "pumpkin": "pea", "striped box": "measuring tape", "teal can": "purple cup"}
"""Every stranger, and the familiar object that is most like it in shape and size."""


@dataclass(frozen=True)
class Seen:
    """What a robot saw before it was asked, and what only the simulator knows.

    Attributes:
        images: ``(T, V, h, w, 3)`` uint8 RGB at the history frames.
        poses: ``(T, 7)`` measured there.
        target: The object that is meant.
        objects: Names of everything on the table but the bowl.
        place: ``(3,)`` metres, where the target is.
    """

    images: np.ndarray
    poses: np.ndarray
    target: str
    objects: tuple[str, ...]
    place: np.ndarray


class SwapCell(WhatIf):
    """A simulated cell in which one object can take another's place."""

    def __init__(self, spec: BundleConfig) -> None:
        """A cell for a bundle's pictures."""
        self._size, self._offsets = spec.image_size, spec.history_offsets
        self._views = [CAMERAS.index(view) for view in spec.views]
        super().__init__(OVERSAMPLING * self._size[1], OVERSAMPLING * self._size[0])

    def lay(self, seed: int, stranger: str, unseen: bool) -> Seen:
        """The scene of a seed with a stranger's relative, or with the stranger where that would lie.

        Objects beside it, look, and the arm's way are the same: near the object in half of the scenes, anywhere in the
        others.
        """
        rng, familiar = np.random.default_rng(seed), RELATIVES[stranger]
        cell, look = self._cell, varied(rng)
        cell.reset(rng, familiar, look=look)
        beside = cell.position(familiar) * [1, 1, 0] + [*rng.uniform(-0.09, 0.09, 2), rng.uniform(0.12, 0.2)]
        anywhere = rng.uniform([0.34, -0.26, 0.12], [0.62, 0.26, 0.33])
        if unseen:
            self._swap(familiar, stranger)
        self._hand = Follower(cell)
        self._hand.start_at(beside if rng.random() < 0.5 else anywhere, rng.uniform(-0.7, 0.7), 0.0)
        past = [self._hand.now()]
        for move in islice(behaviours.chunk(self._hand, rng), int(rng.integers(1, 4))):
            self._hand.move(*move)
            past.append(self._hand.now())
        images, poses = [], []
        for offset in self._offsets:
            self._hand.go_back(past[offset - 1])
            images.append(self._look()["images"])
            poses.append(self._hand.measured())
        self._moment = past[-1]
        self._hand.go_back(self._moment)
        present = (*cell.visible, *cell.strangers)
        return Seen(np.stack(images), np.stack(poses), cell.target, present, cell.position(cell.target))

    def film(self, chunks: np.ndarray) -> np.ndarray:
        """What truly happens, ``(K, H, V, h, w, 3)`` uint8 RGB, under chunks ``(K, H, 7)`` in the scene laid last."""
        return self.rollouts(chunks, watch=True)["images"]

    def _swap(self, old: str, new: str) -> None:
        cell = self._cell
        model, data = cell.model, cell.data
        there, parked = (model.joint(name).qposadr[0] + np.arange(7) for name in (old, new))
        data.qpos[there], data.qpos[parked] = data.qpos[parked], data.qpos[there]
        data.qpos[parked[2]] = OBJECT[new].height + 0.001
        yaw = np.arctan2(cell.axes(old)[1, 0], cell.axes(old)[0, 0])  # upright, whichever way the old one had rolled
        data.qpos[parked[3:]] = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        data.qvel[:] = 0.0
        model.body_gravcomp[model.body(old).id], model.body_gravcomp[model.body(new).id] = 1.0, 0.0
        mujoco.mj_forward(model, data)
        cell.step(PHYSICS_RATE // 2)
        cell.visible = tuple(name for name in cell.visible if name != old)
        cell.strangers, cell.target = (new,), new

    def _look(self) -> dict[str, np.ndarray]:
        views = self._cell.render()
        return {"images": self._reduced([views[CAMERAS[index]].image for index in self._views])}

    def _reduced(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([cv2.resize(image, self._size[::-1], interpolation=cv2.INTER_AREA) for image in images])
