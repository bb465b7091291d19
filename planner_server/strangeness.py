"""What of a scene the models know: the semantic reward is believed only of things that its training showed.

The paper's w(h) asks how sure the *video* of a candidate is. A thing that nobody has seen need not make a video unsure:
it lies still, and its picture is read as something rewarded. So the observed frame's familiarity
(`models.uncertainty.familiarity`) says of each thing whether it is known, and takes relevance from what is not; and
it says whether light and cameras are those of the training at all.

A thing is a connected patch of relevance, and is doubted as a whole, by all views that show one in its place: cell by
cell, a known one whose one side looks odd, half hidden by the hand, would seem to lie further to the other; view by
view, it would be lost where it is seen from too near.
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
from planner_server.ground import on_table
from planner_server.scoring import on_cells

EDGE = 0.5
"""Share of the relevance at which a thing counts as seen from which cells belong to it."""
SAME_PLACE = 0.08
"""Metres on the table between what two views show, within which it is the same thing."""


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


@dataclass(frozen=True)
class Thing:
    """A connected patch of relevance in one view.

    Attributes:
        view: Which.
        nearest: ``(a, b)`` True for its cells and those nearest to it.
        odds: Log-odds that it is unknown, as this view has it.
        place: ``(2,)`` where it lies on the table, metres; None where nobody knows.
    """

    view: int
    nearest: np.ndarray
    odds: float
    place: np.ndarray | None


@torch.no_grad()
def strange_things(bundle: Bundle, latents: Tensor, seen: Tensor, pose: np.ndarray, config: PlannerConfig) -> Strange:
    """Judge the newest real frame.

    Args:
        bundle: To one without familiarity nothing is strange.
        latents: ``(1, C, V*h, w)`` of the frame.
        seen: ``(V, a, b)`` relevance of what is looked for in it.
        pose: ``(7,)`` flange pose at the frame.
        config: Constants.
    """
    if bundle.familiarity is None:
        return nothing_strange(seen)
    strangeness, spec = bundle.familiarity(latents, bundle.semantic), bundle.config
    odds = on_cells(strangeness.thing, seen.shape[-2:])[0]
    maps = odds.cpu().numpy(), seen.cpu().numpy()
    things = things_in(*maps, spec.cameras, spec.image_size, pose, config)
    now = maps[0].copy()
    for thing in things:
        now[thing.view][thing.nearest] = np.mean([one.odds for one in same_as(thing, things)])
    now = torch.from_numpy(now).to(odds)
    seen = seen * (seen >= config.visible)
    return Strange(now, carried_on(now, seen, spec.cameras), strangeness.scenery[0])


def things_in(
    odds: np.ndarray,
    seen: np.ndarray,
    cameras: Sequence[Camera],
    image_size: tuple[int, int],
    pose: np.ndarray,
    config: PlannerConfig,
) -> list[Thing]:
    """All things in all views, from cell by cell the log-odds ``(V, a, b)`` and the relevance ``(V, a, b)``.

    Args:
        odds: That the cell shows something unknown.
        seen: Of what is looked for.
        cameras: V, or none where they are not calibrated.
        image_size: (rows, columns) of the pictures that the cameras' matrices are for.
        pose: ``(7,)`` flange pose.
        config: Constants.
    """
    things = []
    for view, relevance in enumerate(seen):
        patch = relevance >= EDGE * config.visible
        elsewhere = np.where(patch, 0, 255).astype(np.uint8)
        _, nearest = cv2.distanceTransformWithLabels(elsewhere, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
        for label in np.unique(nearest[patch]):
            weight = relevance * (patch & (nearest == label))
            thrown = on_table(weight, cameras[view], image_size, pose, config.region) if cameras else None
            place = (thrown[1][..., None] * thrown[0]).sum((0, 1)) if thrown else None
            things.append(Thing(view, nearest == label, float(np.average(odds[view], weights=weight)), place))
    return things


def same_as(thing: Thing, things: Sequence[Thing]) -> list[Thing]:
    """The thing, and in each other view the one nearest to its place, if that is near enough to be the same."""
    found = [thing]
    for view in {other.view for other in things} - {thing.view}:
        apart = {
            float(np.linalg.norm(other.place - thing.place)): other
            for other in things
            if other.view == view and other.place is not None and thing.place is not None
        }
        if apart and min(apart) < SAME_PLACE:
            found.append(apart[min(apart)])
    return found


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
