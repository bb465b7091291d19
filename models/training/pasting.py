"""Training frames with things pasted in: strange ones, and known ones in other places.

Strange things are simple shapes in any colour, or in a known object's, and known objects in another colour. So neither
a pasted edge, nor a colour, nor a shape alone tells what is strange. The simulator's own unknown objects are rendered,
and kept for measuring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data import Dataset

MOST = 3
"""Things pasted into a view; 0 to this many."""
SIZES = (0.08, 0.6)
"""Of shapes, as shares of the picture's height."""
SHIFT = 0.1
"""Known things are moved by up to this share of the picture's size."""
TRIES = 8
"""Frames searched for a known thing."""


@dataclass(frozen=True)
class Thing:
    """Something to paste: ``(rows, columns)`` opacity, ``(rows, columns, 3)`` picture, its class."""

    opacity: np.ndarray
    picture: np.ndarray
    label: int


class Paster:
    """Pastes into the views of a labelled dataset.

    Attributes:
        unknown: The class of strange things: one more than those of the data.
    """

    def __init__(self, data: Dataset, frames: int) -> None:
        """Begin with the first ``frames`` rows of ``data``."""
        self.data, self.frames, self.unknown = data, frames, len(data.classes)
        rows, columns = data.image_size
        self._y, self._x = np.mgrid[:rows, :columns] + 0.5

    def state(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A frame with things pasted into each view: pictures ``(V, rows, columns, 3)`` uint8 and their classes."""
        row = rng.integers(self.frames)
        pictures, classes = self.data.frames[row].astype(np.float32), np.array(self.data.segmentation[row])
        for view in range(len(pictures)):
            for _ in range(rng.integers(MOST + 1)):
                thing = self._thing(view, rng)
                pictures[view] += thing.opacity[..., None] * (thing.picture - pictures[view])
                classes[view][thing.opacity > 0.5] = thing.label
        return pictures.round().astype(np.uint8), classes

    def _thing(self, view: int, rng: np.random.Generator) -> Thing:
        fate = rng.random()
        known = self._known(view, rng)
        if fate < 0.5 or known is None:
            return Thing(self._shape(rng), self._paint(known, rng), self.unknown)
        if fate < 0.8:
            return known
        if fate < 0.9:
            return Thing(known.opacity, self._paint(None, rng), self.unknown)
        brightness = known.picture.mean(axis=2, keepdims=True) / known.picture[known.opacity > 0].mean().clip(20)
        return Thing(known.opacity, np.clip(_any_colour(rng) * brightness, 0, 255), self.unknown)

    def _known(self, view: int, rng: np.random.Generator) -> Thing | None:
        """An object as another frame shows it, a little displaced; None where none was found."""
        for row in rng.integers(self.frames, size=TRIES):
            classes = self.data.segmentation[row, view]
            there = [label for label in np.unique(classes) if 0 < label < self.unknown - 1]
            if there:
                label = int(rng.choice(there))
                most = [int(SHIFT * size) for size in classes.shape]
                by = (int(rng.integers(-most[0], most[0] + 1)), int(rng.integers(-most[1], most[1] + 1)))
                mask, picture = (np.roll(a, by, (0, 1)) for a in (classes == label, self.data.frames[row, view]))
                return Thing(mask.astype(np.float32), picture.astype(np.float32), label)
        return None

    def _shape(self, rng: np.random.Generator) -> np.ndarray:
        """Opacity of an ellipse, a box or a bent bar."""
        rows, columns = self._x.shape
        size, stretch = rows * np.exp(rng.uniform(*np.log(SIZES))), rng.uniform(0.35, 1)
        angle, across, down = rng.uniform(0, 2 * np.pi), rng.uniform(0, columns), rng.uniform(0, rows)
        x = (self._x - across) * np.cos(angle) + (self._y - down) * np.sin(angle)
        y = (self._y - down) * np.cos(angle) - (self._x - across) * np.sin(angle)
        kind = rng.integers(3)
        if kind == 0:
            distance = (np.hypot(x, y / stretch) - size / 2) * stretch
        elif kind == 1:
            distance = np.maximum(abs(x) - size / 2, abs(y) - size / 2 * stretch)
        else:
            bend = rng.uniform(-0.35, 0.35) * size
            distance = np.minimum(_to_line(x, y, -size / 2, bend), _to_line(x, y, size / 2, bend)) - size * stretch / 4
        return np.clip(0.5 - distance, 0, 1).astype(np.float32)

    def _paint(self, known: Thing | None, rng: np.random.Generator) -> np.ndarray:
        """A colour, often of a known object, or two in stripes, unevenly lit."""
        angle, rows = rng.uniform(0, 2 * np.pi), len(self._x)
        along = self._x * np.cos(angle) + self._y * np.sin(angle)
        colour = np.broadcast_to(_colour(known, rng), (*along.shape, 3))
        if rng.random() < 0.35:
            phase = 2 * np.pi * along / (rows * np.exp(rng.uniform(*np.log(SIZES)))) + rng.uniform(0, 6)
            colour = np.where((np.sin(phase) > rng.uniform(-0.5, 0.5))[..., None], colour, _colour(known, rng))
        light = 1 + rng.uniform(-0.25, 0.25) * np.sin(2 * np.pi * along / (rows * rng.uniform(0.2, 1.2)))
        return np.clip(colour * light[..., None], 0, 255)


def _colour(known: Thing | None, rng: np.random.Generator) -> np.ndarray:
    return _any_colour(rng) if known is None or rng.random() < 0.5 else rng.choice(known.picture[known.opacity > 0])


def _any_colour(rng: np.random.Generator) -> np.ndarray:
    """RGB of a hue, a saturation and a brightness."""
    hue, saturation, value = rng.uniform(0, 6), rng.random(), rng.uniform(0.1, 1)
    away = (np.array([5, 3, 1]) + hue) % 6
    return 255 * value * (1 - saturation * np.clip(np.minimum(away, 4 - away), 0, 1))


def _to_line(x: np.ndarray, y: np.ndarray, end_x: float, end_y: float) -> np.ndarray:
    """Distance to the line from the origin to a point."""
    share = np.clip((x * end_x + y * end_y) / (end_x**2 + end_y**2), 0, 1)
    return np.hypot(x - share * end_x, y - share * end_y)
