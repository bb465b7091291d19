"""Small training runs, also as processes of their own that are killed or share a batch."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import torch

from models.training.config import LoopConfig
from models.training.loop import train

CONFIG = LoopConfig(batch=12, rate=1e-2, steps=24, threads=1, half=False, device="cpu", save_every=0.0, hold=0.5)


class Curves:
    """Fits noisy sines; two thirds of the batch see one loss and the last third another, as in Algorithm 2."""

    name = "curves"

    def __init__(self, dropout: float = 0.0) -> None:
        torch.manual_seed(0)
        self.module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(dropout), torch.nn.Linear(16, 8))
        self.frequencies = np.random.default_rng(0).uniform(1, 4, 200)
        self.seen: list[list[int]] = []

    def loss(self, batch, draw):
        rows = draw.mine(draw.rows.integers(len(self.frequencies), size=batch))
        noise = draw.mine(torch.randn(batch, 8, generator=draw.noise))
        self.seen.append(rows.tolist())
        clean = draw.place(torch.from_numpy(np.sin(self.frequencies[rows, None] * np.arange(8))).float())
        error = self.module(clean + 0.3 * noise) - clean
        first, second = error.split([len(rows) - len(rows) // 3, len(rows) // 3])
        flow, distill = first.square().mean(), second.abs().mean()
        return flow + distill, {"flow": flow.item(), "distill": distill.item()}

    def notes(self):
        return {}

    def metrics(self):
        return {"norm": self.module[0].weight.detach().norm().item()}

    def samples(self):
        shade = self.module[0].weight.detach().abs().clamp(0, 1).mul(255).byte().cpu().numpy()
        return {"weights": np.repeat(shade[None, :, :, None], 3, axis=3).repeat(4, axis=0)}


class Doomed(Curves):
    """Ends its own process by SIGKILL in the loss of one step."""

    def __init__(self, last: int, dropout: float) -> None:
        super().__init__(dropout)
        self.last = last

    def loss(self, batch, draw):
        if len(self.seen) == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(batch, draw)


def dies_in_a_step(folder: Path, step: int, dropout: float) -> None:
    """A process that ends in the middle of a step."""
    train(Doomed(step, dropout), CONFIG, folder)


def dies_in_a_save(folder: Path, step: int, dropout: float) -> None:
    """A process that ends while it writes the checkpoint of a step."""
    whole = torch.save

    def half(state, path) -> None:
        whole(state, path)
        if state["step"] == step:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half
    train(Curves(dropout), CONFIG, folder)


def shares(folder: Path, rank: int, count: int, port: int) -> None:
    """One of several processes as a launcher starts them."""
    os.environ.update(RANK=f"{rank}", LOCAL_RANK=f"{rank}", WORLD_SIZE=f"{count}", OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=f"{port}", GLOO_SOCKET_IFNAME="lo")
    train(Curves(), CONFIG, folder)
