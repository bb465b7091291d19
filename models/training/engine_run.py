"""A stage while it trains: its module and their average, the optimiser, and one step of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import TrainingError
from models.training.config import LoopConfig
from models.training.engine_draw import Draw, draw_for, tie_global_generator
from models.training.engine_processes import Processes

WARM_UP = 100


class Stage(Protocol):
    """What a stage brings.

    Modules among a stage's attributes are moved to the device that trains, and back to the CPU before `metrics`.
    """

    @property
    def name(self) -> str:
        """Its name, which its files carry."""
        ...

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        ...

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Loss of one step, and figures to show: means over this process's rows of a global batch.

        Args:
            batch: Rows of the global batch.
            draw: Its randomness; `Draw.mine` keeps this process's rows.
        """
        ...

    def metrics(self) -> dict[str, Any]:
        """Held-out figures of `module`, which holds the averaged weights then, on the CPU.

        Where processes share the weights it stays where it trains, and all of them measure the same together.
        """
        ...

    def notes(self) -> dict[str, Any]:
        """What later stages must know, e.g. scales measured on the data."""
        ...


@runtime_checkable
class CanBeSharded(Protocol):
    """A stage whose module can be trained by processes that share its weights."""

    def shards(self) -> Sequence[nn.Module]:
        """The parts whose weights are put together one part at a time."""
        ...


@runtime_checkable
class ShowsSamples(Protocol):
    """A stage that also has something to look at."""

    def samples(self) -> dict[str, np.ndarray]:
        """Videos ``(T, h, w, 3)`` uint8 by name, made with `module`, which holds the averaged weights then.

        The module is where it trains: use `place` for what is given to it, and ``cpu()`` on what comes back.
        """
        ...


def rate_at(config: LoopConfig, step: int, progress: float) -> float:
    """Learning rate: linear warm-up over 100 steps, constant, cosine to 2 % after ``hold``."""
    late = max(0.0, (progress - config.hold) / (1 - config.hold))
    return config.rate * min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(late, 1.0))))


class Run:
    """A stage in training.

    Attributes:
        parameters: What is trained, by name.
        averaged: Their exponential moving average.
        step: Steps done.
        seconds: Time they took.
        shown: Smoothed figures.
        scalars: Figures of the newest step, as they are.
    """

    def __init__(self, stage: Stage, config: LoopConfig, processes: Processes) -> None:
        self.stage, self.config, self.processes = stage, config, processes
        self.device = processes.share.device
        processes.shard(stage.module, stage.shards if isinstance(stage, CanBeSharded) else tuple, config.half)
        move_modules(stage, self.device)
        self.parameters = {name: p for name, p in stage.module.named_parameters() if p.requires_grad}
        self.averaged = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimiser = torch.optim.AdamW(
            self.parameters.values(), config.rate, betas=(0.9, 0.99), weight_decay=config.decay, fused=True
        )
        self.step, self.seconds = 0, 0.0
        self.shown, self.scalars = dict[str, float](), dict[str, float]()
        self._loss: nn.Module | None = None

    def progress(self) -> float:
        """Share of the budget that is used."""
        if self.config.steps is not None:
            return self.step / max(1, self.config.steps)
        return self.seconds / (60 * (self.config.minutes or 1e-9))

    def advance(self, asked: Callable[[], bool], due: Callable[[], bool]) -> tuple[bool, bool]:
        """Take one step.

        Args:
            asked: Whether this process was asked to stop.
            due: Whether this process thinks that it is time for a checkpoint.

        Returns:
            Whether any process was, and whether any does: all of them must agree.

        Raises:
            TrainingError: The loss is not finite.
        """
        began, config, share = time.monotonic(), self.config, self.processes.share
        rate = rate_at(config, self.step, self.progress())
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        tie_global_generator(config.seed, self.stage.name, self.step, share)
        draw = draw_for(config.seed, self.stage.name, self.step, share)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.half):
            loss, figures = self._loss_module()(config.batch, draw)
        means = self.processes.mean([loss.item(), *figures.values()])
        shown: dict[str, float] = dict(zip(["loss", *figures], means, strict=True))
        if not math.isfinite(shown["loss"]):
            raise TrainingError(f"{self.stage.name}: the loss is {shown['loss']} at step {self.step}; lower the rate")
        loss.backward()
        norm = self.processes.clip(list(self.parameters.values()), config.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.step += 1
        self._follow()
        for name, value in shown.items():
            self.shown[name] = 0.98 * self.shown.get(name, value) + 0.02 * value
        self.scalars = {**shown, "rate": rate, "gradient norm": norm}
        spent, stop, save = self.processes.mean([time.monotonic() - began, float(asked()), float(due())])
        self.seconds += spent
        self.scalars["steps per second"] = 1 / spent
        return stop > 0, save > 0

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within the body the module holds the averaged weights, in evaluation mode."""
        kept = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._put(self.averaged)
        self.stage.module.eval()
        try:
            yield
        finally:
            self._put(kept)
            self.stage.module.train()

    def settle(self) -> None:
        """The end: the module holds the averaged weights for good, in evaluation mode; on the CPU if it is whole."""
        self._put(self.averaged)
        self.stage.module.eval()
        if self.processes.whole:
            move_modules(self.stage, torch.device("cpu"))

    def weights(self) -> dict[str, Tensor]:
        """The module's, whole, for the first process to keep."""
        return self.processes.gather(dict(self.stage.module.state_dict()))

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint needs, for the first process to keep."""
        module = self.weights()
        return {
            "module": module,
            "average": {**module, **self.processes.gather(self.averaged)},
            "optimiser": self.processes.gather(self.optimiser.state_dict()),
            "step": self.step,
            "seconds": self.seconds,
            "shown": self.shown,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            KeyError, RuntimeError, ValueError: It is of another model.
        """
        scatter = self.processes.scatter
        self.stage.module.load_state_dict(scatter(state["module"], self.stage.module.state_dict()))
        average = scatter(state["average"], self.averaged)
        self.averaged = {name: average[name].to(kept.device) for name, kept in self.averaged.items()}
        moments = dict(state["optimiser"]["state"])
        for index, parameter in enumerate(self.parameters.values()):
            if index in moments:
                moments[index] = scatter(moments[index], {"exp_avg": parameter, "exp_avg_sq": parameter})
        self.optimiser.load_state_dict({**state["optimiser"], "state": moments})
        self.step, self.seconds, self.shown = state["step"], state["seconds"], state["shown"]

    def _loss_module(self) -> nn.Module:
        if self._loss is None:
            self._loss = self.processes.share_gradients(_LossOf(self.stage))
        return self._loss

    @torch.no_grad()
    def _follow(self) -> None:
        share = max(self.config.average, 1 / (1 + self.step))
        for name, parameter in self.parameters.items():
            self.averaged[name].lerp_(parameter, share)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(values[name])


class _LossOf(nn.Module):
    """A stage's loss as a module, for what wraps modules: its parameters are those of the stage."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage, self.module = stage, stage.module

    def forward(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        return self.stage.loss(batch, draw)


def move_modules(stage: Stage, device: torch.device) -> None:
    """Move every module among the attributes of a stage."""
    for value in vars(stage).values():
        if isinstance(value, nn.Module):
            value.to(device)
