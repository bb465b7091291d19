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
    SIZE,
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
from planner_server.strangeness import Thing, believed, carried_on, same_as, strange_things, things_in

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


def cells(*blobs: tuple[int, int, int, float]) -> np.ndarray:
    """``(V, 24, 40)`` zeros, with 3 x 3 blobs ``(view, row, column, value)``."""
    maps = np.zeros((len(VIEWS), 24, 40), np.float32)
    for view, row, column, value in blobs:
        maps[view, row : row + 3, column : column + 3] = value
    return maps


def found(odds: np.ndarray, seen: np.ndarray) -> list[Thing]:
    return things_in(odds, seen, CAMERAS, SIZE, START, CONFIG)


def test_a_thing_is_doubted_whole() -> None:
    odds = np.full((len(VIEWS), 24, 40), -8.0)
    odds[0, :, 10] = 4.0  # one column of three
    things = found(odds, cells((0, 12, 10, 1.0), (0, 12, 30, 0.6)))
    assert sorted(round(thing.odds) for thing in things) == [-8, -4]
    left, right = sorted(things, key=lambda thing: thing.nearest[13, 31])
    assert left.nearest[0, 0]
    assert right.nearest[23, 39]
    assert not (left.nearest & right.nearest).any()
    assert not found(odds, cells((0, 12, 10, 0.1))), "too pale to be seen"


def test_views_that_show_a_thing_in_the_same_place_doubt_it_together() -> None:
    nearest = np.ones((1, 1), bool)
    left = Thing(0, nearest, -6.0, np.array([0.4, 0.1]))
    wrist, beside = Thing(2, nearest, 3.0, np.array([0.43, 0.1])), Thing(2, nearest, 5.0, np.array([0.45, 0.1]))
    elsewhere, unplaced = Thing(1, nearest, 5.0, np.array([0.6, 0.1])), Thing(1, nearest, 5.0, None)
    assert same_as(left, [left, wrist, beside, elsewhere, unplaced]) == [left, wrist]
    assert same_as(unplaced, [left, wrist, unplaced]) == [unplaced]


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
