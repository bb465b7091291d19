"""Things that nobody has seen in training are not rewarded: `planner_server.strangeness`, alone and in the planner."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planner_fakes import (
    CAMERAS,
    START,
    VIEWS,
    ToyBundle,
    ToyContext,
    ToySemantic,
    per_view,
    picture,
    request,
    toy_planner,
)
from torch import Tensor

from models.uncertainty.familiarity import Strangeness
from planner_server.config import PlannerConfig
from planner_server.strangeness import believed, carried_on, strange_things

CONFIG = PlannerConfig(iterations=0, progress=0.0, region=0.9)
STRANGER, OBJECT = (60, 37, 255, 0), (20, 37, 255, 0)
"""Red squares on both sides of the tool in the left view; towards +y and -y."""


class ToyFamiliarity:
    """Blue is strange."""

    def __init__(self, scenery: float = 0.0) -> None:
        self.scenery = torch.tensor([scenery])

    def __call__(self, latents: Tensor, semantic: ToySemantic) -> Strangeness:
        blue = per_view(latents[:, None], 2)[:, 0]
        views = torch.zeros(len(latents), len(VIEWS))
        return Strangeness(blue, 40 * blue - 20, views, self.scenery, self.scenery, views[:, 0])


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
    assert chosen(scene(STRANGER), replace(CONFIG, strange=inf))[1] > 0.05
    assert abs(chosen(scene(STRANGER))[1]) < 1e-6


@pytest.mark.parametrize(("scenery", "status"), [(CONFIG.unfamiliar - 0.1, "confident"), (3.8, "uncertain")])
def test_strange_light_is_said_and_explored(scenery: float, status: str) -> None:
    bundle, images = ToyBundle(familiarity=ToyFamiliarity(scenery)), picture(0, (OBJECT,))
    plan = toy_planner(CONFIG, bundle).plan(request(images), ToyContext())
    assert plan.status == status
    assert plan.doubt == ("" if status == "confident" else plan.doubt)
    assert ("light or cameras" in plan.doubt and "3.8" in plan.doubt) == (status == "uncertain")
    blind = toy_planner(CONFIG.without_uncertainty(), bundle).plan(request(images), ToyContext())
    assert blind.status == "confident"


def test_what_the_camera_on_the_arm_sees_has_one_share_everywhere() -> None:
    now, weight = torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 2, 2)
    weight[2, 0] = torch.tensor([1.0, 3.0])
    later = carried_on(now, weight, CAMERAS)
    assert torch.equal(later[:2], now[:2])
    assert later[2].flatten().tolist() == pytest.approx([float(0.25 * now[2, 0, 0] + 0.75 * now[2, 0, 1])] * 4)
    assert (carried_on(now, 0 * weight, CAMERAS)[2] == -inf).all(), "where it sees nothing, nothing is known as strange"


def test_half_is_left_at_even_odds() -> None:
    strangeness = SimpleNamespace(thing=torch.full((1, 3, 2, 2), CONFIG.strange), scenery=torch.zeros(1))
    bundle = ToyBundle(familiarity=lambda latents, semantic: strangeness)
    strange = strange_things(bundle, torch.zeros(1), torch.ones(3, 4, 4), START, CONFIG)  # type: ignore[arg-type]
    assert strange.now.unique().tolist() == [CONFIG.strange]
    for odds, left in ((CONFIG.strange, 0.5), (inf, 1.0)):
        relevance = believed(torch.ones(2, 5, 3, 4, 4), strange.now, replace(CONFIG, strange=odds))
        assert relevance.unique().tolist() == [left]


def test_to_a_bundle_without_familiarity_nothing_is_strange() -> None:
    relevance = torch.rand(3, 4, 4)
    strange = strange_things(ToyBundle(), torch.zeros(1), relevance, START, CONFIG)  # type: ignore[arg-type]
    assert strange.scenery == 0
    for config in (CONFIG, CONFIG.without_uncertainty()):
        assert torch.equal(believed(relevance, strange.later, config), relevance)
