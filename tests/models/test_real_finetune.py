from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from lerobot_files import write_v21
from real_footage import write_real
from safetensors.torch import load_file

from models.real import cli


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_real(tmp_path_factory.mktemp("real"))


@pytest.fixture(autouse=True)
def few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("latent_stage", "pixel_figures"):
        monkeypatch.setattr(f"models.real.{module}.CLIPS", 4)


def contents(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_latents_then_the_same_command_with_init(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    before = contents(real)
    arguments = ["latents", "--data", str(real), "--steps", "2", "--batch", "2", "--threads", "1"]
    assert cli.main([*arguments, "--out", str(tmp_path / "first")]) == 0
    said = capsys.readouterr()
    assert "val: 2 episodes used, 0 skipped" in said.err
    assert "error with swapped actions" in said.out
    first = json.loads((tmp_path / "first/latents-report.json").read_text())
    assert first["before"] is None
    init = tmp_path / "first/latent-denoiser.safetensors"
    assert cli.main([*arguments, "--out", str(tmp_path / "second"), "--init", str(init), "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["before"] == first["after"]
    assert second["after"]["mse"] != first["after"]["mse"]
    assert contents(real) == before


def test_pixels_changes_autoencoder_and_diffusion_model_only(
    real: Path, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    before = contents(real)
    arguments = ["pixels", "--data", str(real), "--out", str(tmp_path), "--init", str(bundle_path)]
    budget = ["--steps", "12", "--batch", "4", "--threads", "1", "--json"]
    assert cli.main([*arguments, *budget]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["reconstruction_psnr"]["after"] > report["reconstruction_psnr"]["before"]
    for column in ("before", "new autoencoder only", "after"):
        assert report[column]["repeat_psnr"] == report["before"]["repeat_psnr"]
        assert len(report[column]["psnr_per_frame"]) == 5
    assert report["before"]["bound_psnr"] != report["new autoencoder only"]["bound_psnr"]
    assert report["new autoencoder only"]["bound_psnr"] == report["after"]["bound_psnr"]
    assert report["after"]["relative_error"] != report["new autoencoder only"]["relative_error"]
    shipped = load_file(bundle_path / "denoiser.safetensors")
    tuned = load_file(tmp_path / "real-world-model.safetensors")
    changed = {name for name, value in tuned.items() if not torch.equal(value, shipped[name].float())}
    assert changed
    assert not any(name.startswith("second_time") for name in changed)
    assert contents(real) == before


def test_data_without_latents_fails_in_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture):
    root = write_v21(tmp_path / "data", 2)
    assert cli.main(["latents", "--data", str(root), "--out", str(tmp_path / "out")]) == 1
    assert "no usable episode with latents in split train" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_lerobot_episodes_train_the_pixel_path(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    root = write_v21(tmp_path / "data", 2)
    arguments = ["pixels", "--data", str(root), "--out", str(tmp_path / "out"), "--init", str(bundle_path)]
    assert cli.main([*arguments, "--steps", "1", "--batch", "2", "--threads", "1"]) == 0
    table = capsys.readouterr().out
    assert "PSNR of the autoencoder alone" in table
    assert "with swapped actions" not in table  # one held-out episode has no other to swap with
