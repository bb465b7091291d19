"""What a local planner is. A new one is a new file beside the others, named in `choose.py`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from planner_server import rotations
from planner_server.limits import Limits

NOISE_MARGIN = 1e-6
"""Improvements below this are rounding, not refinement."""


class Objective(Protocol):
    """J(a) of Algorithm 3: what is maximised. `planner_server.objective` has the planner's."""

    def __call__(self, chunks: Tensor, draw: int = 0) -> Tensor:
        """J ``(B,)`` of chunks ``(B, H, 7)``, differentiable with respect to them.

        Args:
            chunks: Feasible chunks.
            draw: Which noise they are imagined from; 0 is the plan's own.
        """
        ...

    def off_centre(self, chunk: Tensor) -> Tensor:
        """How far the commanded tool is from what is looked for at each frame of a chunk ``(H, 7)``.

        Returns:
            ``(H,)`` image widths, mean over the views that count; infinite where none does.
        """
        ...

    def turn(self, chunk: Tensor) -> Tensor | None:
        """How far the hand of a chunk ``(H, 7)`` should turn about the base's z at each frame.

        Returns:
            ``(H,)`` rad; None when any way of holding it is as good.
        """
        ...


@dataclass(frozen=True)
class Problem:
    """What there is to improve.

    Attributes:
        chunk: ``(H, 7)`` feasible global winner.
        start: ``(7,)`` pose one frame before it.
        objective: J.
        limits: Feasible chunks.
        seed: Of every random draw.
    """

    chunk: Tensor
    start: Tensor
    objective: Objective
    limits: Limits
    seed: int = 0

    def feasible(self, chunks: Tensor) -> Tensor:
        """Projection of chunks ``(..., H, 7)`` onto the limits."""
        return self.limits.project(chunks, self.start).detach()


@dataclass(frozen=True)
class Refinement:
    """What a local planner returns.

    Attributes:
        chunk: ``(H, 7)`` the best chunk seen; the global winner itself when nothing was better.
        before: J of the global winner.
        after: J of ``chunk``, never below ``before``.
    """

    chunk: Tensor
    before: float
    after: float

    @property
    def refined(self) -> bool:
        """Whether the chunk differs from the global winner."""
        return self.after > self.before


class Best:
    """Keeps the best chunk of all that were seen. The global winner must be the first."""

    def __init__(self, winner: Tensor) -> None:
        self.chunk = winner
        self.before = self.after = -math.inf

    def see(self, chunks: Tensor, values: Tensor) -> None:
        """Take note of chunks ``(B, H, 7)`` and their J ``(B,)``; the very first row is the winner's."""
        known = values.tolist()  # read once: the device is waited for
        if self.before == -math.inf:
            self.before = self.after = known[0]
        best = max(range(len(known)), key=known.__getitem__)
        if known[best] > self.after + NOISE_MARGIN:
            self.chunk, self.after = chunks[best].detach(), known[best]

    def refinement(self) -> Refinement:
        """The result."""
        return Refinement(self.chunk, self.before, self.after)


class Budget:
    """How long a local planner may go on: iterate over it, one round of work at a time.

    With seconds, a round is begun only if one as long as the mean of those before still fits: so planners that work in
    different ways can be compared at equal time. Without, the same seed gives the same plan on every machine.

    Attributes:
        spent: Share of the budget that is used up, in [0, 1).
    """

    def __init__(
        self,
        rounds: int,
        seconds: float = math.inf,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """A budget to be used once.

        Args:
            rounds: Most rounds.
            seconds: Time for all of them.
            check: Called before every round; may raise to stop.
            clock: What ``seconds`` are counted on.
        """
        self.rounds, self.seconds, self.spent = rounds, seconds, 0.0
        self._check, self._clock = check, clock

    def __iter__(self) -> Iterator[int]:
        begun = self._clock()
        for k in range(self.rounds):
            self._check()
            elapsed = self._clock() - begun
            if k and elapsed * (k + 1) / k > self.seconds:
                return
            self.spent = max(k / (self.rounds + 1), elapsed / self.seconds)
            yield k


class LocalPlanner(Protocol):
    """The second loop of Algorithm 3."""

    def refine(self, problem: Problem, budget: Budget) -> Refinement:
        """Improve the global winner; never return something worse."""
        ...


def displace(chunks: Tensor, offsets: Tensor) -> Tensor:
    """Poses ``(..., 7)`` moved by offsets ``(..., 7)``: metres, rotation vector [rad] in the base frame, gripper."""
    origin = rotations.euler_to_quaternion(chunks[..., 3:6])
    turned = rotations.multiply(rotations.exponential(offsets[..., 3:6]), origin)
    return torch.cat(
        [
            chunks[..., :3] + offsets[..., :3],
            rotations.quaternion_to_euler(turned),
            chunks[..., 6:] + offsets[..., 6:],
        ],
        -1,
    )
