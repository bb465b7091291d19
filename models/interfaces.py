"""The small protocol classes a planner needs. A new world model, reward or uncertainty head is a new file beside them.

Shapes: B candidates, T history frames, H imagined frames, V camera views, C latent channels, (h, w) latent rows and
columns of ONE view. Views are stacked on the rows in the bundle's view order (as Ctrl-World stacks them), so a latent
frame is ``(C, V*h, w)``. Poses are
``[x, y, z, roll, pitch, yaw, gripper]`` of the flange (``robot_model.conventions``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Imagined:
    """One batch of imagined futures and what they were imagined from.

    Attributes:
        latents: ``(B, H, C, V*h, w)`` predicted latents.
        history: ``(B, T, C, V*h, w)`` latents of the history frames, oldest first.
        history_poses: ``(B, T, 7)`` measured poses at the history frames.
        actions: ``(B, H, 7)`` commanded poses, one per imagined frame.
    """

    latents: Tensor
    history: Tensor
    history_poses: Tensor
    actions: Tensor


@dataclass(frozen=True)
class Uncertainty:
    """What the uncertainty head says of an imagined video (paper 3.1, A.6).

    Attributes:
        h: ``(B, H, V, h, w)`` normalised uncertainty in [0, 1], channels averaged.
        expected_error: ``(B, H, V, h, w)`` expected absolute latent error, channels averaged.
        entropy: ``(B, H, V, h, w)`` entropy of the error distribution in nats, channels averaged.
    """

    h: Tensor
    expected_error: Tensor
    entropy: Tensor


class WorldModel(Protocol):
    """Action-conditioned video model V_theta."""

    def encode(self, images: Tensor) -> Tensor:
        """Encode uint8 RGB ``(B, T, V, H, W, 3)`` images of any device to latents ``(B, T, C, V*h, w)`` on this one."""
        ...

    def initial_noise(self, history: Tensor, generator: torch.Generator | None) -> Tensor:
        """Noise to imagine from, for a history ``(B, T, C, V*h, w)`` and on its device, as `imagine` takes it.

        It is drawn where the generator is: on the CPU, every device gets the same.
        """
        ...

    def imagine(
        self,
        history: Tensor,
        history_poses: Tensor,
        actions: Tensor,
        *,
        steps: int = 1,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
        instruction: str = "",
    ) -> Imagined:
        """Predict the H frames after the history under the actions; differentiable with respect to ``actions``.

        Args:
            history: ``(B, T, C, V*h, w)``.
            history_poses: ``(B, T, 7)``.
            actions: ``(B, H, 7)``.
            steps: Flow map steps to a sample; 0: the expected future instead, in one evaluation of the model.
            generator: Source of the initial noise when ``noise`` is not given.
            noise: As `initial_noise` draws it; give the same to compare candidates fairly.
            instruction: What the robot was asked to do; models that are told no text ignore it.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents ``(B, H, C, V*h, w)`` to uint8 RGB ``(B, H, V, H, W, 3)``."""
        ...


class UncertaintyModel(Protocol):
    """U_beta: how wrong is the imagined video, where."""

    def __call__(self, imagined: Imagined) -> Uncertainty:
        """Judge an imagined video; differentiable with respect to its latents and actions."""
        ...


class SemanticReward(Protocol):
    """R_u: dense relevance of image regions to an object phrase."""

    def relevance(self, latents: Tensor, phrase: str) -> Tensor:
        """Relevance in [0, 1] of each region of ``(B, H, C, V*h, w)`` latents, as ``(B, H, V, a, b)``."""
        ...


class ValueModel(Protocol):
    """R_l: distribution over the discounted return of each imagined frame (paper 3.3)."""

    def __call__(self, imagined: Imagined, relevance: Tensor) -> Tensor:
        """Return bin probabilities ``(B, H, bins)`` over a return in [0, 1]; differentiable."""
        ...

    def expected(self, probabilities: Tensor) -> Tensor:
        """Expected return ``(B, H)`` of bin probabilities."""
        ...
