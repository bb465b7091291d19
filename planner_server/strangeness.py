"""What of a scene the models know: the semantic reward is believed only of things that its training showed.

The paper's w(h) asks how sure the *video* of a candidate is. A thing that nobody has seen need not make a video unsure:
it lies still, and its picture is read as something rewarded. So the observed frame's familiarity
(`models.uncertainty.familiarity`) says of each thing whether it is known, and takes relevance from what is not; and
it says whether light and cameras are those of the training at all.

A thing is a connected patch of relevance, and is doubted as a whole: doubted cell by cell, a known one whose one side
looks odd, half hidden by the hand, would seem to lie further to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.cameras import Camera
from planner_server.config import PlannerConfig
from planner_server.constants import constant
from planner_server.scoring import on_cells

EDGE = 0.5
"""Share of the relevance at which a thing counts as seen from which cells belong to it."""


@dataclass(frozen=True)
class Strange:
    """What of a scene the models do not know.

    Attributes:
        now: ``(V, a, b)`` log-odds that what is seen in the newest real frame is unknown, the same for a thing's cells
            and all that are nearest to it.
        later: ``(V, a, b)`` the same for imagined frames. A fixed camera's cells stay; what a camera on the arm sees
            moves through its picture, so all its cells have the mean over what is looked for now.
        scenery: ``()`` how strange light and cameras are, see `models.uncertainty.familiarity.Strangeness`.
    """

    now: Tensor
    later: Tensor
    scenery: Tensor


@torch.no_grad()
def strange_things(bundle: Bundle, latents: Tensor, seen: Tensor, visible: float) -> Strange:
    """Judge the newest real frame.

    Args:
        bundle: To one without familiarity nothing is strange.
        latents: ``(1, C, V*h, w)`` of the frame.
        seen: ``(V, a, b)`` relevance of what is looked for in it.
        visible: Relevance from which a cell counts as seen.
    """
    if bundle.familiarity is None:
        return nothing_strange(seen)
    strangeness = bundle.familiarity(latents, bundle.semantic)
    cells = on_cells(strangeness.thing, seen.shape[-2:])[0]
    now = torch.stack([of_things(*view, EDGE * visible) for view in zip(cells, seen, strict=True)])
    return Strange(now, carried_on(now, seen * (seen >= visible), bundle.config.cameras), strangeness.scenery[0])


def of_things(odds: Tensor, relevance: Tensor, edge: float) -> Tensor:
    """Log-odds ``(a, b)`` of cells as the mean over the nearest thing, weighted by its relevance ``(a, b)``.

    Args:
        odds: ``(a, b)`` cell by cell.
        relevance: Of what is looked for; without a thing in it the odds stay.
        edge: Relevance from which a cell belongs to a thing.
    """
    thing = relevance >= edge
    if not thing.any():
        return odds
    elsewhere = np.where(thing.cpu().numpy(), 0, 255).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(elsewhere, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    label, weight = torch.from_numpy(nearest).long().to(odds.device), relevance * thing
    mass, total = (torch.bincount(label.flatten(), w.flatten()) for w in (weight, weight * odds))
    return (total / mass.clamp(min=1e-9))[label]


def nothing_strange(like: Tensor) -> Strange:
    """Everything is known, in maps like ``(V, a, b)``."""
    known = torch.full_like(like, -torch.inf)
    return Strange(known, known, like.new_zeros(()))


def carried_on(now: Tensor, weight: Tensor, cameras: Sequence[Camera]) -> Tensor:
    """`Strange.later` from `Strange.now` ``(V, a, b)``, with the weight ``(V, a, b)`` of each cell in the mean."""
    riding = constant(np.array([camera.rides for camera in cameras] or [False], float), now) > 0
    mass = weight.sum((-2, -1), keepdim=True)
    mean = torch.where(mass > 0, (now * weight).sum((-2, -1), keepdim=True) / mass.clamp(min=1e-9), -torch.inf)
    return torch.where(riding[:, None, None], mean, now)


def believed(relevance: Tensor, odds: Tensor, config: PlannerConfig) -> Tensor:
    """Relevance ``(..., V, a, b)`` less what unknown things have of it, by the log-odds ``(V, a, b)`` that they are."""
    return relevance * torch.sigmoid(config.strange - odds)
