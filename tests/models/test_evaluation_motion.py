from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from models.bundle import Bundle
from models.evaluation.controllability import _tracking
from models.evaluation.footage import Footage
from models.evaluation.options import Options
from models.evaluation.reward import _auc, _curve, _rise
from models.evaluation.rollout import roll_out
from models.evaluation.targets import judge, targets_table
from models.evaluation.tool_readout import fit_readout, tool_points
from models.evaluation.walks import flow_map, guided_teacher, teacher


def test_a_rollout_goes_on_from_what_was_imagined_and_commanded(bundle: Bundle, dataset: Path):
    footage, model = Footage(bundle, dataset, "val"), bundle.world_model
    row = footage.rows(8)[:1]
    latents, h = roll_out(bundle, footage, row, 8, flow_map(1), seed=3)
    assert latents.shape[1] == h.shape[1] == 8

    batch = footage.clips(row)
    commands = torch.from_numpy(footage.commands)
    noise = model.initial_noise(batch.history, torch.Generator().manual_seed(3))
    with torch.no_grad():
        first = model.imagine(batch.history, batch.history_poses, batch.actions, noise=noise).latents
    assert torch.allclose(latents[:, :5], first, atol=1e-5)

    ahead = commands[row[0] + torch.tensor([6, 7, 8, 8, 8])][None]  # nothing is known of frames beyond the eighth
    noise = model.initial_noise(batch.history, torch.Generator().manual_seed(3 + 5))
    with torch.no_grad():
        second = model.imagine(first[:, -2:], batch.actions[:, -2:], ahead, noise=noise).latents
    assert torch.allclose(latents[:, 5:], second[:, :3], atol=1e-4)


def test_guidance_is_for_the_teacher_alone():
    asked: list[dict[str, Any]] = []

    def imagine(*inputs: Any, **options: Any) -> Any:
        asked.append(options)
        return SimpleNamespace(latents=torch.zeros(1))

    model, options = cast(Any, SimpleNamespace(imagine=imagine)), Options(quick=True, clips=1, guidance=(1.0, 3.0))
    for walk in (flow_map(4), teacher(options), guided_teacher(options)):
        walk(model, *[torch.zeros(1)] * 4)
    assert [(each["steps"], each["teacher"], each["guidance"]) for each in asked] == [
        (4, False, None),
        (50, True, None),
        (50, True, (1.0, 3.0)),
    ]


class _Spots:
    """Footage in which one bright latent pixel of each fixed view shows where the tool is."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.poses = np.tile(np.array([0.5, 0, 0.3, np.pi, 0, 0, 0], np.float32), (count, 1))
        where = rng.integers((6, 10), size=(count, 2))
        self.poses[:, 0] += 0.02 * where[:, 0]
        self.poses[:, 1] += 0.02 * where[:, 1]
        fine = torch.zeros(count, 3, 12, 6, 10)
        fine[torch.arange(count), :2, 0, where[:, 0], where[:, 1]] = 4.0
        folded = torch.nn.functional.pixel_unshuffle(fine, 2)
        self._latents = folded.transpose(1, 2).flatten(2, 3)

    def latents(self, rows: np.ndarray) -> torch.Tensor:
        return self._latents[rows]


def test_the_readout_finds_the_tool_in_frames_it_was_not_fitted_on(bundle: Bundle):
    training, other = (cast(Footage, _Spots(count, seed)) for count, seed in ((400, 0), (50, 1)))
    readout = fit_readout(bundle, training, np.arange(400), 250, seed=0)
    assert readout.fixed == (0, 1)
    found = readout(other.latents(np.arange(50))[:, None])[:, 0]
    truth = tool_points(torch.from_numpy(other.poses))
    error = (found - truth)[:, :2].square().mean().sqrt()
    assert error < 0.25 * truth[:, :2].std()
    again = (
        fit_readout(bundle, training, np.arange(400), 3, seed=0),
        fit_readout(bundle, training, np.arange(400), 3, seed=0),
    )
    assert torch.equal(*(each(other.latents(np.arange(5))[:, None]) for each in again))


def test_tracking_is_correlation_and_slope_by_axis():
    commanded = torch.tensor([[-1.0, 0.0, 1.0], [0.0, 1.0, -1.0], [1.0, -1.0, 0.0]])[:, None]
    moved = commanded * torch.tensor([0.5, 1.0, -1.0]) + torch.tensor([0.2, 0.0, 0.0])
    found = _tracking(commanded, moved)
    assert found["slope"] == pytest.approx([0.5, 1.0, -1.0])
    assert found["correlation"] == pytest.approx([1.0, 1.0, -1.0])
    assert _tracking(commanded, torch.zeros(3, 1, 3))["correlation"] == [None, None, None]


def test_the_course_of_values_along_episodes():
    moments = np.array([0.1, 0.5, 0.9])
    courses = {
        "success": [(moments, np.array([0.2, 0.5, 0.9])), (moments, np.array([0.3, 0.4, 0.7]))],
        "failure": [(moments, np.array([0.3, 0.2, 0.1]))],
    }
    assert _auc(courses, 0.0, 1.0) == 1.0
    assert _auc(courses, 0.0, 1 / 3) == 0.25  # 0.2 < 0.3 and 0.3 = 0.3
    assert _auc({**courses, "failure": []}, 0.0, 1.0) is None
    rise = _rise(courses["success"])
    assert rise == {"episodes": 2, "change": 0.55, "share_rising": 1.0, "rank_correlation_with_time": 1.0}
    assert _rise(courses["failure"])["rank_correlation_with_time"] == -1.0
    assert [row[1] for row in _curve(courses["success"])] == pytest.approx([0.25, 0.45, 0.8])
    assert _rise([]) == {"episodes": 0, "change": None, "share_rising": None, "rank_correlation_with_time": None}


def test_targets_are_met_missed_or_not_measured():
    steps = {"psnr": 20.0, "ssim": 0.9}
    relation = {"pearson": 0.6, "spearman": 0.7, "p": 0.001}
    results = {
        "quality": {"steps": {"4": {**steps, "psnr": 19.6, "ssim": 0.88}, "50": steps}, "teacher": {"steps": 50}},
        "controllability": {"gripper_correlation": [0.99, 0.96, 0.95], "gripper_slope": [0.9, None, 0.9]},
        "uncertainty": {
            "ece": 0.02,
            "entropy_latent_error": {**relation, "per_clip": {**relation, "p": 0.02}},
            "unfamiliar": {"light": {"auroc": 0.9}, "camera": {"auroc": 0.7}},
        },
        "plan_seconds": {"1": 0.7},
    }
    met = {verdict.what: verdict.met for verdict in judge(results)}
    assert met["4 steps: PSNR below the teacher's"] is True
    assert met["4 steps: SSIM below the teacher's"] is False
    assert met["imagined against commanded tool: correlation, worst axis"] is True
    assert met["imagined against commanded tool: slope, worst axis"] is None
    assert met["ECE, all elements"] is True
    assert met["entropy with latent error, moving cells"] is True
    assert met["entropy with latent error, per clip"] is False
    assert met["AUROC of unfamiliar recordings, light"] is True
    assert met["AUROC of unfamiliar recordings, camera"] is False
    assert met["plan in 1 step"] is False
    assert met["bundle"] is None
    table = targets_table(results)
    assert "0.60, p = 0.02" in table
    assert "0.02004" in targets_table({"uncertainty": {"ece": 0.02004}}), "no figure looks met that is missed"
    assert targets_table({}).count("not measured") == len(judge({}))
