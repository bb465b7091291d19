"""What of a scene the models know: the semantic reward is believed only of things that its training showed.

The paper's w(h) asks how sure the *video* of a candidate is. A thing that nobody has seen need not make a video unsure:
it lies still, and its picture is read as something rewarded. So the observed frame's familiarity
(`models.uncertainty.familiarity`) says cell by cell whether a thing is known, and takes relevance from what is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.bundle import Bundle
from models.cameras import Camera
from planner_server.config import PlannerConfig
from planner_server.scoring import on_cells

EVEN = -1.5
"""Log-odds of showing something unknown at which half of the relevance is left (`docs/planner.md` has the figures)."""


@dataclass(frozen=True)
class Known:
    """How far a scene's things are known, 1: they are.

    Attributes:
        now: ``(V, a, b)`` cells of the newest real frame.
        later: ``(V, a, b)`` the same for imagined frames. A fixed camera's cells stay; what a camera on the arm sees
            moves through its picture, so all its cells have the mean of what is looked for now.
    """

    now: Tensor
    later: Tensor


@torch.no_grad()
def known_things(bundle: Bundle, latents: Tensor, seen: Tensor, visible: float) -> Known:
    """Judge the newest real frame.

    Args:
        bundle: One without familiarity knows everything.
        latents: ``(1, C, V*h, w)`` of the frame.
        seen: ``(V, a, b)`` relevance of what is looked for in it.
        visible: Relevance from which a cell counts as seen.
    """
    if bundle.familiarity is None:
        return Known(torch.ones_like(seen), torch.ones_like(seen))
    odds = on_cells(bundle.familiarity(latents, bundle.semantic).thing, seen.shape[-2:])[0]
    now = torch.sigmoid(EVEN - odds)
    return Known(now, carried_on(now, seen * (seen >= visible), bundle.config.cameras))


def carried_on(now: Tensor, weight: Tensor, cameras: Sequence[Camera]) -> Tensor:
    """`Known.later` from `Known.now` ``(V, a, b)``, with the weight ``(V, a, b)`` of each cell in the mean."""
    riding = torch.tensor([camera.mount != "base" for camera in cameras] or [False], device=now.device)
    mass = weight.sum((-2, -1), keepdim=True)
    mean = torch.where(mass > 0, (now * weight).sum((-2, -1), keepdim=True) / mass.clamp(min=1e-9), 1.0)
    return torch.where(riding[:, None, None], mean, now)


def believed(relevance: Tensor, known: Tensor, config: PlannerConfig) -> Tensor:
    """Relevance ``(..., V, a, b)`` less what unknown things have of it; ``known`` is ``(V, a, b)``."""
    return relevance * (1 - config.strangers * (1 - known))
