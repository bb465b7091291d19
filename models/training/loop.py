"""The one training loop: every stage brings a module and a loss; the loop brings everything else.

Each step draws from a generator that is a function of (seed, stage, step) alone, so a run that was stopped and resumed
sees the same rows and noise in the same order, and with ``steps`` ends with the same weights.
"""

from __future__ import annotations

import copy
import json
import math
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from models.config_io import to_plain
from models.errors import TrainingError
from models.training.config import LoopConfig

WARM_UP = 100
SAVE_EVERY = 60.0


@dataclass(frozen=True)
class Draw:
    """The randomness of one step."""

    rows: np.random.Generator
    noise: torch.Generator


class Stage(Protocol):
    """What a stage brings."""

    @property
    def name(self) -> str:
        """Its name, which its files carry."""
        ...

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        ...

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Loss of one step, and figures to show."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Held-out figures of `module`, which holds the averaged weights then."""
        ...

    def notes(self) -> dict[str, Any]:
        """What later stages must know, e.g. scales measured on the data."""
        ...


def draw_for(seed: int, stage: str, step: int) -> Draw:
    """The randomness of step ``step``."""
    words = np.random.SeedSequence([seed, zlib.crc32(stage.encode()), step]).generate_state(2)
    return Draw(np.random.default_rng(words[0]), torch.Generator().manual_seed(int(words[1])))


def rate_at(config: LoopConfig, step: int, progress: float) -> float:
    """Learning rate: linear warm-up over 100 steps, constant, cosine to 2 % after ``hold``."""
    late = max(0.0, (progress - config.hold) / (1 - config.hold))
    return config.rate * min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(late, 1.0))))


def train(stage: Stage, config: LoopConfig, folder: Path, *, stop_after: int | None = None) -> dict[str, Any]:
    """Train a stage to the end of its budget, resuming where an earlier run stopped.

    Writes ``NAME.safetensors`` (averaged weights) and ``NAME.json`` (settings, figures, notes) into ``folder``, and
    ``NAME.checkpoint`` every minute on the way.

    Args:
        stage: What to train.
        config: How.
        folder: Where to.
        stop_after: Stop (with a checkpoint) once this many steps are done, as an interruption would.

    Returns:
        The report that was written, or an empty one when stopped early.

    Raises:
        TrainingError: The loss is not finite, or the checkpoint belongs to another model.
    """
    if (config.minutes is None) == (config.steps is None):
        raise TrainingError(f"{stage.name}: give either minutes or steps")
    torch.set_num_threads(config.threads)
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(stage, config, folder / f"{stage.name}.checkpoint")
    run.load()
    bar = tqdm(
        total=100,
        desc=stage.name,
        unit="%",
        bar_format="{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}",
    )
    saved = time.monotonic()
    stage.module.train()
    while run.progress() < 1:
        if stop_after is not None and run.step >= stop_after:
            run.save()
            return {}
        shown = run.advance()
        if run.step % 10 == 0:
            bar.n = min(100, 100 * run.progress())
            bar.set_postfix_str(", ".join([f"step {run.step}", *(f"{k} {v:.4f}" for k, v in shown.items())]))
        if time.monotonic() - saved > SAVE_EVERY:
            run.save()
            saved = time.monotonic()
    bar.n = 100
    bar.close()
    run.save()
    return run.finish(folder)


class _Run:
    def __init__(self, stage: Stage, config: LoopConfig, checkpoint: Path) -> None:
        self.stage, self.config, self.checkpoint = stage, config, checkpoint
        self.average = copy.deepcopy(stage.module)
        self.parameters = [p for p in stage.module.parameters() if p.requires_grad]
        self.averaged = [p for p in self.average.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.parameters, config.rate, betas=(0.9, 0.99), weight_decay=config.decay, fused=True
        )
        self.step, self.seconds, self.shown = 0, 0.0, dict[str, float]()

    def progress(self) -> float:
        if self.config.steps is not None:
            return self.step / max(1, self.config.steps)
        return self.seconds / (60 * (self.config.minutes or 1e-9))

    def advance(self) -> dict[str, float]:
        began, config = time.monotonic(), self.config
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(config, self.step, self.progress())
        with torch.autocast("cpu", torch.bfloat16, enabled=config.half):
            loss, figures = self.stage.loss(config.batch, draw_for(config.seed, self.stage.name, self.step))
        if not torch.isfinite(loss):
            raise TrainingError(f"{self.stage.name}: the loss is {loss.item()} at step {self.step}; lower the rate")
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, config.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.step += 1
        share = max(config.average, 1 / (1 + self.step))
        with torch.no_grad():
            for averaged, parameter in zip(self.averaged, self.parameters, strict=True):
                averaged.lerp_(parameter, share)
        for key, value in {"loss": loss.item(), **figures}.items():
            self.shown[key] = 0.98 * self.shown.get(key, value) + 0.02 * value
        self.seconds += time.monotonic() - began
        return self.shown

    def save(self) -> None:
        partial = self.checkpoint.with_suffix(".partial")
        state = {
            "module": self.stage.module.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "shown": self.shown,
        }
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def load(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True)
        try:
            self.stage.module.load_state_dict(state["module"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(
                f"{self.checkpoint} belongs to another model; delete it to start anew ({error})"
            ) from error
        self.step, self.seconds, self.shown = state["step"], state["seconds"], state["shown"]

    def finish(self, folder: Path) -> dict[str, Any]:
        buffers = dict(self.stage.module.named_buffers())
        for name, buffer in self.average.named_buffers():
            buffer.copy_(buffers[name])
        self.stage.module.load_state_dict(self.average.state_dict())
        self.stage.module.eval()
        weights = {name: value.contiguous() for name, value in self.stage.module.state_dict().items()}
        save_file(weights, folder / f"{self.stage.name}.safetensors")
        report = {
            "stage": self.stage.name,
            "settings": to_plain(self.config),
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "figures": self.shown,
            "notes": self.stage.notes(),
            "held_out": self.stage.metrics(),
        }
        (folder / f"{self.stage.name}.json").write_text(json.dumps(report, indent=1) + "\n")
        return report
