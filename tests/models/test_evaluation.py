from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import torch

from models import evaluation
from models.measure import latent_figures
from models.metrics import psnr, rank_correlation
from models.training.clips import Batch


def test_evaluation_writes_figures_a_card_and_a_picture(bundle_path: Path, dataset: Path, tmp_path: Path, capsys):
    arguments = ["--bundle", str(bundle_path), "--data", str(dataset), "--out", str(tmp_path), "--clips", "4"]
    assert evaluation.main([*arguments, "--steps", "1", "2", "--teacher-steps", "3", "--threads", "1", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results == json.loads((tmp_path / "evaluation.json").read_text())
    assert results["data"] == {"episodes": 1, "frames": 12, "clips": 4}
    for name in ("1 step(s)", "2 step(s)", "diffusion, 3 steps"):
        assert results[name]["swapped-action error ratio"] > 0
    assert 0 <= results["uncertainty"]["ece"] <= 1
    assert set(results["semantic, real frames"]) == {
        f"{o}, {v}" for o in ("carrot", "pea", "bowl") for v in ("left", "right", "wrist")
    }
    assert results["hash"][:12] in (tmp_path / "card.md").read_text()
    assert cv2.imread(str(tmp_path / "imagined.png")).std() > 5


def test_missing_data_is_an_error_with_a_reason(bundle_path: Path, tmp_path: Path, capsys):
    assert evaluation.main(["--bundle", str(bundle_path), "--data", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "vidplan sim record" in capsys.readouterr().err


def test_repeating_the_newest_frame_has_a_relative_error_of_one_and_the_truth_of_zero():
    generator = torch.Generator().manual_seed(0)
    history, future = (torch.randn(3, n, 4, 6, 5, generator=generator) for n in (2, 5))
    batch = Batch(history, torch.zeros(3, 2, 7), torch.zeros(3, 5, 7), future, torch.arange(3).numpy())
    still = history[:, -1:].expand_as(future)
    figures = latent_figures(still, still, batch)
    assert figures["relative latent error"] == pytest.approx(1.0)
    assert figures["swapped-action error ratio"] == pytest.approx(1.0)
    assert latent_figures(future + 1e-6, still, batch)["relative latent error"] == pytest.approx(0.0)


def test_psnr_and_rank_correlation():
    assert psnr(0.01) == 20.0
    values = torch.arange(5.0).numpy()
    assert rank_correlation(values, values**3) == 1.0
    assert rank_correlation(values, -values) == -1.0
    assert rank_correlation(values, values * 0) is None
