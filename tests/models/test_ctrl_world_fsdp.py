"""Fully sharded training of the full-size flow map, at reduced width with two processes on the CPU."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from sharded_runs import CONFIG, shards, small_stage
from training_runs import Curves

from models.errors import TrainingError
from models.training.engine_sharding import ShardedProcesses
from models.training.loop import train

NAME = "ctrl-world-flow-map"


def losses(folder: Path) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard" / NAME), size_guidance={"scalars": 0})
    events.Reload()
    return [event.value for name in ("loss", "gradient norm") for event in events.Scalars(name)]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / f"{NAME}.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    return all(torch.allclose(first[name], second[name], rtol=1e-4, atol=1e-5) for name in first)


def test_two_processes_that_share_the_weights_train_as_one_does(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one, two, on = tmp_path / "one", tmp_path / "two", tmp_path / "on"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sharded_runs", "models.training.engine_sharding", "torch.utils.tensorboard"])
    processes = [context.Process(target=shards, args=(two, rank, 2, port)) for rank in range(2)]
    for process in processes:
        process.start()
    torch.set_num_threads(1)
    train(small_stage(), CONFIG, one)
    for process in processes:
        process.join(270)
        assert process.exitcode == 0
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert len(losses(two)) == 2 * CONFIG.steps, "a step, a checkpoint, and another step"
    assert same_weights(one, two)
    reports = [json.loads((folder / f"{NAME}.json").read_text()) for folder in (one, two)]
    assert reports[1]["held_out"] == pytest.approx(reports[0]["held_out"], rel=1e-3)

    on.mkdir()
    shutil.copy(two / "half-way.checkpoint", on / f"{NAME}.checkpoint")
    train(small_stage(), CONFIG, on)  # the checkpoint of two goes on alone
    assert same_weights(one, on)


def test_a_stage_that_cannot_be_taken_apart_is_refused():
    processes = ShardedProcesses.__new__(ShardedProcesses)
    with pytest.raises(TrainingError, match="--fsdp: this stage trains a network that fits every GPU"):
        processes.shard(Curves().module, tuple, half=False)
