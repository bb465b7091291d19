"""What of a scene the models know: the semantic reward is believed only of things that its training showed.

The paper's w(h) asks how sure the *video* of a candidate is. A thing that nobody has seen need not make a video unsure:
it lies still, and its picture is read as something rewarded. So the observed frame's familiarity
(`models.uncertainty.familiarity`) says cell by cell whether a thing is known, and takes relevance from what is not; and
it says whether light and cameras are those of the training at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.cameras import Camera
from planner_server.config import PlannerConfig
from planner_server.constants import constant
from planner_server.scoring import on_cells


@dataclass(frozen=True)
class Strange:
    """What of a scene the models do not know.

    Attributes:
        now: ``(V, a, b)`` log-odds that a cell of the newest real frame shows something unknown.
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
    now = on_cells(strangeness.thing, seen.shape[-2:])[0]
    return Strange(now, carried_on(now, seen * (seen >= visible), bundle.config.cameras), strangeness.scenery[0])


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
