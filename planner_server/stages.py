"""The stages of a plan: timed, announced, and left early when nobody wants the plan any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from plan_protocol.errors import CancelledError
from plan_protocol.server import Context

SHARE_DONE = {"encode_frames": 0.0, "propose": 0.05, "imagine": 0.1, "score": 0.45, "refine": 0.5, "render": 0.95}
"""Rough share of a plan's work that lies behind when a stage begins."""


class Stages:
    """Stopwatch over the stages of one plan.

    Attributes:
        timings: Stage -> milliseconds, as in `Plan.timings`.
    """

    def __init__(self, context: Context, device: torch.device):
        self.timings: dict[str, float] = {}
        self._context = context
        self._device = device

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Announce and time one stage.

        Raises:
            CancelledError: The plan is no longer wanted.
        """
        self.check()
        self._context.progress(stage, SHARE_DONE[stage])
        begun = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.timings[stage] = 1e3 * (time.perf_counter() - begun)

    def check(self) -> None:
        """Stop here when the plan is no longer wanted.

        Raises:
            CancelledError: It is not.
        """
        if self._context.cancelled:
            raise CancelledError("the plan was given up: its request was cancelled or replaced by a newer one")
