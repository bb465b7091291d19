"""Stage ``semantic``: dense relevance to phrases, from the simulator's segmentation as labels of real frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.semantic import SemanticHead, segmentation_loss
from models.training.latents import open_latents
from models.training.loop import Draw
from models.training.phrases import say, say_absent
from models.training.workshop import Workshop

NOISE = 0.15
"""Largest noise on latents in training: imagined latents are softer than real ones."""
ABSENT_PHRASES = 3
POOL = 2
"""Label pixels per region and axis."""


class SemanticStage:
    """Every step asks for every object, and for some things that are not there."""

    name = "semantic"

    def __init__(self, workshop: Workshop) -> None:
        self.training, self.held_out = workshop.training, workshop.held_out
        workshop.require_labels("semantic reward")
        autoencoder = workshop.autoencoder()
        self.latents = open_latents(autoencoder, self.training, workshop.latents)
        self.held_out_latents = open_latents(autoencoder, self.held_out, workshop.latents)
        torch.manual_seed(workshop.preset.loops[self.name].seed)
        self.module = SemanticHead(workshop.preset.semantic)

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        rows = draw.mine(np.sort(draw.rows.integers(len(self.latents), size=batch)))
        latents = draw.place(torch.from_numpy(self.latents[rows].astype(np.float32)))[:, None]
        strength = NOISE * draw.mine(torch.rand(batch, 1, 1, 1, 1, generator=draw.noise))
        grain = draw.mine(torch.randn(batch, *latents.shape[1:], generator=draw.noise))
        names = self.training.classes[1:]
        phrases = [say(name, draw.rows) for name in names] + [say_absent(draw.rows) for _ in range(ABSENT_PHRASES)]
        logits = self.module.logits(latents + strength * grain, phrases)[:, :, 0].float()
        classes = draw.place(torch.from_numpy(self.training.segmentation[rows]))
        target = torch.zeros_like(logits)
        target[:, : len(names)] = region_labels(classes, len(names))
        return segmentation_loss(logits, target), {}

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        return {"phrases": list(self.training.classes[1:]), "frames": len(self.latents)}

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """See `semantic_figures`, on real held-out frames."""
        rows = np.arange(0, len(self.held_out_latents), max(1, len(self.held_out_latents) // 300))
        latents = torch.from_numpy(self.held_out_latents[rows].astype(np.float32))[:, None]
        return semantic_figures(
            self.module, latents, self.held_out.segmentation[rows], self.held_out.classes, self.held_out.views
        )


def region_labels(classes: Tensor, count: int) -> Tensor:
    """1 where a region holds a label pixel of class 1..count: ``(B, V, h, w)`` to ``(B, count, V, a, b)``."""
    masks = torch.stack([classes == index + 1 for index in range(count)], dim=1).float()
    return torch.nn.functional.max_pool2d(masks.flatten(0, 2)[:, None], POOL)[:, 0].unflatten(0, masks.shape[:3])


@torch.no_grad()
def semantic_figures(
    head: SemanticHead, latents: Tensor, classes: np.ndarray, names: tuple[str, ...], views: tuple[str, ...]
) -> dict[str, Any]:
    """How well the centroid of relevance finds each object, and how often it sees one that is not there.

    Args:
        head: The semantic reward.
        latents: ``(N, 1, C, V*h, w)``.
        classes: ``(N, V, rows, columns)`` true class ids of the same frames.
        names: Class names by id.
        views: View names.

    Returns:
        Per object and view: median centroid error [pixels of the class map] where it shows at least 4 pixels, share
        of those with relevance above 0.5 somewhere (``found``), and share above 0.5 where none of it shows (``false``).
    """
    figures: dict[str, Any] = {}
    features = head.features(latents)
    rows, columns = classes.shape[-2:]
    y, x = np.mgrid[:rows, :columns] + 0.5
    for index, name in enumerate(names[1:-1], start=1):
        relevance = head.score(features, [name])[:, 0, 0].sigmoid().numpy()
        centres, peaks = centroids(relevance, (rows, columns))
        for view, view_name in enumerate(views):
            mask = classes[:, view] == index
            size = mask.sum((1, 2))
            seen, gone = size >= 4, size == 0
            entry: dict[str, Any] = {}
            if seen.any():
                truth = np.stack([(mask * axis).sum((1, 2)) for axis in (x, y)], 1)[seen] / size[seen, None]
                error = np.linalg.norm(centres[seen, view] - truth, axis=1)
                entry |= {"error": round(float(np.median(error)), 2), "p90": round(float(np.quantile(error, 0.9)), 1)}
                entry |= {"found": round(float((peaks[seen, view] > 0.5).mean()), 3), "seen": int(seen.sum())}
            if gone.any():
                entry |= {"false": round(float((peaks[gone, view] > 0.5).mean()), 3), "absent": int(gone.sum())}
            figures[f"{name}, {view_name}"] = entry
    return figures


def centroids(relevance: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Centroids ``(N, V, 2)`` (x, y in pixels of ``size``) and peaks ``(N, V)`` of relevance ``(N, V, a, b)``."""
    rows, columns = relevance.shape[-2:]
    weights = np.square(relevance) + 1e-9
    y, x = np.mgrid[:rows, :columns] + 0.5
    total = weights.sum((-2, -1))
    across = (weights * x).sum((-2, -1)) / total * size[1] / columns
    down = (weights * y).sum((-2, -1)) / total * size[0] / rows
    return np.stack([across, down], axis=-1), relevance.max((-2, -1))
