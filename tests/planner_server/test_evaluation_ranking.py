"""Ranking fidelity end to end: real networks of random weights, a simulator of arithmetic, then the real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from evaluation_fakes import outcomes, situation

from models.bundle import Bundle, load_bundle
from models.testing import random_bundle
from planner_server.config import PlannerConfig
from planner_server.evaluation import ranking
from planner_server.evaluation.errors import SimulatorError
from planner_server.evaluation.ranking import KINDS, Ranker, RankingOptions, measure_ranking
from planner_server.evaluation.ranking_summary import summarise
from planner_server.evaluation.simulator import Outcomes, Simulator, Situation

QUICK = PlannerConfig(iterations=1, perturbations=1, unsure=1.0)  # random weights are unsure of everything


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.set_num_threads(1)
    return load_bundle(random_bundle(tmp_path_factory.mktemp("ranking")))


class ToySimulator:
    """See `evaluation_fakes`; refuses the seeds it is told to."""

    made: ClassVar[list[ToySimulator]] = []
    refused: ClassVar[set[int]] = set()

    def __init__(self, folder: Path, image_size: tuple[int, int], views: tuple[str, ...]) -> None:
        assert image_size == (48, 80)
        self.asked: list[int] = []
        self.made.append(self)

    def __enter__(self) -> ToySimulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.asked.append(-1)

    def situation(self, kind: str, seed: int, look: str, history_offsets: Any, horizon: int) -> Situation:
        if seed in self.refused:
            raise SimulatorError("the simulator refused")
        self.asked.append(seed)
        return situation(kind)

    def rollouts(self, chunks: np.ndarray) -> Outcomes:
        carrot = np.broadcast_to(situation().object, (*chunks.shape[:2], 3))
        return outcomes(chunks, carrot)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> type[ToySimulator]:
    monkeypatch.setattr(ranking, "Simulator", ToySimulator)
    monkeypatch.setattr(ToySimulator, "made", [])
    monkeypatch.setattr(ToySimulator, "refused", set())
    return ToySimulator


def silent(what: str, fraction: float) -> None:
    assert 0 <= fraction <= 1


def test_every_state_holds_the_planners_candidates_and_their_true_rewards(bundle, toy, tmp_path, monkeypatch):
    monkeypatch.setattr("planner_server.phase.DELIVERED", 0.0)  # untrained, it sees everything in the same place
    records = measure_ranking(bundle, QUICK, RankingOptions(3, workers=2), tmp_path, silent)
    assert [record["kind"] for record in records] == list(KINDS)
    for record in records:
        names = record["names"]
        assert names[-2:] == ["script", "script ~1"]
        assert len(names) == 12
        for rewards in (record["true"], record["progress"], *record["imagined"].values()):
            assert len(rewards) == 12
        # Followed exactly, chunks that differ only in what the fingers do come out the same.
        assert record["true"][names.index("-z")] == record["true"][names.index("-z close")]
        still, closing = (record["imagined"]["without_value"][names.index(name)] for name in ("-z", "-z close"))
        assert still - closing == pytest.approx(QUICK.regrip_cost, abs=2e-6)
        assert set(record["views"]) == {"left", "right", "wrist"}
    # The nominal chunk stays, the carrot is ahead: true progress is known.
    far = records[0]
    assert far["progress"][far["names"].index("stay")] == pytest.approx(0.0, abs=1e-6)
    assert summarise(records)["states"] == 3


def test_an_interrupted_run_goes_on_and_other_weights_start_anew(bundle, toy, tmp_path):
    measure_ranking(bundle, QUICK, RankingOptions(1, workers=1), tmp_path, silent)
    lines = (tmp_path / "ranking.jsonl").read_text()
    (tmp_path / "ranking.jsonl").write_text(lines + '{"torn')
    first = measure_ranking(bundle, QUICK, RankingOptions(2, workers=1), tmp_path, silent)
    assert [simulator.asked for simulator in toy.made] == [[1_000_000, -1], [1_000_001, -1]]
    assert first == measure_ranking(bundle, QUICK, RankingOptions(2, workers=1), tmp_path, silent)
    assert len(toy.made) == 2
    measure_ranking(bundle, PlannerConfig(iterations=0, perturbations=1), RankingOptions(1), tmp_path, silent)
    assert toy.made[-1].asked == [1_000_000, -1]


def test_what_was_measured_before_a_failure_is_kept(bundle, toy, tmp_path):
    toy.refused = {1_000_001}
    with pytest.raises(SimulatorError):
        measure_ranking(bundle, QUICK, RankingOptions(2, workers=1), tmp_path, silent)
    assert [json.loads(line)["number"] for line in (tmp_path / "ranking.jsonl").read_text().splitlines()] == [0]
    assert toy.made[0].asked[-1] == -1


def test_the_real_simulator_measures_a_state_refuses_nonsense_and_says_when_it_dies(bundle, tmp_path):
    pytest.importorskip("mujoco", reason="the simulated cell needs the sim extra")
    with pytest.raises(SimulatorError, match="no camera above"):
        Simulator(tmp_path, (48, 80), ("above",))
    with Simulator(tmp_path, (48, 80), bundle.config.views) as simulator:
        with pytest.raises(SimulatorError, match="sideways"):
            simulator.situation("sideways", 1, "plain", (-1, 0), 5)
        record = Ranker(bundle, QUICK, "plain").measure(0, simulator)
        assert (record["kind"], record["seed"]) == ("far", 1_000_000)
        assert record["progress"][record["names"].index("script")] > max(0.05, np.mean(record["progress"]))
        assert np.ptp(record["true"]) > 0.1
        unseen = simulator.rollouts(np.tile([0.45, 0.0, 0.4, np.pi, 0.0, -0.7, 0.0], (1, 5, 1)), watch=False)
        assert unseen.classes is None
        simulator._process.kill()
        with pytest.raises(SimulatorError, match="ended"):
            simulator.rollouts(unseen.poses)
