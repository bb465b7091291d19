"""`vidplan train adapter`: fit the impedance adapter to recorded joints and joint velocities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.adapter import Adapter
from models.adapter_arm import ArmChain
from models.adapter_impedance import ImpedanceAdapter, save_impedance
from models.adapter_recordings import Chunks, read_chunks
from models.training.config import LoopConfig
from models.training.engine_processes import Processes, join
from models.training.loop import Draw, train
from models.training.names import ADAPTER
from robot_model.adapter import STEP_ANGLE

ADAPTER_FILE = "droid-adapter.json"
LOOP = LoopConfig(batch=192, rate=0.03, steps=300, hold=0.3, decay=0.0, average=0.03, half=False)
"""Seventy constants and their logarithms: large steps, few of them."""
STEPS = 15
"""Control steps of a chunk: one second, as Ctrl-World's adapter and pi0.5-DROID have it."""
BEND = 0.005
"""rad below which an error counts squared, above absolutely: episodes where the arm was pushed do not decide."""


class AdapterStage:
    """Random chunks of the recordings.

    Attributes:
        module: The adapter.
    """

    name = ADAPTER

    def __init__(self, data: Path) -> None:
        """Read both splits.

        Raises:
            DatasetError: One has no usable episode.
        """
        self.splits = {split: read_chunks(data, split, STEPS) for split in ("train", "val")}
        self.module = ImpedanceAdapter()

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        chunks = self.splits["train"]
        chosen = draw.mine(draw.rows.integers(len(chunks.joints), size=batch))
        joints, velocities, reached = (draw.place(value) for value in _rows(chunks, chosen))
        predicted = self.module(joints, velocities)
        error = (predicted - reached).abs().mean()
        return functional.smooth_l1_loss(predicted, reached, beta=BEND), {"error": error.item()}

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        return {split: {"episodes": c.episodes, "chunks": len(c.joints)} for split, c in self.splits.items()}

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """Held-out errors of this adapter and of plainer ones, see `errors`."""
        training, held_out = self.splits["train"], self.splits["val"]
        gain = best_gain(training)
        plain = {"standing still": 0.0, "integrating as commanded": 1.0, f"integrating {gain:.2f} of it": gain}
        return {
            "adapter": errors(self.module, held_out),
            **{name: errors(Integrating(share), held_out) for name, share in plain.items()},
        }


class Integrating:
    """See `models.adapter.Adapter`: the plainest one, a share of what is commanded."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, joints: Tensor, velocities: Tensor) -> Tensor:
        """See `models.adapter.Adapter`."""
        return joints[:, None] + self.share * STEP_ANGLE * velocities.cumsum(1)


@torch.no_grad()
def errors(adapter: Adapter, chunks: Chunks) -> dict[str, float]:
    """Mean absolute joint error [rad] over the steps of a chunk and at its last, and the flange's distance [m] then."""
    chain = ArmChain()
    joints, velocities, reached = _rows(chunks, np.arange(len(chunks.joints)))
    predicted = torch.cat([adapter(j, v) for j, v in zip(joints.split(256), velocities.split(256), strict=True)])
    error = (predicted - reached).abs()
    flange, there = (chain(rows[:, -1])[0][:, :3, 3] for rows in (predicted, reached))
    return {
        "joints": round(error.mean().item(), 5),
        "joints at the end": round(error[:, -1].mean().item(), 5),
        "flange at the end": round((flange - there).norm(dim=1).mean().item(), 4),
    }


def best_gain(chunks: Chunks) -> float:
    """The share of the commanded motion that is least wrong on the whole, to a hundredth."""
    joints, velocities, reached = _rows(chunks, np.arange(len(chunks.joints)))
    shares = torch.arange(0.0, 1.2, 0.01)
    wrong = [(Integrating(share)(joints, velocities) - reached).abs().mean() for share in shares.tolist()]
    return round(shares[int(torch.stack(wrong).argmin())].item(), 2)


def train_adapter(data: Path, out: Path, loop: LoopConfig, processes: Processes | None = None) -> dict[str, Any]:
    """Fit an adapter and leave it in ``OUT/droid-adapter.json``.

    Returns:
        The report, which `loop.train` writes to ``OUT/adapter.json``.

    Raises:
        ModelsError: The data has nothing to learn from, or the run cannot go on.
    """
    stage = AdapterStage(data)
    processes = processes or join(loop.device)
    if processes.first:
        print(f"{stage.name}: {data} -> {out / ADAPTER_FILE}; {stage.notes()}", flush=True)
    report = train(stage, loop, out, processes=processes)
    if not processes.first:
        return report
    print("\n".join(f"  {name}: {figures}" for name, figures in report["held_out"].items()), flush=True)
    made_from = {name: report[name] for name in ("steps", "notes", "held_out")}
    save_impedance(stage.module, out / ADAPTER_FILE, {"settings": report["settings"], **made_from})
    return report


def _rows(chunks: Chunks, chosen: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    joints, velocities, reached = (
        torch.from_numpy(values[chosen]) for values in (chunks.joints, chunks.velocities, chunks.reached)
    )
    return joints, velocities, reached
