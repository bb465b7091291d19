"""Distillation of a reduced Ctrl-World on small latents, alone or as one of several processes that share weights."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch
from ctrl_world_files import alive, reduced_config

from models.ctrl_world import flow_map_stage
from models.ctrl_world.config import UNetConfig
from models.ctrl_world.flow_map_stage import CtrlWorldFlowMapStage
from models.ctrl_world.video_model import CtrlWorldModel
from models.real.clips import ObservedClips
from models.training.config import LoopConfig
from models.training.engine_processes import join
from models.training.loop import train

STOP = 1
CONFIG = LoopConfig(batch=6, rate=1e-3, steps=2, threads=1, half=False, device="cpu", save_every=1e9)


class SmallFootage:
    """Two episodes of noise, 8x8 latents per view."""

    def __init__(self, data: Path, split: str, offsets: tuple[int, ...], horizon: int, cache: Path | None) -> None:
        rng = np.random.default_rng([split == "val"])
        poses = np.float32([0.48, 0.05, 0.35, 3.1, 0.02, -0.8, 0.3]) + 0.05 * rng.standard_normal((40, 7), np.float32)
        latents = rng.standard_normal((40, 4, 24, 8), np.float32)
        self.clips = ObservedClips([(0, 20), (20, 20)], poses, latents, offsets, horizon)
        self.episodes = SimpleNamespace(latents=latents)
        self.texts = ["", ""]


def small_stage() -> CtrlWorldFlowMapStage:
    unet = UNetConfig(widths=(32, 32, 32, 32), heads=(1, 1, 1, 1), layers=1, token=32, time_ids=32)
    model = CtrlWorldModel(reduced_config(unet=unet, history_offsets=(-1, 0), history_slots=(0,), horizon=1))
    alive(model.denoiser, 0)
    with patch.multiple(flow_map_stage, load_world_model=lambda bundle: model, Footage=SmallFootage):
        return CtrlWorldFlowMapStage(Path(), Path())


def shards(folder: Path, rank: int, count: int, port: int) -> None:
    """One of several processes as a launcher starts them: stopped after some steps, then going on."""
    os.environ.update(RANK=f"{rank}", LOCAL_RANK=f"{rank}", WORLD_SIZE=f"{count}", OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=f"{port}", GLOO_SOCKET_IFNAME="lo")
    processes = join("cpu", sharded=True)
    first = small_stage()
    train(first, CONFIG, folder, stop_after=STOP, processes=processes)
    held = sum(parameter.to_local().numel() for parameter in first.module.parameters())  # type: ignore[attr-defined]
    assert held < 0.6 * sum(parameter.numel() for parameter in first.module.parameters())
    if processes.first:
        (folder / "half-way.checkpoint").write_bytes((folder / f"{first.name}.checkpoint").read_bytes())
    train(small_stage(), CONFIG, folder, processes=processes)
    torch.distributed.destroy_process_group()
