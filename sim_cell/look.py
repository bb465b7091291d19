"""How a cell looks: light, table, tints of the distractors, where the cameras really are, and what nobody has seen yet.

Recordings to train on vary within `varied`, so that a model does not take one lamp and one table for the world. The
other kinds leave that range on purpose: they are what a model's uncertainty is asked to notice. Calibration files never
tell: they hold the nominal cameras, as a laboratory's do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from robot_model.ros_names import CAMERAS
from sim_cell.objects import OBJECTS, STRANGERS

TEXTURES = ("plain", "planks", "weave", "patches")


@dataclass(frozen=True)
class Look:
    """The look of one scene.

    Attributes:
        light: ``(3,)`` factor on all light, RGB.
        lamp: ``(3,)`` metres that the lamp is moved by.
        table: ``(3,)`` colour added to the table's, in [0, 1].
        texture: One of `TEXTURES`, on the table.
        depth: Contrast of the texture, share of the table's brightness.
        grain: Direction [rad], period [m] and phase [rad] of the texture.
        tints: Factor ``(3,)`` on the colours of an object, by name.
        camera_shifts: By camera: ``(6,)`` metres and radians (a rotation vector), in the camera's own frame.
        strangers: Names of objects on the table that no training recording shows.
    """

    light: np.ndarray = field(default_factory=lambda: np.ones(3))
    lamp: np.ndarray = field(default_factory=lambda: np.zeros(3))
    table: np.ndarray = field(default_factory=lambda: np.zeros(3))
    texture: str = "plain"
    depth: float = 0.0
    grain: tuple[float, float, float] = (0.0, 0.1, 0.0)
    tints: Mapping[str, np.ndarray] = field(default_factory=dict)
    camera_shifts: Mapping[str, np.ndarray] = field(default_factory=lambda: {name: np.zeros(6) for name in CAMERAS})
    strangers: tuple[str, ...] = ()

    def texture_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Brightness factor of the table at positions ``x``, ``y`` in metres, any shape."""
        angle, period, phase = self.grain
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        turn = 2 * np.pi / period
        if self.texture == "planks":
            plank = np.floor(across / period + phase)
            shade = np.modf(np.abs(np.sin(plank * 12.9898 + phase) * 43758.5453))[0] * 2 - 1
            return 1 + self.depth * (0.75 * shade + 0.25 * np.sin(3 * turn * across + 2 * np.sin(0.5 * turn * along)))
        if self.texture == "weave":
            return 1 + self.depth * np.sin(turn * along + phase) * np.sin(turn * across)
        if self.texture == "patches":
            waves = np.sin(turn * along + phase) + np.sin(0.7 * turn * across) + np.sin(0.5 * turn * (x + y) - phase)
            return 1 + self.depth * waves / 2
        return np.ones_like(x)


def plain(rng: np.random.Generator) -> Look:
    """The nominal cell; draws nothing."""
    return Look()


def varied(rng: np.random.Generator) -> Look:
    """What training recordings vary: light by a tenth, table, distractors' tints, cameras by millimetres."""
    brightness, cast = rng.uniform(0.88, 1.1), rng.normal(0, 0.02, 3)
    return Look(
        light=brightness * (1 + cast),
        lamp=rng.normal(0, 1, 3) * [0.15, 0.15, 0.1],
        table=rng.uniform(-0.05, 0.05) + rng.normal(0, 0.015, 3),
        texture=str(rng.choice(TEXTURES)),
        depth=rng.uniform(0.02, 0.07),
        grain=(rng.uniform(0, np.pi), rng.uniform(0.06, 0.16), rng.uniform(0, 2 * np.pi)),
        tints={kind.name: np.clip(rng.normal(1, 0.12, 3), 0.7, 1.3) for kind in OBJECTS if kind.distractor},
        camera_shifts={name: rng.normal(0, 1, 6) * ([0.003] * 3 + [0.004] * 3) for name in CAMERAS},
    )


def light(rng: np.random.Generator) -> Look:
    """A lamp far outside the range of `varied`: much darker or brighter, with a strong cast, from elsewhere."""
    brightness = rng.uniform(0.4, 0.6) if rng.random() < 0.6 else rng.uniform(1.35, 1.6)
    cast = rng.permutation([-1.0, 0.0, 1.0]) * rng.uniform(0.12, 0.25)
    return replace(varied(rng), light=brightness * (1 + cast), lamp=rng.uniform(-0.6, 0.6, 3) * [1, 1, 0.3])


def camera(rng: np.random.Generator) -> Look:
    """Cameras that somebody bumped into: centimetres and several degrees off, each in another direction."""
    shifts = {}
    for name in CAMERAS:
        metres, radians = (0.012, 0.07) if name == "wrist" else (0.06, 0.10)
        way, axis = rng.normal(size=3), rng.normal(size=3)
        shifts[name] = np.hstack([metres * way / np.linalg.norm(way), radians * axis / np.linalg.norm(axis)])
    return replace(varied(rng), camera_shifts=shifts)


def stranger(rng: np.random.Generator) -> Look:
    """One or two objects on the table that no training recording shows."""
    names = [kind.name for kind in STRANGERS]
    return replace(varied(rng), strangers=tuple(rng.choice(names, rng.integers(1, 3), replace=False).tolist()))


LOOKS: Mapping[str, Callable[[np.random.Generator], Look]] = {
    kind.__name__: kind for kind in (plain, varied, stranger, light, camera)
}
"""Kinds of looks by name: a generator in, one look out."""
