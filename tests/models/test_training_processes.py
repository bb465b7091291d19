from __future__ import annotations

import json
import multiprocessing
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_runs import CONFIG, Curves, dies_in_a_save, dies_in_a_step, shares

from models.errors import TrainingError
from models.training.engine_draw import Share, draw_for
from models.training.engine_processes import join
from models.training.loop import train


@pytest.fixture(scope="module")
def start():
    """Starts processes that have PyTorch imported already: a fresh interpreter would take seconds for each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.training.loop", "torch._dynamo", "torch.utils.tensorboard", "accelerate"])

    def started(target, *arguments) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=target, args=arguments)
        process.start()
        return process

    return started


def curve(folder: Path, name: str = "loss") -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard" / "curves"), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_killed_runs_go_on_to_the_very_same_weights(start, tmp_path: Path):
    whole, last = Curves(dropout=0.1), Curves(dropout=0.1)
    train(whole, CONFIG, tmp_path / "whole")
    parts = tmp_path / "parts"
    for death, step in ((dies_in_a_step, 5), (dies_in_a_save, 11)):
        process = start(death, parts, step, 0.1)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    assert not (parts / "curves.json").exists()
    time.sleep(1.0)  # TensorBoard orders its files by the second they began in
    train(last, CONFIG, parts)
    assert last.seen == whole.seen[10:]  # killed while saving step 11, so step 10 is the newest there is
    weights = [load_file(folder / "curves.safetensors") for folder in (tmp_path / "whole", parts)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert curve(parts) == curve(tmp_path / "whole")


def test_two_processes_have_the_loss_curve_of_one(start, tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "two"
    processes = [start(shares, folder, rank, 2, port) for rank in range(2)]
    train(Curves(), CONFIG, tmp_path / "one")
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    for name in ("loss", "flow", "distill", "gradient norm"):
        one, two = curve(tmp_path / "one", name), curve(folder, name)
        assert [step for step, _ in two] == list(range(1, CONFIG.steps + 1))  # and only the first process wrote
        assert [value for _, value in two] == pytest.approx([value for _, value in one], rel=1e-5)
    weights = [load_file(tmp_path / name / "curves.safetensors") for name in ("one", "two")]
    assert all(torch.allclose(weights[0][key], weights[1][key], rtol=1e-4, atol=1e-6) for key in weights[0])
    assert json.loads((folder / "curves.json").read_text())["steps"] == CONFIG.steps


def test_the_shares_of_a_batch_are_disjoint_and_keep_its_proportions():
    whole = draw_for(0, "a", 1)
    rows, noise = whole.rows.integers(10**9, size=12), torch.randn(12, 2, generator=whole.noise)
    parts = [draw_for(0, "a", 1, Share(index, 2)) for index in range(2)]
    mine = [part.mine(part.rows.integers(10**9, size=12)) for part in parts]
    assert sorted([*mine[0], *mine[1]]) == sorted(rows)
    assert list(mine[1]) == list(rows[1::2])
    assert len(set(mine[0]) & set(rows[:8])) == 4  # two thirds of this share, too, are of the first two thirds
    again = [part.mine(torch.randn(12, 2, generator=part.noise)) for part in parts]
    assert torch.equal(torch.stack(again, dim=1).flatten(0, 1), noise)


def test_a_batch_that_cannot_be_shared_and_devices_that_are_not_there_are_refused(tmp_path: Path, monkeypatch):
    processes = join("cpu")
    processes.share = Share(0, 5)
    with pytest.raises(TrainingError, match="batch of 12 cannot be shared by 5"):
        train(Curves(), CONFIG, tmp_path, processes=processes)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="no CUDA GPU"):
        join("cuda")
    with pytest.raises(TrainingError, match="auto, cpu or cuda"):
        join("tpu")


def test_a_launcher_that_started_one_process_only_is_named(monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_PORT", "29500")
    assert join("cpu").share.count == 1
    assert "torchrun" in capsys.readouterr().err
