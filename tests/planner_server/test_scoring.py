"""The uncertainty-weighted reward, on maps whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from planner_server.config import PlannerConfig
from planner_server.scoring import Scores, cell_centres, reached, score
from planner_server.weighting import apply_weight, confidence_weight

B, H, V, A = 2, 3, 2, (12, 20)
NOWHERE = torch.zeros(B, H)
"""Metres aside of a place that nobody knows."""
CONFIG = PlannerConfig(exploration=0.0)


def maps() -> tuple[Tensor, Tensor, Tensor]:
    """Nothing relevant, nothing uncertain, tool in the middle of each view."""
    centres = torch.tensor([0.5, 0.3]).expand(B, H, V, 2).clone()
    return torch.zeros(B, H, V, *A), torch.zeros(B, H, V, *A), centres


def judge(relevance: Tensor, h: Tensor, centres: Tensor, config: PlannerConfig = CONFIG, seen: float = 1.0) -> Scores:
    return score(relevance, h, centres, NOWHERE, torch.full((V,), seen), torch.ones(V), torch.zeros(B), config)


def test_weight_decreases_from_one() -> None:
    w = confidence_weight(torch.linspace(0, 1, 11), 2.0)
    assert w[0] == 1
    assert (w.diff() < 0).all()
    assert (w > 0).all()


def test_doubt_never_raises_a_reward() -> None:
    w = torch.linspace(0.1, 1, 10)
    for reward in (-0.5, 0.0, 0.5):
        assert (apply_weight(w, torch.full_like(w, reward)).diff() >= 0).all()


def test_the_nearer_object_wins_and_its_distance_is_measured_in_image_widths() -> None:
    relevance, h, centres = maps()
    relevance[0, :, :, 6, 14] = 1.0
    relevance[1, :, :, 6, 11] = 1.0
    result = judge(relevance, h, centres)
    assert result.reward[1] > result.reward[0]
    offset = cell_centres(A, relevance)[6, 14] - centres[0, 0, 0]
    assert result.distance[0] == pytest.approx(float(offset.norm()), abs=1e-6)
    assert result.reward[0] == pytest.approx(1.0 - CONFIG.centring * float(offset.norm()), abs=1e-5)


def test_a_trajectory_is_as_good_as_its_best_frame() -> None:
    relevance, h, centres = maps()
    relevance[0, :, :, 6, 18] = 1.0
    relevance[0, 1, :, 6, 18] = 0.0
    relevance[0, 1, :, 6, 10] = 1.0
    result = judge(relevance, h, centres)
    assert int(result.frame[0]) == 1
    assert result.reward[0] == result.frame_reward[0].max()


def test_a_hallucinated_object_under_the_tool_loses_to_the_sure_one() -> None:
    """World-model hacking: candidate 0 imagines a second carrot under the tool, and the model is unsure of it."""
    relevance, h, centres = maps()
    relevance[0, :, :, 6, 10] = 1.0  # hallucination, under the tool
    relevance[:, :, :, 6, 15] = 0.8  # the true carrot
    centres[1, :, :, 0] = 0.65  # candidate 1 moved towards the true one
    naive = judge(relevance, h, centres)
    assert naive.reward[0] > naive.reward[1], "without uncertainty the hack must pay, or this test shows nothing"
    h[0, :, :, 4:9, 8:13] = 1.0
    aware = judge(relevance, h, centres)
    assert aware.reward[1] > aware.reward[0]
    assert aware.reward[0] < naive.reward[0]
    assert aware.reward[1] == naive.reward[1]


def test_uncertainty_elsewhere_costs_nothing() -> None:
    relevance, h, centres = maps()
    relevance[:, :, :, 6, 12] = 1.0
    before = judge(relevance, h, centres).reward
    h[:, :, :, :3] = 1.0
    after = judge(relevance, h, centres)
    assert torch.equal(after.reward, before)
    assert (after.uncertainty > 0).all()


def test_views_without_the_object_are_left_out_for_all_candidates() -> None:
    relevance, h, centres = maps()
    relevance[:, :, 0, 6, 10] = 1.0
    relevance[1, :, 1, 0, 0] = 0.9  # candidate 1 alone imagines it in the other view, far away
    result = score(relevance, h, centres, NOWHERE, torch.tensor([1.0, 0.0]), torch.ones(V), torch.zeros(B), CONFIG)
    assert result.views.tolist() == [1.0, 0.0]
    assert result.reward[0] == result.reward[1]


def test_a_view_counts_by_its_weight() -> None:
    relevance, h, centres = maps()
    relevance[0, :, 0, 6, 10] = relevance[0, :, 1, 6, 16] = 1.0  # well centred in the first view only
    relevance[1, :, 0, 6, 15] = relevance[1, :, 1, 6, 10] = 1.0  # a little better in the second
    equal = judge(relevance, h, centres)
    assert equal.reward[1] > equal.reward[0]
    riding = score(relevance, h, centres, NOWHERE, torch.ones(V), torch.tensor([1.0, 0.2]), torch.zeros(B), CONFIG)
    assert riding.reward[0] > riding.reward[1]


def test_with_nothing_to_trust_the_exploring_candidate_wins() -> None:
    relevance, h, centres = maps()
    relevance[:, :, :, 6, 12] = 0.2
    h[:] = 0.9
    travel = torch.tensor([0.0, 1.0])
    lost = score(relevance, h, centres, NOWHERE, torch.zeros(V), torch.ones(V), travel, PlannerConfig())
    assert lost.reward[1] > lost.reward[0]
    assert not lost.views.any()
    assert (lost.relevance == 0).all()


def test_with_something_to_trust_exploring_does_not_pay() -> None:
    relevance, h, centres = maps()
    relevance[0, :, :, 6, 10] = 1.0
    relevance[1, :, :, 6, 13] = 1.0
    h[:] = 0.05
    result = score(
        relevance, h, centres, NOWHERE, torch.ones(V), torch.ones(V), torch.tensor([0.0, 1.0]), PlannerConfig()
    )
    assert result.reward[0] > result.reward[1]


def test_what_was_reached_is_not_lost_to_the_blur_that_follows() -> None:
    V = torch.tensor([[0.7, 0.7, 0.69, 0.68, 0.66], [0.78, 0.7, 0.5, 0.3, 0.3], [0.0, 0.1, 0.05, 0.2, 0.3]])
    kept = reached(V)
    assert kept[1].tolist() == pytest.approx([0.78] * 5)
    assert kept[2].tolist() == pytest.approx([0.0, 0.1, 0.1, 0.2, 0.3])
    assert kept.mean(1).argmax() == 1, "letting go over the bowl wins over holding on"
    assert V.mean(1).argmax() == 0


def test_a_metre_aside_of_its_place_costs_the_same_however_it_looks() -> None:
    relevance, h, centres = maps()
    relevance[:, :, :, 6, 10] = 1.0
    aside = torch.tensor([[0.3, 0.2, 0.1], [0.3, 0.05, 0.3]])
    plain = judge(relevance, h, centres)
    result = score(relevance, h, centres, aside, torch.ones(V), torch.ones(V), torch.zeros(B), CONFIG)
    assert torch.allclose(result.frame_reward, plain.frame_reward - CONFIG.ground * aside)
    assert result.frame.tolist() == [2, 1]
