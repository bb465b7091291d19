from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import write_dataset, write_episode

from models.bundle import Bundle
from models.errors import DatasetError
from models.evaluation import Media, Options, evaluate_models, options, write_report
from models.evaluation.page import mp4

FEW = options.Amounts(
    rollouts=4, teacher_rollouts=2, judged=6, unfamiliar=4, rounds=1, readout_frames=20, readout_steps=4, valued=2
)
SETTINGS = Options(quick=True, clips=3, step_counts=(0, 1, 4), teacher_steps=2, horizons=(5, 10), threads=1)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_dataset(tmp_path_factory.mktemp("held-out"), frames=13)
    for index in (1, 2):
        write_episode(root, "val", str(index), 13, np.random.default_rng(index))
    file = root / "annotation" / "val" / "1.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "success": 0}))
    return root


def silent(what: str, fraction: float) -> None:
    assert 0 <= fraction <= 1


def test_every_part_is_measured_and_written_down(
    bundle: Bundle, held_out: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(options, "QUICK", FEW)
    results, media = evaluate_models(bundle, held_out, None, {"stranger": dataset}, SETTINGS, silent)
    results |= {"bundle": {"name": "tiny", "sha256": "ab" * 32, "megabytes": 1.0}, "plan_seconds": {"1": 0.6, "4": 3.0}}

    page = write_report(results, media, tmp_path / "out").read_text()
    read = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "failed" not in read
    assert set(read["quality"]["steps"]) == {"0", "1", "4", "2"}
    assert {"psnr", "ssim", "psnr_changed"} <= set(read["quality"]["steps"]["2"])
    assert read["quality"]["repeat_last"]["psnr_changed"] > 0
    assert set(read["quality"]["horizon"]) == {"5", "10", "curve", "note"}
    assert set(read["speedup"]) >= {"1", "4"}
    assert len(read["controllability"]["gripper_correlation"]) == 3
    assert read["controllability"]["readout"]["fitted_on"].startswith("train split")
    uncertainty = read["uncertainty"]
    assert uncertainty["ece_ood"] == uncertainty["unfamiliar"]["stranger"]["ece"]
    assert 0 <= uncertainty["ood_auroc"] <= 1
    assert {"pearson", "spearman", "p"} <= set(uncertainty["entropy_latent_error"])
    assert uncertainty["entropy_perceptual_error"]["error"] == "1 - SSIM"
    assert read["reward"]["success_auc"] is not None

    videos = [
        av.open(io.BytesIO(base64.b64decode(text))) for text in re.findall(r"data:video/mp4;base64,([^\"]+)", page)
    ]
    assert len(videos) == len(media.videos)
    assert sum(1 for _ in videos[0].decode(video=0)) == 1 + bundle.config.horizon
    assert "http" not in re.sub(
        r'xmlns(:\w+)?="[^"]+"|<!DOCTYPE[^>]+>|<metadata>.*?</metadata>', "", page, flags=re.DOTALL
    )
    assert '<tr class="met"><th>plan in 1 step</th><td>0.60 s</td>' in page
    assert '<tr class="missed"><th>plan in 4 steps</th><td>3.00 s</td>' in page
    assert "`abababababab`" in (tmp_path / "out" / "card.md").read_text()


def test_a_part_that_cannot_be_measured_says_why_and_loses_no_other(bundle: Bundle, dataset: Path, tmp_path: Path):
    root = tmp_path / "one"
    write_dataset(root, episodes=0)
    (root / "labels" / "classes.json").unlink()
    parts = Options(quick=True, clips=3, threads=1, parts=("reward", "speedup"), teacher_steps=2, step_counts=(0,))
    results, media = evaluate_models(bundle, root, None, {}, parts, silent)
    assert "labels/classes.json" in results["failed"]["reward"]
    assert results["speedup"]["0"] > 0
    assert "could not be measured" in write_report(results, media, tmp_path / "out").read_text()


def test_without_held_out_footage_there_is_nothing_to_measure(bundle: Bundle, tmp_path: Path):
    with pytest.raises(DatasetError):
        evaluate_models(bundle, tmp_path, None, {}, SETTINGS, silent)


def test_a_teacher_has_a_step_count_of_its_own():
    with pytest.raises(ValueError, match="teacher"):
        Options(quick=True, clips=1, step_counts=(0, 4), teacher_steps=4)


def test_a_report_of_a_few_parts_is_still_a_report(tmp_path: Path):
    page = write_report({"plan_seconds": {"1": 0.5, "4": float("nan")}}, Media(), tmp_path).read_text()
    assert "not measured" in page
    assert json.loads((tmp_path / "report.json").read_text()) == {"plan_seconds": {"1": 0.5, "4": None}}


def test_videos_keep_their_frames():
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    frames[1, :, :24] = 255
    with av.open(io.BytesIO(mp4(frames))) as container:
        again = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert again.shape == frames.shape
    assert np.abs(again.astype(int) - frames).mean() < 6
