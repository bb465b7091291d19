"""Reliability diagrams: how often events happen that are given some probability, counted in ten equal bins."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.metrics import CONFIDENCE_BINS


class Reliability:
    """Counts of events by group (any shape) and confidence bin; add as many events as you like, then ask."""

    def __init__(self, *groups: int) -> None:
        """Start with nothing counted in groups of this shape."""
        self._counts, self._confidences, self._hits = (np.zeros((*groups, CONFIDENCE_BINS)) for _ in range(3))

    def add(self, confidence: np.ndarray, hit: np.ndarray, group: np.ndarray) -> None:
        """Count events.

        Args:
            confidence: Predicted probabilities in [0, 1], any shape.
            hit: Whether each happened, the same shape.
            group: Flat index of each event's group, broadcast to that shape.
        """
        bins = np.minimum((confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
        place = (bins + group * CONFIDENCE_BINS).ravel()
        size = self._counts.size
        self._counts += np.bincount(place, minlength=size).reshape(self._counts.shape)
        self._confidences += np.bincount(place, confidence.ravel(), size).reshape(self._counts.shape)
        self._hits += np.bincount(place, hit.ravel(), size).reshape(self._counts.shape)

    def pick(self, *index: Any) -> Reliability:
        """The events of some groups, summed: an index or a slice per axis of the groups."""
        some = Reliability()
        for name in ("_counts", "_confidences", "_hits"):
            picked = getattr(self, name)[index]
            setattr(some, name, picked.reshape(-1, CONFIDENCE_BINS).sum(0))
        return some

    def errors(self) -> tuple[float | None, float | None]:
        """Expected and maximum calibration error, pooled over all groups; None where nothing was counted."""
        counts, confidences, hits = (
            values.reshape(-1, CONFIDENCE_BINS).sum(0) for values in (self._counts, self._confidences, self._hits)
        )
        used = counts > 0
        if not used.any():
            return None, None
        gaps = np.abs(hits - confidences)[used]
        return round(float(gaps.sum() / counts.sum()), 4), round(float((gaps / counts[used]).max()), 4)

    @property
    def ece(self) -> float | None:
        """Expected calibration error."""
        return self.errors()[0]

    def curve(self) -> list[list[float]]:
        """Rows of mean confidence, frequency and number of events, for every bin that has any."""
        counts, confidences, hits = (
            values.reshape(-1, CONFIDENCE_BINS).sum(0) for values in (self._counts, self._confidences, self._hits)
        )
        return [
            [round(float(c / n), 4), round(float(h / n), 4), int(n)]
            for n, c, h in zip(counts, confidences, hits, strict=True)
            if n
        ]
