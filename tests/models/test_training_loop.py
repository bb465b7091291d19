from __future__ import annotations

import dataclasses
import io
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from training_runs import CONFIG, Curves

from models.errors import TrainingError
from models.training import engine_progress
from models.training.config import LoopConfig
from models.training.engine_board import Board, gif
from models.training.engine_checkpoint import load_checkpoint, previous
from models.training.engine_progress import Progress
from models.training.loop import StoppedError, draw_for, rate_at, train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Curves, Path]:
    """An uninterrupted run."""
    stage, folder = Curves(), tmp_path_factory.mktemp("whole")
    train(stage, CONFIG, folder)
    return stage, folder


def same_weights(one: Path, other: Path) -> bool:
    weights = [load_file(folder / "curves.safetensors") for folder in (one, other)]
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_resumed_run_ends_with_identical_weights(whole, tmp_path: Path):
    first, second = Curves(), Curves()
    assert train(first, CONFIG, tmp_path, stop_after=5) == {}
    train(second, CONFIG, tmp_path)
    assert first.seen + second.seen == whole[0].seen
    assert same_weights(whole[1], tmp_path)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:400] + b"????" + data[404:]]
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(whole, tmp_path: Path, capsys, damage):
    train(Curves(), CONFIG, tmp_path, stop_after=7)
    checkpoint = tmp_path / "curves.checkpoint"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    train(Curves(), CONFIG, tmp_path)
    assert "curves.checkpoint is damaged" in capsys.readouterr().err
    assert same_weights(whole[1], tmp_path)
    assert not previous(checkpoint).exists()


def test_a_run_whose_every_checkpoint_is_damaged_says_so(tmp_path: Path):
    train(Curves(), CONFIG, tmp_path, stop_after=3)
    for file in tmp_path.glob("curves.checkpoint*"):
        file.write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=r"curves.checkpoint is damaged.*curves.checkpoint.previous is damaged"):
        train(Curves(), CONFIG, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_with_everything_saved(whole, tmp_path: Path, number):
    stage = Curves()
    loss = stage.loss

    def signalled(batch, draw):
        if len(stage.seen) == 4:
            os.kill(os.getpid(), number)
        return loss(batch, draw)

    stage.loss = signalled
    handler = signal.getsignal(number)
    with pytest.raises(StoppedError, match=r"curves: stopped after step \d.*the same command goes on") as stop:
        train(stage, dataclasses.replace(CONFIG, save_every=1e9), tmp_path)
    assert stop.value.step == len(stage.seen) == 5
    assert signal.getsignal(number) is handler
    train(Curves(), CONFIG, tmp_path)
    assert same_weights(whole[1], tmp_path)


def test_a_foreign_checkpoint_is_refused(tmp_path: Path):
    train(Curves(), CONFIG, tmp_path, stop_after=2)
    other = Curves()
    other.module = torch.nn.Linear(4, 1)
    with pytest.raises(TrainingError, match="another model"):
        train(other, CONFIG, tmp_path)


def test_a_run_goes_on_with_another_budget_but_not_with_other_settings(tmp_path: Path):
    train(Curves(), CONFIG, tmp_path, stop_after=2)
    with pytest.raises(TrainingError, match=r"other settings here: batch 12 -> 9, rate 0\.01 -> 0\.02\."):
        train(Curves(), dataclasses.replace(CONFIG, batch=9, rate=0.02), tmp_path)
    more = dataclasses.replace(CONFIG, steps=30, threads=1, save_every=5.0)
    assert train(Curves(), more, tmp_path)["steps"] == 30


def test_a_checkpoint_of_before_settings_were_kept_is_gone_on_with(whole, tmp_path: Path):
    train(Curves(), CONFIG, tmp_path, stop_after=5)
    file = tmp_path / "curves.checkpoint"
    state = torch.load(file, weights_only=True)
    del state["settings"]
    torch.save(state, file)
    train(Curves(), CONFIG, tmp_path)
    assert same_weights(whole[1], tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path):
    stage = Curves()
    stage.loss = lambda batch, draw: (stage.module[0].weight.sum() * float("nan"), {})
    with pytest.raises(TrainingError, match="nan at step 0"):
        train(stage, CONFIG, tmp_path)
    with pytest.raises(TrainingError, match="either minutes or steps"):
        train(Curves(), dataclasses.replace(CONFIG, minutes=1.0), tmp_path)


def test_draws_depend_on_seed_stage_and_step_only():
    draws = [
        draw_for(*key).rows.integers(10**9) for key in ((0, "a", 1), (0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1))
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4


def test_draws_are_those_of_every_run_so_far():
    draw = draw_for(0, "world-model", 1234)
    assert draw.rows.integers(10**9) == 226723498
    assert torch.rand((), generator=draw.noise).item() == pytest.approx(0.5234978795)


def test_rate_warms_up_holds_and_decays():
    config = LoopConfig(batch=1, rate=1.0, steps=1000)
    assert rate_at(config, 0, 0.0) == pytest.approx(0.01)
    assert rate_at(config, 300, 0.3) == pytest.approx(1.0)
    assert rate_at(config, 1000, 1.0) == pytest.approx(0.02)


def test_sample_videos_show_the_averaged_weights_and_leave_no_trace(whole, tmp_path: Path):
    often = dataclasses.replace(CONFIG, sample_every=0.0)
    train(Curves(), often, tmp_path)
    assert same_weights(whole[1], tmp_path)
    files = sorted((tmp_path / "samples" / "curves").iterdir())
    assert [file.name for file in files] == [f"weights-{step:07}.gif" for step in range(1, CONFIG.steps + 1)]
    last = np.asarray(Image.open(files[-1]).convert("RGB"))
    averaged = load_file(tmp_path / "curves.safetensors")["0.weight"].abs().clamp(0, 1).mul(255).byte().numpy()
    scale = last.shape[0] // averaged.shape[0]
    assert np.abs(last[::scale, ::scale, 0].astype(int) - averaged).max() <= 2  # palette

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard" / "curves")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "flow", "distill", "rate", "gradient norm", "steps per second"}
    assert events.Images("weights")[-1].encoded_image_string == files[-1].read_bytes()


def test_a_gif_moves_loops_and_is_large_enough_to_see():
    frames = np.zeros((3, 48, 80, 3), np.uint8)
    frames[1, :, :, 0], frames[2, :, :, 2] = 255, 255
    encoded, size = gif(frames, 0.2)
    image = Image.open(io.BytesIO(encoded))
    assert (image.n_frames, image.size, image.info["duration"], image.info["loop"]) == (3, size, 200, 0)
    assert size == (320, 192)
    image.seek(2)
    assert image.convert("RGB").getpixel((10, 10)) == (0, 0, 255)


def test_without_tensorboard_training_says_so_and_goes_on(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    board = Board(tmp_path, "curves", 0)
    board.scalars(1, {"loss": 1.0})
    board.videos(1, {"seen": np.zeros((2, 8, 8, 3), np.uint8)})
    board.flush()
    board.close()
    assert capsys.readouterr().err.count("`tensorboard` is missing") == 1
    assert [file.name for file in (tmp_path / "samples" / "curves").iterdir()] == ["seen-0000001.gif"]
    assert not (tmp_path / "tensorboard").exists()


def test_a_log_file_gets_plain_lines_with_the_time_left(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(engine_progress.time, "monotonic", lambda: now)
    progress = Progress("curves", 0.5)
    for step in range(1, 101):
        now = step * 1.0
        progress.show(step, 0.5 + step / 400, {"loss": 0.25})
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "curves: 57.5 %, step 30, loss 0.2500, 0:02:50 left"
    assert len(lines) == 3
    assert not any("\r" in line for line in lines)


def test_processes_started_together_find_a_checkpoint_too(tmp_path: Path):
    train(Curves(), CONFIG, tmp_path, stop_after=5)
    state = load_checkpoint(tmp_path / "curves.checkpoint", torch.device("cpu", 0))  # Accelerate numbers its CPUs
    assert state is not None
    assert state["step"] == 5
