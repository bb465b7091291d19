"""`vidplan evaluate` from its options to its report, with figures made up; then the time of real plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models.evaluation
from models.evaluation import Media
from models.testing import random_bundle
from planner_server.evaluation import cli, evaluate
from planner_server.evaluation.errors import EvaluationError, SimulatorError
from planner_server.evaluation.recordings import Recordings
from planner_server.evaluation.timing import describe_machine, measure_plans
from planner_server.service import open_bundle

RANKED = {
    "kind": "far",
    "names": ["+x", "stay", "script"],
    "imagined": {"planner": [0.0, 1.0, 2.0]},
    "true": [0.0, 0.5, 1.0],
    "progress": [0.0, 0.05, 0.1],
    "views": {"wrist": {"imagined": [0.0, 1.0, 2.0], "true": [0.0, 0.5, 1.0]}},
    "refinement": {"refined": False, "true": [0.0, 0.0], "progress": [0.0, 0.0]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_bundle(tmp_path_factory.mktemp("evaluate"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was measured, in order; the figures are made up."""
    calls: list[str] = []

    def prepare(data: Path | None, *_: Any) -> Recordings:
        calls.append("recordings")
        return Recordings(data or tmp_path, None, {})

    def measure(bundle: Any, held_out: Path, fitting: Any, ood: Any, options: Any, say: Any) -> tuple[dict, Media]:
        (part,) = options.parts
        calls.append(part)
        say(part, 1.0)
        picture = np.full((2, 2, 3), len(calls), np.uint8)
        return {"data": {"episodes": 1}, part: {"clips": options.clips}}, Media({f"picture of {part}": picture}, {})

    def ranking(bundle: Any, config: Any, options: Any, out: Path, say: Any) -> list[dict[str, Any]]:
        calls.append(f"ranking {options.states} {options.look}")
        return [RANKED] * 3

    def plans(bundle: Any, count: int, say: Any) -> dict[str, Any]:
        calls.append("plan")
        return {"1": 0.5, "4": 2.5}

    monkeypatch.setattr(evaluate.recordings, "prepare", prepare)
    monkeypatch.setattr(evaluate, "evaluate_models", measure)
    monkeypatch.setattr(evaluate, "measure_ranking", ranking)
    monkeypatch.setattr(evaluate, "measure_plans", plans)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    return calls


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Media]:
    """Reports written with the figures made up: their figures go to the folder, their pictures come back."""
    shown: list[Media] = []

    def write(results: dict[str, Any], media: Media, out: Path) -> Path:
        shown.append(media)
        (out / "report.json").write_text(json.dumps(results))
        return out / "report.html"

    monkeypatch.setattr(models.evaluation, "write_report", write)
    return shown


def run(folder: Path, out: Path, *options: str) -> tuple[int, dict[str, Any]]:
    code = cli.main(["--bundle", str(folder), "--out", str(out), *options])
    return code, json.loads((out / "report.json").read_text())


def test_everything_is_measured_once_and_reported(folder, measured, pages, tmp_path, capsys):
    code, report = run(folder, tmp_path / "out", "--quick")
    assert code == 0
    assert measured[0] == "recordings"
    assert set(measured[1:]) == {
        "quality",
        "speedup",
        "controllability",
        "uncertainty",
        "reward",
        "ranking 15 varied",
        "plan",
    }
    assert report["quality"] == {"clips": 64}
    assert report["ranking"]["kendall_tau"] == 1.0
    assert report["ranking"]["views"]["wrist"]["kendall_tau"]["mean"] == 1.0
    assert report["plan_seconds"] == {"1": 0.5, "4": 2.5}
    assert report["bundle"]["megabytes"] < 40
    assert report["machine"]["threads"] >= 1
    assert "failed" not in report
    printed = capsys.readouterr().out
    assert [line.split()[-1] for line in printed.splitlines() if line.startswith("plan in")] == ["missed", "met"]
    assert str(tmp_path / "out" / "report.html") in printed
    assert set(pages[0].pictures) >= {"picture of quality", "picture of reward"}

    measured.clear()
    code, again = run(folder, tmp_path / "out", "--quick")
    assert (code, measured) == (0, ["recordings"])
    assert again["quality"] == report["quality"]
    for name, picture in pages[0].pictures.items():
        np.testing.assert_array_equal(pages[1].pictures[name], picture)


def test_probes_of_a_run_are_a_part_until_they_are_trained_again(folder, measured, pages, tmp_path):
    weights = tmp_path / "run" / "probe-multi-bce.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"first")
    for _ in range(2):
        _, report = run(folder, tmp_path, "--parts", "plan", "--probes", str(weights.parent))
    assert measured.count("probes") == 1
    assert "probes" in report
    weights.write_bytes(b"second")
    run(folder, tmp_path, "--parts", "plan", "--probes", str(weights.parent))
    assert measured.count("probes") == 2


def test_some_parts_only_and_other_options_are_measured_anew(folder, measured, pages, tmp_path):
    run(folder, tmp_path, "--parts", "ranking,plan", "--states", "7", "--look", "plain")
    assert measured == ["ranking 7 plain", "plan"]
    run(folder, tmp_path, "--parts", "ranking,plan", "--states", "8", "--look", "plain")
    assert measured[2:] == ["ranking 8 plain"]
    _, report = run(folder, tmp_path, "--parts", "speed", "--data", str(tmp_path))
    assert "speedup" in report
    assert "quality" not in report
    assert "ranking" not in report


def test_a_part_that_fails_does_not_lose_the_others(folder, measured, pages, tmp_path, monkeypatch, capsys):
    def broken(*_: Any) -> None:
        raise SimulatorError("the simulator's process ended: no meshes")

    monkeypatch.setattr(evaluate, "measure_ranking", broken)
    code, report = run(folder, tmp_path)
    assert code == 1
    assert report["failed"] == {"ranking": "the simulator's process ended: no meshes"}
    assert report["plan_seconds"]["1"] == 0.5
    assert "ranking could not be measured: the simulator's process ended" in capsys.readouterr().err


def test_without_recordings_the_planner_is_still_measured(folder, measured, pages, tmp_path, monkeypatch):
    def refused(*_: Any) -> None:
        raise EvaluationError("recording failed")

    monkeypatch.setattr(evaluate.recordings, "prepare", refused)
    code, report = run(folder, tmp_path)
    assert code == 1
    assert set(report["failed"]) == {"quality", "speed", "controllability", "uncertainty", "reward"}
    assert report["ranking"]["states"] == 3


def test_the_report_shows_ranking_and_plans(folder, measured, tmp_path):
    code, _ = run(folder, tmp_path, "--parts", "ranking,plan")
    assert code == 0
    page = (tmp_path / "report.html").read_text()
    assert "Kendall" in page
    assert "plan in 4 steps" in page


def test_what_the_models_part_could_not_measure_is_named(folder, measured, pages, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "evaluate_models", lambda *_: ({"failed": {"reward": "no labels"}}, Media()))
    code, report = run(folder, tmp_path, "--parts", "reward")
    assert (code, report["failed"]) == (1, {"reward": "no labels"})


def test_wrong_options_and_bundles_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["--parts", "quality,beauty"])
    assert "no part 'beauty'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["--states", "0"])
    assert cli.main(["--bundle", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "bundle.json is missing" in capsys.readouterr().err


def test_plans_of_eight_candidates_are_timed_by_steps(folder):
    torch.set_num_threads(1)
    said: list[float] = []
    timed = measure_plans(open_bundle(folder, "cpu"), 1, lambda what, fraction: said.append(fraction))
    assert timed["plans"] == 1
    for steps in ("1", "4"):
        stages = timed["stages_ms"][steps]
        assert timed[steps] == pytest.approx(stages["total"] / 1e3, abs=1e-3)
        assert timed["cpu_seconds"][steps] > 0
        assert {"encode_frames", "propose", "imagine", "score", "refine"} <= set(stages)
    assert "8 candidates" in timed["note"]
    assert all(0 <= fraction <= 1 for fraction in said)
    assert describe_machine()["cores"] >= 1
