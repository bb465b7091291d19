from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.bundle import load_bundle
from models.metrics import calibration
from models.training import cli
from models.training.autoencoder_stage import AutoencoderStage
from models.training.config import TINY
from models.training.phrases import ABSENT, SYNONYMS, say, say_absent
from models.training.semantic_stage import centroids, region_labels
from models.training.workshop import Workshop


def test_all_stages_end_in_a_bundle_that_loads_and_imagines(workshop: Workshop, scene):
    bundle = load_bundle(workshop.folder / "bundle")
    imagined = bundle.world_model.imagine(*scene, generator=torch.Generator().manual_seed(0))
    assert imagined.latents.isfinite().all()
    assert bundle.config.phrases == ("carrot", "pea", "bowl", "robot")
    for stage in TINY.loops:
        report = json.loads((workshop.folder / f"{stage}.json").read_text())
        assert report["steps"] == 3
        assert report["held_out"]


def test_flow_map_stage_changes_the_denoiser_and_heads_stage_does_not(workshop: Workshop):
    diffusion = load_file(workshop.folder / "world-model.safetensors")
    flow_map = load_file(workshop.folder / "flow-map.safetensors")
    shipped = load_file(workshop.folder / "bundle" / "denoiser.safetensors")
    assert not torch.equal(diffusion["input.weight"], flow_map["input.weight"])
    assert all(torch.equal(shipped[name], weight.half()) for name, weight in flow_map.items())


def test_stages_need_the_earlier_ones(dataset: Path, tmp_path: Path, capsys):
    arguments = ["--data", str(dataset), "--out", str(tmp_path), "--preset", "tiny", "--steps", "1"]
    assert cli.main(["flow-map", *arguments]) == 1
    assert "run `vidplan train" in capsys.readouterr().err


def test_what_is_finished_is_not_done_again(workshop: Workshop, capsys):
    arguments = ["--data", str(workshop.data), "--out", str(workshop.folder), "--preset", "tiny", "--steps", "3"]
    arguments += ["--threads", "1"]
    before = {stage: (workshop.folder / f"{stage}.json").stat().st_mtime_ns for stage in TINY.loops}
    assert cli.main(["all", *arguments]) == 0
    assert before == {stage: (workshop.folder / f"{stage}.json").stat().st_mtime_ns for stage in TINY.loops}
    said = capsys.readouterr().out
    assert all(said.count(f"{stage}: finished (3 steps)") == 1 for stage in TINY.loops)
    assert cli.main(["heads", *arguments, "--set", "batch=3"]) == 1
    assert "batch 2 -> 3" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_how_to_go_on_and_ends_with_130(
    dataset: Path, tmp_path: Path, capsys, monkeypatch, number
):
    def signalled(self, batch, draw):
        os.kill(os.getpid(), number)
        return loss(self, batch, draw)

    loss = AutoencoderStage.loss
    arguments = ["autoencoder", "--data", str(dataset), "--out", str(tmp_path), "--preset", "tiny", "--steps", "4"]
    arguments += ["--threads", "1"]
    monkeypatch.setattr(AutoencoderStage, "loss", signalled)
    assert cli.main(arguments) == 130
    assert "autoencoder: stopped after step 1, which is saved; the same command goes on" in capsys.readouterr().err
    monkeypatch.undo()
    assert cli.main(arguments) == 0
    assert "autoencoder: 4 steps of 4 rows, goes on where it stopped" in capsys.readouterr().out


def test_absent_words_share_no_bucket_with_words_that_are_there():
    from models.text import word_buckets

    there = {bucket for names in SYNONYMS.values() for name in names for bucket in word_buckets(name)}
    nouns = {word: set(word_buckets(word)) for word in ABSENT if " " not in word}
    assert [word for word, buckets in nouns.items() if buckets & there] == []
    rng = np.random.default_rng(0)
    assert all(say("pea", rng) and say_absent(rng) for _ in range(50))
    assert say("never heard of", rng).endswith("never heard of")


def test_region_labels_keep_a_single_pixel():
    classes = torch.zeros(1, 3, 48, 80, dtype=torch.uint8)
    classes[0, 1, 11, 21] = 2
    target = region_labels(classes, 3)
    assert target.shape == (1, 3, 3, 24, 40)
    assert target.sum() == 1
    assert target[0, 1, 1, 5, 10] == 1


def test_centroids_are_in_pixels_of_the_class_map():
    relevance = np.zeros((1, 1, 24, 40))
    relevance[0, 0, 5, 10] = 0.9
    centre, peak = centroids(relevance, (48, 80))
    assert centre[0, 0] == pytest.approx([21.0, 11.0], abs=0.1)
    assert peak[0, 0] == pytest.approx(0.9)


def test_calibration_of_honest_and_of_overconfident_probabilities():
    rng = np.random.default_rng(0)
    confidence = rng.random(200_000)
    honest, _ = calibration(confidence, rng.random(200_000) < confidence)
    proud, worst = calibration(np.full(1000, 0.95), np.arange(1000) % 2 == 0)
    assert honest < 0.01
    assert proud == pytest.approx(0.45)
    assert worst == pytest.approx(0.45)


def test_data_without_labels_is_refused_before_hours_of_other_stages(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(dataset, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "labels")
    out = tmp_path / "out"
    assert cli.main(["all", "--data", str(tmp_path / "data"), "--out", str(out), "--preset", "tiny"]) == 1
    assert "no labels/classes.json" in capsys.readouterr().err
    assert not (out / "autoencoder.json").exists()
