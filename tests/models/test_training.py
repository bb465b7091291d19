from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.bundle import load_bundle
from models.errors import TrainingError
from models.metrics import calibration
from models.training import cli
from models.training.config import TINY, LoopConfig
from models.training.loop import draw_for, rate_at, train
from models.training.phrases import ABSENT, SYNONYMS, say, say_absent
from models.training.semantic_stage import centroids, region_labels
from models.training.workshop import Workshop


@pytest.fixture(scope="module")
def workshop(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """All stages of the tiny preset, trained for a few steps each through the command line."""
    folder = tmp_path_factory.mktemp("work")
    arguments = ["--data", str(dataset), "--out", str(folder), "--preset", "tiny", "--steps", "3", "--threads", "1"]
    assert cli.main(["all", *arguments]) == 0
    return Workshop(dataset, folder, TINY)


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


class Line:
    """Fits a line; small enough to compare runs bit by bit."""

    name = "line"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = torch.nn.Linear(3, 1)
        self.seen: list[int] = []

    def loss(self, batch, draw):
        self.seen.append(int(draw.rows.integers(10**9)))
        x = torch.randn(batch, 3, generator=draw.noise)
        return (self.module(x) - x.sum(1, keepdim=True)).square().mean(), {}

    def notes(self):
        return {}

    def metrics(self):
        return {"weight": self.module.weight.detach().norm().item()}


CONFIG = LoopConfig(batch=8, rate=1e-2, steps=12, threads=1, half=False)


def test_a_resumed_run_ends_with_identical_weights(tmp_path: Path):
    whole, first, second = Line(), Line(), Line()
    train(whole, CONFIG, tmp_path / "whole")
    assert train(first, CONFIG, tmp_path / "parts", stop_after=5) == {}
    train(second, CONFIG, tmp_path / "parts")
    assert first.seen + second.seen == whole.seen
    weights = [load_file(tmp_path / name / "line.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_foreign_checkpoint_is_refused(tmp_path: Path):
    train(Line(), CONFIG, tmp_path, stop_after=2)
    other = Line()
    other.module = torch.nn.Linear(4, 1)
    with pytest.raises(TrainingError, match="another model"):
        train(other, CONFIG, tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path):
    line = Line()
    line.loss = lambda batch, draw: (line.module.weight.sum() * float("nan"), {})
    with pytest.raises(TrainingError, match="nan at step 0"):
        train(line, CONFIG, tmp_path)
    with pytest.raises(TrainingError, match="either minutes or steps"):
        train(Line(), dataclasses.replace(CONFIG, minutes=1.0), tmp_path)


def test_draws_depend_on_seed_stage_and_step_only():
    draws = [
        draw_for(*key).rows.integers(10**9) for key in ((0, "a", 1), (0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1))
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4


def test_rate_warms_up_holds_and_decays():
    config = LoopConfig(batch=1, rate=1.0, steps=1000)
    assert rate_at(config, 0, 0.0) == pytest.approx(0.01)
    assert rate_at(config, 300, 0.3) == pytest.approx(1.0)
    assert rate_at(config, 1000, 1.0) == pytest.approx(0.02)


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


def test_the_command_line_names_the_presets_there_are():
    from models.training.config import PRESETS
    from models.training.names import PRESET_NAMES, STAGES

    assert tuple(PRESETS) == PRESET_NAMES
    assert all(set(preset.loops) == set(STAGES) - {"latents", "bundle"} for preset in PRESETS.values())
