"""From where to come: from above. A hand that goes down too early pushes away what it came for.

The paper's desired centre c is where the tool should see the object. Here it lies the further past the fingers the
further the hand is from being over the object, up to `PlannerConfig.hover`: a funnel that ends at the object. And the
place on the table, once thrown there by a view, is worth being over: what a hand hides from two cameras, or what only
one shows, the pictures alone do not centre.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from planner_server.centring import held_point
from planner_server.config import PlannerConfig
from planner_server.constants import constant
from robot_model.conventions import PINCH_OFFSET

OVER = 0.03
"""Metres beside the object within which a hand is over it."""


def beyond(aside: Tensor, at_goal: bool, config: PlannerConfig) -> Tensor:
    """Metres ``(...)`` past the pinch point that the desired centre lies; differentiable.

    Args:
        aside: ``(...)`` see `metres_aside`.
        at_goal: What is looked for is where something goes, or lies, see `phase`.
        config: Constants.
    """
    return torch.full_like(aside, config.carry_height) if at_goal else (aside - OVER).clamp(0.0, config.hover)


def metres_aside(poses: Tensor, place: np.ndarray | None) -> Tensor:
    """Metres ``(...)`` between the pinch point of poses ``(..., 7)`` and a place, seen from above; differentiable.

    Args:
        poses: Commanded flange poses.
        place: ``(2,)`` where what is looked for lies; None, and zeros, where nobody knows.
    """
    if place is None:
        return torch.zeros_like(poses[..., 0])
    tool = held_point(poses, constant(PINCH_OFFSET[:3, 3], poses))
    return torch.sqrt(((tool[..., :2] - constant(place, poses)) ** 2).sum(-1) + 1e-12)
