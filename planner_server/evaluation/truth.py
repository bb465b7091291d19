"""The rewards that candidates truly earn, from what the simulator says would have happened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from models.cameras import Camera
from planner_server.config import PlannerConfig
from planner_server.evaluation.simulator import Outcomes, Situation
from planner_server.judgement import Evidence
from planner_server.strangeness import nothing_strange
from planner_server.view_geometry import NEAREST_DEPTH, desired_centres
from robot_model.conventions import pose_to_matrix

HIDDEN = 1e-3
"""Relevance given to the place where an object is that a view does not show: not seen, but known to be there."""


def true_evidence(
    judged: Evidence, situation: Situation, outcomes: Outcomes, phrase: str, cameras: Sequence[Camera], above: ArrayLike
) -> Evidence:
    """What the planner judges by, with the truth in place of imagination: true masks, no doubt, measured poses.

    Args:
        judged: What the planner judged by in this situation, for its views and the size of its regions.
        situation: Where the chunks began.
        outcomes: What happened under N chunks, watched.
        phrase: What is looked for: the target's name, or ``bowl``.
        cameras: The bundle's, in its view order.
        above: Metres past the pinch point that the desired centre lies, see `approach.beyond`; one or ``(N, H)``.
    """
    assert outcomes.classes is not None
    cells = judged.relevance.shape[-2:]
    size = situation.images.shape[2:4]
    index = situation.class_names.index(phrase)
    place = outcomes.object if phrase == situation.target else outcomes.release_point * [1, 1, 0]  # the bowl's foot
    mask = region_mask(outcomes.classes == index, cells)
    nothing, seen = torch.zeros(len(mask)), region_mask(situation.classes == index, cells)
    return Evidence(
        actions=outcomes.poses,
        relevance=with_hidden_place(mask, torch.from_numpy(image_points(cameras, size, outcomes.poses, place))),
        h=torch.zeros_like(mask),
        centres=torch.from_numpy(desired_centres(cameras, size, outcomes.poses, above)).float(),
        aside=torch.from_numpy(np.linalg.norm((outcomes.tool - place)[..., :2], axis=-1)).float(),
        seen=seen,
        strange=nothing_strange(seen),
        view_weights=judged.view_weights,
        travel=nothing,
        toggles=nothing,
        value=nothing,
    )


def true_reward(evidence: Evidence, config: PlannerConfig) -> np.ndarray:
    """``(N,)``: the planner's weighted semantic reward of what truly happened, best frame of each chunk."""
    return evidence.scores(config).reward.numpy()


def distance(kind: str, of: Situation | Outcomes) -> np.ndarray:
    """Metres to the goal, of the tool to where it can grasp, or of what is ``held`` to where it may be dropped."""
    way = of.object - of.release_point if kind == "held" else of.tool - of.grasp_point
    return np.linalg.norm(way, axis=-1)


def region_mask(mask: np.ndarray, cells: tuple[int, int] | torch.Size) -> Tensor:
    """1 where a region holds a pixel of ``(..., h, w)``: ``(..., a, b)``, as the semantic reward is trained."""
    pixels = torch.from_numpy(mask).float().flatten(0, -3)[:, None]
    return functional.adaptive_max_pool2d(pixels, tuple(cells))[:, 0].reshape(*mask.shape[:-2], *cells)


def with_hidden_place(mask: Tensor, points: Tensor) -> Tensor:
    """Masks ``(..., a, b)``; an empty one gets a faint cell where the object is: ``points`` (..., 2), image widths.

    Without it an object hidden behind the hand would seem to be in the picture's corner.
    """
    rows, columns = mask.shape[-2:]
    x = (points[..., 0] * columns).long().clamp(0, columns - 1)
    y = (points[..., 1] * columns).long().clamp(0, rows - 1)
    faint = HIDDEN * functional.one_hot(y * columns + x, rows * columns).unflatten(-1, (rows, columns))
    hidden = mask.amax((-2, -1), keepdim=True) == 0
    return torch.where(hidden, faint.to(mask), mask)


def image_points(
    cameras: Sequence[Camera], image_size: tuple[int, int], poses: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Where each view shows points of the base frame, in image widths, moved to the border when outside.

    Args:
        cameras: V of them.
        image_size: (rows, columns) of the pictures their matrices are for.
        poses: ``(..., 7)`` flange poses, for cameras that ride on the arm.
        points: ``(..., 3)`` metres.

    Returns:
        ``(..., V, 2)``.
    """
    height, width = image_size
    flange = pose_to_matrix(poses)
    position = np.concatenate([points, np.ones_like(points[..., :1])], -1)[..., None]
    seen = []
    for camera in cameras:
        mount = flange if camera.rides else np.eye(4)
        local = (np.linalg.inv(mount @ np.array(camera.transform)) @ position)[..., :3, 0]
        image = local @ np.array(camera.matrix).T
        pixel = image[..., :2] / np.maximum(local[..., 2:], NEAREST_DEPTH)
        seen.append(np.clip(pixel, 0.0, (width, height)) / width)
    return np.stack(seen, -2)
