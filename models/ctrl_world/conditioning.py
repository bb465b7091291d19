"""What Ctrl-World's network is told: history latents, the current frame, one scaled pose per frame, the instruction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from models.conditioning import Condition, Conditioner, PoseFeatures
from models.ctrl_world.config import CtrlWorldConfig
from models.errors import ShapeError


@dataclass(frozen=True)
class FramewiseCondition(Condition):
    """What a head is told (`Condition`), and besides what the diffusion model is told.

    Attributes:
        slots: ``(B, S, 4, V*h, w)`` clean latents of the history slots.
        current: ``(B, 1, 4, V*h, w)`` latents of the conditioning frame.
        poses: ``(B, S + 1 + H, 7)`` scaled poses at the slots, at the current frame and at the new ones.
        text: ``(B, E)`` embedding of the instruction; E = 0 for none.
        told: ``(B,)`` 1 where actions and text are told, 0 where the token is zero (guidance).
    """

    slots: Tensor
    current: Tensor
    poses: Tensor
    text: Tensor
    told: Tensor

    def rows(self, rows: slice) -> FramewiseCondition:
        """The conditions of some rows of the batch."""
        return FramewiseCondition(**{name: value[rows] for name, value in vars(self).items()})

    def without_actions(self, rows: Tensor) -> FramewiseCondition:
        """The same with zero tokens in the given rows ``(B,)`` bool."""
        return replace(self, told=self.told * ~rows)

    def noised(self, noise: ConditionNoise) -> FramewiseCondition:
        """As in training: noised and rescaled history and current frame, tokens dropped here and there."""

        def add(latents: Tensor, level: Tensor, values: Tensor) -> Tensor:
            return (latents + level * values) / (1 + level.square()).sqrt()

        return replace(
            self.without_actions(noise.dropped),
            slots=add(self.slots, noise.history_level, noise.history),
            current=add(self.current, noise.current_level, noise.current),
        )


@dataclass(frozen=True)
class ConditionNoise:
    """The randomness of a training minibatch's conditions.

    Attributes:
        history_level: ``(B, S, 1, 1, 1)`` noise level of every history slot, of either sign.
        history: ``(B, S, 4, V*h, w)``.
        current_level: ``(B, 1, 1, 1, 1)``.
        current: ``(B, 1, 4, V*h, w)``.
        dropped: ``(B,)`` bool: rows that are told neither actions nor text.
    """

    history_level: Tensor
    history: Tensor
    current_level: Tensor
    current: Tensor
    dropped: Tensor

    @staticmethod
    def sample(config: CtrlWorldConfig, rows: int, generator: torch.Generator) -> ConditionNoise:
        """Draw for ``rows`` clips as Ctrl-World does, on the CPU."""
        slots, (height, width) = len(config.history_slots), config.latent_size
        frame = (4, height * len(config.views), width)
        return ConditionNoise(
            config.history_noise * torch.randn((rows, slots, 1, 1, 1), generator=generator),
            torch.randn((rows, slots, *frame), generator=generator),
            config.current_noise * torch.rand((rows, 1, 1, 1, 1), generator=generator),
            torch.randn((rows, 1, *frame), generator=generator),
            torch.rand(rows, generator=generator) < config.action_dropout,
        )

    def map(self, part: Callable[[Tensor], Tensor]) -> ConditionNoise:
        """The same with ``part`` applied to every tensor, e.g. one process's rows."""
        return ConditionNoise(*(part(value) for value in vars(self).values()))


class PoseScale(nn.Module):
    """Poses to [-1, 1] between two percentiles of the training data, clipped."""

    lower: Tensor
    upper: Tensor

    def __init__(self, lower: Sequence[float], upper: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("lower", torch.tensor(lower), persistent=False)
        self.register_buffer("upper", torch.tensor(upper), persistent=False)

    def forward(self, poses: Tensor) -> Tensor:
        """Scale ``(..., 7)``."""
        return (2 * (poses - self.lower) / (self.upper - self.lower) - 1).clamp(-1, 1)


class PoseConditioner(Conditioner):
    """`Conditioner` of a cell whose cameras are not calibrated: the same pose features, empty heat maps."""

    def __init__(self) -> None:
        nn.Module.__init__(self)  # not the parent's: its heat maps need cameras
        self.describe = PoseFeatures()

    def forward(self, history: Tensor, history_poses: Tensor, actions: Tensor) -> Condition:
        """See `Conditioner`."""
        features = self.describe(history_poses, actions).features
        batch, horizon = actions.shape[:2]
        nothing = history.new_zeros(1, 1, 1, 1, 1)
        maps = nothing.expand(batch, 1 + horizon, 2, *history.shape[-2:])
        advected = nothing.expand(batch, horizon, *history.shape[-3:])
        return Condition(history, history_poses, actions, features, maps, maps, advected)


class FramewiseConditioner(nn.Module):
    """Puts a `FramewiseCondition` together."""

    def __init__(self, config: CtrlWorldConfig) -> None:
        super().__init__()
        self.slots = list(config.history_slots)
        self.poses = PoseConditioner()
        self.scale = PoseScale(config.pose_lower, config.pose_upper)

    def forward(self, history: Tensor, history_poses: Tensor, actions: Tensor, text: Tensor) -> FramewiseCondition:
        """Describe a scene.

        Args:
            history: ``(B, T, 4, V*h, w)`` latents at the history offsets, the current frame last.
            history_poses: ``(B, T, 7)`` measured poses.
            actions: ``(B, H, 7)``.
            text: ``(B or 1, E)`` embedding of the instruction.

        Raises:
            ShapeError: The shapes do not fit each other or this model.
        """
        shapes = tuple(history.shape[:2]), tuple(history_poses.shape), tuple(actions.shape)
        if history_poses.shape != (*shapes[0], 7) or actions.shape[::2] != (shapes[0][0], 7):
            raise ShapeError(f"need history (B, T, ...), its poses (B, T, 7) and actions (B, H, 7), got {shapes}")
        if max(self.slots) >= shapes[0][1]:
            raise ShapeError(f"this model looks at {max(self.slots) + 2} history frames, got {shapes[0][1]}")
        described = self.poses(history, history_poses, actions)
        path = torch.cat([self._slots(history_poses), history_poses[:, -1:], actions], dim=1)
        return FramewiseCondition(
            **vars(described),
            slots=self._slots(history),
            current=history[:, -1:],
            poses=self.scale(path),
            text=text.expand(len(history), -1),
            told=history.new_ones(len(history)),
        )

    def _slots(self, values: Tensor) -> Tensor:
        """``(B, S, ...)`` of ``(B, T, ...)``; indexing by a list would wait for the GPU."""
        return torch.stack([values[:, slot] for slot in self.slots], dim=1)
