"""Things that nobody has seen in training are not rewarded: `planner_server.known`, alone and in the planner."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planner_fakes import CAMERAS, START, ToyBundle, ToyContext, ToySemantic, per_view, picture, request, toy_planner
from torch import Tensor

from models.uncertainty.familiarity import Strangeness
from planner_server.config import PlannerConfig
from planner_server.known import EVEN, believed, carried_on, known_things

CONFIG = PlannerConfig(iterations=0, progress=0.0, region=0.9)
STRANGER, OBJECT = (60, 37, 255, 0), (20, 37, 255, 0)
"""Red squares on both sides of the tool in the left view; towards +y and -y."""


class ToyFamiliarity:
    """Blue is strange."""

    def __call__(self, latents: Tensor, semantic: ToySemantic) -> Strangeness:
        blue = per_view(latents[:, None], 2)[:, 0]
        nothing = torch.zeros(len(latents))
        return Strangeness(blue, 40 * blue - 20, nothing[:, None], nothing, nothing)


def scene(*squares: tuple[int, int, int, int]) -> np.ndarray:
    """The left view with these squares, blue on the right half."""
    images = picture(0, squares)
    images[:, 0, :, 40:, 2] = 255
    return images


def chosen(images: np.ndarray, config: PlannerConfig = CONFIG) -> np.ndarray:
    """Way of the winner, metres."""
    bundle = ToyBundle(familiarity=ToyFamiliarity())
    plan = toy_planner(config, bundle).plan(request(images), ToyContext())
    return plan.poses[-1, :3] - START[:3]


def test_of_two_things_that_look_right_the_known_one_is_gone_for() -> None:
    both = scene((*STRANGER[:2], 255, 0), (*OBJECT[:2], 200, 0))
    assert chosen(both)[1] < 0
    assert chosen(both, CONFIG.without_uncertainty())[1] > 0


def test_a_stranger_alone_draws_nobody() -> None:
    assert chosen(scene(STRANGER), replace(CONFIG, strangers=0.0))[1] > 0.05
    assert abs(chosen(scene(STRANGER))[1]) < 1e-6


def test_what_the_camera_on_the_arm_sees_has_one_share_everywhere() -> None:
    now, weight = torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 2, 2)
    weight[2, 0] = torch.tensor([1.0, 3.0])
    later = carried_on(now, weight, CAMERAS)
    assert torch.equal(later[:2], now[:2])
    assert later[2].flatten().tolist() == pytest.approx([float(0.25 * now[2, 0, 0] + 0.75 * now[2, 0, 1])] * 4)
    assert (carried_on(now, 0 * weight, CAMERAS)[2] == 1).all(), "where it sees nothing, nothing is known to be strange"


def test_half_is_left_at_even_odds_and_a_share_of_it_by_configuration() -> None:
    odds = SimpleNamespace(thing=torch.full((1, 3, 2, 2), EVEN))
    bundle = ToyBundle(familiarity=lambda latents, semantic: odds)
    known = known_things(bundle, torch.zeros(1), torch.ones(3, 4, 4), 0.3)  # type: ignore[arg-type]
    assert known.now.unique().tolist() == [0.5]
    for strangers, left in ((1.0, 0.5), (0.5, 0.75), (0.0, 1.0)):
        relevance = believed(torch.ones(2, 5, 3, 4, 4), known.now, PlannerConfig(strangers=strangers))
        assert relevance.unique().tolist() == [left]


def test_a_bundle_without_familiarity_knows_everything() -> None:
    known = known_things(ToyBundle(), torch.zeros(1), torch.rand(3, 4, 4), 0.3)  # type: ignore[arg-type]
    assert (known.now == 1).all()
    assert (known.later == 1).all()
