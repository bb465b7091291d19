"""Pictures and videos of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

SCALE = 2
LABEL = 64
"""Pixels at the left of a row for its name."""
GAP = 2
"""White pixels right of every view."""


@dataclass
class Media:
    """What a report shows beside its figures, by title.

    Attributes:
        pictures: ``(rows, columns, 3)`` uint8 RGB.
        videos: ``(frames, rows, columns, 3)`` uint8 RGB, frames 0.2 s apart in the world.
    """

    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    videos: dict[str, np.ndarray] = field(default_factory=dict)


def comparison(rows: dict[str, np.ndarray]) -> np.ndarray:
    """One video from several, a named row each, the views of each side by side.

    Args:
        rows: Name -> ``(frames, V, rows, columns, 3)`` uint8.

    Returns:
        ``(frames, R * rows, LABEL + V * (columns + GAP), 3)`` uint8, enlarged by `SCALE`, sizes even.
    """
    strips = [np.concatenate([_label(name, video), *_views(video)], axis=2) for name, video in rows.items()]
    return np.ascontiguousarray(np.concatenate(strips, axis=1))


def _views(video: np.ndarray) -> list[np.ndarray]:
    large = video.repeat(SCALE, axis=2).repeat(SCALE, axis=3)
    gap = np.full((*large.shape[:1], large.shape[2], GAP * SCALE, 3), 255, np.uint8)
    return [part for view in range(video.shape[1]) for part in (large[:, view], gap)]


def _label(name: str, video: np.ndarray) -> np.ndarray:
    tile = np.full((video.shape[2] * SCALE, LABEL * SCALE, 3), 255, np.uint8)
    for line, words in enumerate(name.split("\n")):
        cv2.putText(tile, words, (4, 18 + 16 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA)
    return np.broadcast_to(tile, (len(video), *tile.shape))
