"""What `plan_latency.py` times: whole plans of one bundle behind the planner, and the U-Net alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from stopwatch import counted, timed

from models.ctrl_world.bundle import CtrlWorldBundle
from plan_protocol.messages import Plan, PlanRequest
from plan_protocol.server import Context
from planner_server.config import PlannerConfig
from planner_server.planner import Planner
from planner_server.proposers.basis import BasisProposer
from planner_server.proposers.interfaces import Proposals, Situation
from planner_server.service import arms_of, blank_request, limits_of

INSTRUCTION = "put the carrot in the bowl"
SPEEDS = (0.12, 0.08, 0.05, 0.03)
MOST_CANDIDATES = 28


@dataclass(frozen=True)
class Task:
    """What every plan is.

    Attributes:
        candidates: N.
        horizon: H.
        iterations: K.
        device: Where the models are.
    """

    candidates: int
    horizon: int
    iterations: int
    device: str


@dataclass(frozen=True)
class Bench:
    bundle: CtrlWorldBundle
    task: Task

    def plan(self, steps: int, number: int) -> tuple[Plan, float]:
        """A plan, and its seconds; each number has pictures of its own."""
        request, planner = pictures(self.bundle, number), self.planner(steps)
        return timed(self.task.device, lambda: planner.plan(request, Context("bench", "bench")))

    def planner(self, steps: int) -> Planner:
        task = self.task
        config = PlannerConfig(flow_steps=steps, iterations=task.iterations, regrip_draws=0, unsure=1.0)
        bundle: Any = self.bundle  # the planner's type is the tabletop bundle's; the names are the same
        proposers, limits = [FirstCandidates(task.candidates)], limits_of(bundle, config)
        return Planner(bundle, proposers, arms_of(bundle), limits, config, task.device)


class FirstCandidates:
    """Exactly N of the motions along the axes."""

    name = "basis"

    def __init__(self, count: int) -> None:
        sets = max(1, -(-(count - 4) // 6))  # four toggles and rests, then six directions a speed
        self.count, self.basis = count, BasisProposer(SPEEDS[:sets], 0.0)

    def propose(self, situation: Situation, rng: np.random.Generator) -> Proposals:
        offer = self.basis.propose(situation, rng)
        return Proposals(offer.proposals[: self.count], offer.note)

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None: ...

    def forget(self, robot_id: str) -> None: ...


def pictures(bundle: Any, number: int) -> PlanRequest:
    """A request with pictures of its own and nothing committed."""
    request = blank_request(bundle)
    images = np.random.default_rng(number).integers(0, 256, request.observation.images.shape, np.uint8)
    observation = replace(request.observation, images=images)
    return replace(request, observation=observation, committed=np.zeros((0, 7)), instruction=INSTRUCTION)


@dataclass(frozen=True)
class Pass:
    """One way through the U-Net, as a one-step plan takes it.

    Attributes:
        rows: Chunks in the batch.
        run: Goes through a bundle's U-Net.
        flop: Its floating point operations.
    """

    rows: int
    run: Callable[[CtrlWorldBundle], None]
    flop: float


def passes(bench: Bench) -> dict[str, Pass]:
    """All candidates forward; one chunk forward, and backward to its poses."""
    model, task = bench.bundle.world_model, bench.task
    generator = torch.Generator().manual_seed(0)
    history = model.encode(torch.from_numpy(pictures(bench.bundle, 0).observation.images)[None])
    noise = model.initial_noise(history, generator)
    frames = history.shape[1] + task.horizon
    path = torch.randn(task.candidates, frames, 7, generator=generator).to(history.device)

    def through(rows: int, backward: bool) -> Pass:
        told, x = history.expand(rows, *history.shape[1:]), noise.expand(rows, *noise.shape[1:])
        measured, actions = path[:rows, : history.shape[1]], path[:rows, history.shape[1] :]
        s, t = torch.zeros(rows, device=x.device), torch.ones(rows, device=x.device)

        def run(bundle: CtrlWorldBundle) -> None:
            with torch.set_grad_enabled(backward):
                offset = torch.zeros_like(actions, requires_grad=backward)
                condition = model.condition(told, measured, actions + offset, INSTRUCTION)
                video = bundle.world_model.flow_map.jump(x, s, t, condition)
                if backward:
                    torch.autograd.grad(video.sum(), offset)

        return Pass(rows, run, counted(lambda: run(bench.bundle)))

    return {"candidates": through(task.candidates, False), "gradient": through(1, True)}
