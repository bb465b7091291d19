"""Figures of ranking fidelity on numbers small enough to check by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from planner_server.evaluation.ranking_summary import fidelity, refinement, summarise
from planner_server.evaluation.statistics import (
    in_top_third,
    kendall_tau,
    mean_with_interval,
    regret,
    relative_regret,
)


def test_tau_is_the_known_tau_b_when_ties_are_exact() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        imagined, true = rng.integers(0, 5, (2, 12)).astype(float)
        assert kendall_tau(imagined, true, 0.0) == pytest.approx(kendalltau(imagined, true).statistic)


def test_small_true_differences_are_ties() -> None:
    imagined = np.array([1.0, 2.0, 3.0, 4.0])
    true = np.array([1.0, 2.004, 2.0, 3.0])  # the middle pair is the wrong way round by less than the tolerance
    assert kendall_tau(imagined, true, 0.0) == pytest.approx(4 / 6)
    assert kendall_tau(imagined, true, 0.01) == pytest.approx(5 / np.sqrt(6 * 5))
    assert np.isnan(kendall_tau(imagined, np.ones(4), 0.0))
    assert np.isnan(kendall_tau(np.ones(4), true, 0.0))


def test_the_top_third_is_rounded_up_and_takes_in_ties() -> None:
    true = np.array([0.0, 5.0, 3.0, 2.995, 1.0])  # of five candidates two
    assert [in_top_third(true, chosen, 0.0) for chosen in range(5)] == [False, True, True, False, False]
    assert in_top_third(true, 3, 0.01)


def test_regret_in_units_and_as_a_share_of_the_range() -> None:
    true = np.array([-1.0, 3.0, 1.0])
    assert [regret(true, chosen) for chosen in range(3)] == [4.0, 0.0, 2.0]
    assert [relative_regret(true, chosen, 0.01) for chosen in range(3)] == [1.0, 0.0, 0.5]
    assert np.isnan(relative_regret(np.array([1.0, 1.005]), 0, 0.01))


def test_the_interval_covers_the_mean_and_shrinks_with_more_states() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 100)
    few, many = mean_with_interval([*values[:10], float("nan")]), mean_with_interval(list(values))
    assert few["states"] == 10
    assert few["mean"] == pytest.approx(values[:10].mean(), abs=1e-4)
    for figure in (few, many):
        assert figure["interval"][0] < figure["mean"] < figure["interval"][1]
    assert np.ptp(many["interval"]) == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)
    assert np.ptp(many["interval"]) < np.ptp(few["interval"])
    assert mean_with_interval([float("nan")]) == {"mean": None, "interval": None, "states": 0}


def state(kind: str, imagined: list[float], true: list[float], **changes: Any) -> dict[str, Any]:
    views = {"left": {"imagined": imagined, "true": true}, "wrist": {"imagined": [0.0] * 3, "true": true}}
    return {
        "kind": kind,
        "names": ["+x", "stay", "script"],
        "imagined": {"planner": imagined, "without_value": true},
        "true": true,
        "progress": [0.1 * value for value in true],
        "views": views,
        "refinement": {"refined": True, "true": [0.0, 0.5], "progress": [0.01, 0.03]},
        **changes,
    }


RIGHT = state("far", [0.0, 1.0, 2.0], [0.0, 0.5, 1.0])
WRONG = state(
    "near", [2.0, 1.0, 0.0], [0.0, 0.5, 1.0], refinement={"refined": True, "true": [0.0, -0.5], "progress": [0.02, 0.0]}
)
UNTOUCHED = state(
    "near", [0.0, 1.0, 2.0], [0.0, 0.5, 1.0], refinement={"refined": False, "true": [0, 0], "progress": [0, 0]}
)


def test_the_summary_averages_over_states_and_splits_them() -> None:
    figures = summarise([RIGHT, WRONG])
    assert figures["kendall_tau"] == 0.0
    assert figures["top_third_rate"] == 0.5
    assert figures["regret"] == 0.5
    assert figures["regret_metres"] == pytest.approx(0.05)
    assert figures["by_kind"]["far"]["kendall_tau"]["mean"] == 1.0
    assert figures["by_kind"]["near"]["kendall_tau"]["mean"] == -1.0
    assert figures["ways"]["without_value"]["kendall_tau"]["mean"] == 1.0
    assert figures["ways"]["perfect_imagination"]["regret"]["mean"] == 0.0
    assert figures["by_candidates"]["along the axes"]["kendall_tau"] == figures["overall"]["kendall_tau"]
    assert figures["by_candidates"]["script"]["kendall_tau"]["states"] == 0  # one candidate: nothing to rank
    assert figures["random"]["top_third_rate"]["mean"] == pytest.approx(1 / 3, abs=1e-4)
    assert figures["random"]["regret"]["mean"] == 0.5


def test_a_view_that_sees_nothing_has_no_figure() -> None:
    views = summarise([RIGHT, RIGHT])["views"]
    assert views["left"]["kendall_tau"]["mean"] == 1.0
    assert views["wrist"]["kendall_tau"] == {"mean": None, "interval": None, "states": 0}
    assert views["wrist"]["perfect_kendall_tau_progress"]["mean"] == 1.0


def test_refinement_counts_what_it_changed() -> None:
    figures = refinement([RIGHT, RIGHT, WRONG, UNTOUCHED])
    assert (figures["refined"], figures["states"]) == (3, 4)
    assert figures["improved"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["worsened"]["mean"] == pytest.approx(1 / 3, abs=1e-4)
    assert figures["gain_metres"]["mean"] == pytest.approx(0.02 / 3, abs=1e-4)
    assert figures["median_gain_metres"] == pytest.approx(0.02)
    assert figures["true_reward_gain"]["mean"] == pytest.approx(0.5 / 3, abs=1e-4)


def test_the_chosen_candidate_is_the_imagined_arg_max() -> None:
    figures = fidelity([WRONG])
    assert figures["progress_metres"]["mean"] == 0.0
    assert figures["best_progress_metres"]["mean"] == pytest.approx(0.1)
    assert figures["regret_metres"]["mean"] == pytest.approx(0.1)
