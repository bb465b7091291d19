"""True rewards: what the planner's formula says of the simulator's own segmentation and poses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluation_fakes import CARROT, flights, outcomes, situation, tool
from planner_fakes import CAMERAS, SIZE, START, H

from planner_server.config import PlannerConfig
from planner_server.evaluation.truth import (
    HIDDEN,
    distance,
    image_points,
    region_mask,
    true_evidence,
    true_reward,
    with_hidden_place,
)
from planner_server.judgement import Evidence
from planner_server.strangeness import nothing_strange
from planner_server.view_geometry import desired_centres

CELLS = (24, 40)


def judged() -> Evidence:
    relevance, views = torch.zeros(2, H, 3, *CELLS), torch.tensor([1.0, 1.0, 0.2])
    nowhere, still, unseen = torch.zeros(2, H), torch.zeros(2), torch.zeros(3, *CELLS)
    seen, centres = (unseen, nothing_strange(unseen)), torch.zeros(2, H, 3, 2)
    return Evidence(np.zeros((2, H, 7)), relevance, relevance, centres, nowhere, *seen, views, still, still, still)


def test_points_are_seen_where_the_planner_sees_the_same_points() -> None:
    """The desired centre is the image of the pinch point: two ways to compute one thing."""
    poses = START + np.array([[0.0] * 7, [0.03, -0.05, 0.02, 0, 0, 0.3, 0]])
    expected = desired_centres(CAMERAS, SIZE, poses)
    assert np.allclose(image_points(CAMERAS, SIZE, poses, tool(poses)), expected, atol=1e-9)


def test_flying_to_the_object_truly_earns_more_than_flying_away() -> None:
    chunks, carrots = flights()
    truth = true_evidence(judged(), situation(), outcomes(chunks, carrots), "carrot", CAMERAS, 0.0)
    reward = true_reward(truth, PlannerConfig())
    assert reward[0] > 0.5
    assert reward[0] > reward[1] + 1.0
    assert truth.seen.amax((-2, -1)).tolist() == [1.0, 1.0, 1.0]
    assert torch.equal(truth.h, torch.zeros_like(truth.relevance))


def test_an_object_behind_the_hand_is_unseen_but_where_it_is() -> None:
    chunks, carrots = flights()
    happened = outcomes(chunks, carrots)
    assert happened.classes is not None
    happened.classes[:, -1] = 0
    truth = true_evidence(judged(), situation(), happened, "carrot", CAMERAS, 0.0)
    assert float(truth.relevance[:, -1].max()) == pytest.approx(HIDDEN)
    d = truth.scores(PlannerConfig()).frame_reward[0, -1]
    assert d > -8 * 2 / CELLS[1]  # at most two cells off the centre, not in a corner


def test_the_bowl_counts_while_something_is_carried() -> None:
    chunks, carrots = flights()
    happened = outcomes(chunks, carrots)
    truth = true_evidence(judged(), situation("held"), happened, "bowl", CAMERAS, 0.1)
    foot = np.broadcast_to(situation().release_point * [1, 1, 0], carrots.shape)
    point = image_points(CAMERAS, SIZE, chunks, foot)[0, 0, 0] * CELLS[1]
    row, column = np.argwhere(truth.relevance[0, 0, 0].numpy())[0]
    assert (row, column) == (min(int(point[1]), CELLS[0] - 1), min(int(point[0]), CELLS[1] - 1))


def test_the_distance_is_the_tools_or_that_of_what_it_holds() -> None:
    chunks, carrots = flights()
    reach = float(np.linalg.norm(CARROT - tool(START)))
    happened = outcomes(chunks, carrots)
    assert distance("far", situation()) == pytest.approx(reach)
    assert distance("near", happened)[:, -1] == pytest.approx([0.0, 2 * reach], abs=1e-6)
    carry = np.linalg.norm(CARROT - situation().release_point)
    assert distance("held", situation("held")) == pytest.approx(carry)
    assert distance("held", happened) == pytest.approx(np.full((2, H), carry))


def test_a_region_counts_when_any_of_its_pixels_does() -> None:
    mask = np.zeros((2, 4, 8), bool)
    mask[1, 3, 5] = True
    regions = region_mask(mask, (2, 4))
    assert regions.shape == (2, 2, 4)
    assert regions.sum() == 1
    assert regions[1, 1, 2] == 1


def test_only_empty_masks_get_a_hidden_place() -> None:
    mask = torch.zeros(2, 2, 4)
    mask[0, 0, 0] = 1
    filled = with_hidden_place(mask, torch.tensor([[0.9, 0.4], [2.0, -1.0]]))
    assert torch.equal(filled[0], mask[0])
    assert filled[1, 0, 3] == pytest.approx(HIDDEN)
    assert filled[1].sum() == pytest.approx(HIDDEN)
